"""What may be asked of recalibration and of forecasts of the open pipeline."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, WithJsonSchema

from api.params import KnowledgeAsked, Moment, OneFunnel, Page, Params, Text
from domain.command import Key, Label, Reason
from domain.command import Moment as CommandMoment
from infra.recalibration_jobs import State

Instant = datetime | date

_moment = TypeAdapter(Moment).validate_python


def _written_out(value: Any) -> Any:
    """A moment or a day from its text, also where texts are otherwise not taken for anything else."""
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("is not a day of the calendar") from None
    try:
        return _moment(value)
    except ValidationError:
        raise ValueError("must be an RFC 3339 time with an offset, or a day such as 2026-03-31") from None


def _within_reach(instant: Instant) -> Instant:
    if not 1901 <= instant.year <= 2199:
        raise ValueError("must lie between the years 1901 and 2199")
    return instant


DayOrMoment = Annotated[
    datetime | date,
    BeforeValidator(_written_out),
    AfterValidator(_within_reach),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}],
            "examples": ["2026-03-31"],
        }
    ),
]
"""A moment, or a day such as 2011-11-15: its first instant in the playbook's time zone."""

Seed = Annotated[int, Field(ge=0, le=2**31, description="Seed of the random draws of intervals and bands.")]


class RecalibrateParams(OneFunnel):
    """A recalibration of a funnel."""

    until: Annotated[
        DayOrMoment | None, Field(description="Use what was known then, a moment or a day. Default: now.")
    ] = None
    period: Annotated[
        Literal["quarter", "month", "week"] | None,
        Field(
            description="Length of the periods of the walk-forward test. Default: by the length of history."
        ),
    ] = None
    seed: Seed = 0
    replicates: Annotated[
        int, Field(ge=1, le=10_000, description="Draws of the bootstrap behind the intervals.")
    ] = 200
    knowledge: KnowledgeAsked = "source"


class PipelineParams(OneFunnel):
    """A forecast of the pipeline that was open at a moment."""

    at: DayOrMoment | None = None
    rates: Text = "current"
    seed: Seed = 0
    knowledge: KnowledgeAsked = "source"


class AdoptParams(Params):
    """Adopting a candidate of a record."""

    reason: Reason
    effective_from: Annotated[
        Moment | None, Field(description="From when on the rates are in force. Default: now.")
    ] = None


class AdoptBody(Params):
    """Adopt a candidate of a record as the funnel's stage win rates."""

    record: Annotated[UUID, Field(description="The id of the recalibration.")]
    candidate: Annotated[Label, Field(description="Which of its candidates.", examples=["survivor/2"])]
    reason: Annotated[Reason, Field(description="Why.")]
    effective_from: Annotated[
        CommandMoment | None, Field(description="From when on the rates are in force. Default: now.")
    ] = None


class OneRecalibration(Params):
    """The recalibration of that id."""

    recalibration_id: Annotated[UUID, Field(description="The id of the recalibration.")]


class RecalibrationsParams(Page):
    """Recalibrations that were asked for, or run on the command line."""

    funnel: Annotated[Key | None, Field(description="Only of this funnel.")] = None
    state: Annotated[State | None, Field(description="Only in this state.")] = None
