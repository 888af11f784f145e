"""What a query may be asked: one model per query, the same for HTTP and the command line.

A model takes texts as they come from a query string or from options, and says what is wrong with them in words.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from domain.command import Key
from domain.deal import Status
from domain.event import Knowledge
from domain.money import MAX_DIGITS, PlainDecimal
from domain.playbook import Grade, MacroStage
from domain.wording import accepting
from projections.deals import SortKey

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_WHOLE = re.compile(r"-?[0-9]+")
MAX_POSITION = 2**63 - 1
LONGEST_PAGE = 500


def _rfc3339(value: Any) -> Any:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 time with an offset; in a URL write + as %2B")
    return value


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("must have an offset from UTC")
    if not 1900 <= moment.year <= 2200:  # weeks and norms around it must be times too
        raise ValueError("must lie between the years 1900 and 2200")
    return moment.astimezone(UTC)


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("is no whole number")
    return value


def _plain_text(text: str) -> str:
    if any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF or c == "\x7f" for c in text):
        raise ValueError("must not contain control characters")
    return text


Moment = Annotated[
    datetime,
    BeforeValidator(_rfc3339),
    AfterValidator(_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-02T09:30:00Z"]}),
]
"""A time, RFC 3339 with an offset; at most microseconds."""

Amount = Annotated[
    PlainDecimal,
    Field(ge=0, max_digits=MAX_DIGITS, allow_inf_nan=False),
    accepting(f"up to {MAX_DIGITS} digits with at most one point, such as 12500.00"),
]
"""An amount in the reporting currency."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_plain_text)]

IN_DIGITS = BeforeValidator(_digits)
"""Of a whole number: as a text its digits alone, not 5_0 or " 5"."""


class Params(BaseModel):
    """A question: unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Fresh(Params):
    """Answers may lag behind the log by moments; `min_position` says how far they must have come."""

    min_position: Annotated[
        int | None,
        Field(ge=0, le=MAX_POSITION, description="Wait until the answer reflects the log up to here."),
        IN_DIGITS,
    ] = None


KnowledgeAsked = Annotated[
    Knowledge,
    Field(
        description="Whether imported events were known when their source says so (source), or only from when this"
        " log recorded them (witnessed)."
    ),
]


class ByKnowledge(Fresh):
    """A question about what was known when."""

    knowledge: KnowledgeAsked = "source"


class TwoClocks(ByKnowledge):
    """A question about any moment, by either clock."""

    as_of: Annotated[Moment | None, Field(description="What was true then. Default: now.")] = None
    known_at: Annotated[
        Moment | None, Field(description="As it was known then. Default: as it is known today.")
    ] = None


class Filters(Params):
    """Only deals with these properties."""

    owner: Annotated[Text | None, Field(description="Only deals of this owner.")] = None
    account: Annotated[UUID | None, Field(description="Only deals of this account.")] = None
    product_line: Annotated[Text | None, Field(description="Only deals of this product line.")] = None
    customer_segment: Annotated[Text | None, Field(description="Only deals of this customer segment.")] = None
    region: Annotated[Text | None, Field(description="Only deals of this region.")] = None
    grade: Annotated[Grade | None, Field(description="Only deals of this grade.")] = None
    team: Annotated[
        Key | None, Field(description="Only deals of the people in this team, or in one below it, then.")
    ] = None


class Page(Params):
    """One page of a longer list."""

    limit: Annotated[int, Field(ge=1, le=LONGEST_PAGE, description="How many at most."), IN_DIGITS] = 50
    cursor: Annotated[
        str | None,
        StringConstraints(max_length=500),
        Field(description="`next_cursor` of the page before; everything else must stay as it was."),
    ] = None


class NoParams(Params):
    """Nothing to ask."""


class OneFunnel(Params):
    """The funnel of that key."""

    funnel: Annotated[Key, Field(description="The key of the funnel.")]


class DealsAtParams(TwoClocks, Filters):
    """Deals with these properties, at a moment."""


class FunnelAtParams(OneFunnel, DealsAtParams):
    """A funnel at a moment."""


class RollupParams(DealsAtParams):
    """Funnels at a moment, by macro-stage."""

    funnel: Annotated[Key | None, Field(description="Only this funnel. Default: all of them together.")] = (
        None
    )


class SnapshotDealsParams(FunnelAtParams, Page):
    """The deals behind a cell of the funnel."""

    macro_stage: Annotated[MacroStage | None, Field(description="Only deals in this macro-stage.")] = None
    stage: Annotated[Key | None, Field(description="Only deals in this stage.")] = None


class DealsParams(Fresh, Filters, Page):
    """Deals as they are now."""

    funnel: Annotated[Key | None, Field(description="Only deals in this funnel.")] = None
    stage: Annotated[Key | None, Field(description="Only deals in this stage.")] = None
    status: Annotated[
        Status | None,
        Field(description="Only deals with this status. Default: all but voided and merged ones."),
    ] = None
    external_id: Annotated[Text | None, Field(description="Only deals that another system calls so.")] = None
    amount_from: Annotated[Amount | None, Field(description="Only deals of at least this amount.")] = None
    amount_to: Annotated[Amount | None, Field(description="Only deals of at most this amount.")] = None
    opened_from: Annotated[Moment | None, Field(description="Only deals opened at or after this time.")] = (
        None
    )
    opened_to: Annotated[Moment | None, Field(description="Only deals opened before this time.")] = None
    closed_from: Annotated[Moment | None, Field(description="Only deals closed at or after this time.")] = (
        None
    )
    closed_to: Annotated[Moment | None, Field(description="Only deals closed before this time.")] = None
    q: Annotated[
        Text | None,
        Field(description="Only deals whose name contains this, or whose external id begins with it."),
    ] = None
    sort: Annotated[
        SortKey, Field(description="What the list is ordered by; deals without it come last.")
    ] = "opened_at"
    order: Annotated[Literal["asc", "desc"], Field(description="Upwards or downwards.")] = "desc"


class OneDeal(Fresh):
    """The deal of that id."""

    deal_id: UUID


class TimelineParams(OneDeal, Page):
    """What happened to the deal."""

    sort: Annotated[
        Literal["recorded", "occurred"],
        Field(description="In the order in which it was recorded, or in which it happened."),
    ] = "recorded"
    order: Annotated[Literal["asc", "desc"], Field(description="Oldest or newest first.")] = "asc"
