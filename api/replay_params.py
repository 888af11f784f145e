"""What may be asked of a replay."""

from typing import Annotated

from pydantic import Field

from api.params import MAX_POSITION, KnowledgeAsked, Moment, Params, Text


class ReplayParams(Params):
    """The log folded again."""

    to_position: Annotated[
        int | None,
        Field(ge=0, le=MAX_POSITION, description="Fold up to here. Default: where the live tables stand."),
    ] = None
    as_of: Annotated[Moment | None, Field(description="Fold only what had happened by then.")] = None
    known_at: Annotated[Moment | None, Field(description="Fold only what was known by then.")] = None
    knowledge: KnowledgeAsked = "source"
    projection: Annotated[tuple[Text, ...], Field(description="Only this projection. Default: all.")] = ()
    processes: Annotated[
        int | None, Field(ge=1, le=1_000, description="How many processes. Default: one per CPU.")
    ] = None
