"""What may be asked of a what-if."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, StringConstraints

from api.forecast_params import Month, Quarter, Year
from api.params import IN_DIGITS, ByKnowledge, Moment, OneFunnel, Text
from domain.command import Key
from domain.money import PlainDecimal
from domain.win_rate import MAX_FACTOR
from domain.wording import accepting

Week = Annotated[
    str,
    StringConstraints(pattern=r"^(19|2[01])[0-9]{2}-W(0[1-9]|[1-4][0-9]|5[0-3])$"),
    Field(examples=["2026-W10"]),
    accepting("an ISO week such as 2026-W10"),
]

_DAYS = r"^[a-z][a-z0-9_]{0,63}=[0-9]{1,4}(,[a-z][a-z0-9_]{0,63}=[0-9]{1,4}){0,49}$"
DaysByStage = Annotated[
    str,
    StringConstraints(pattern=_DAYS),
    Field(examples=["bidding=10,negotiation=20"]),
    accepting("stages with their days, such as bidding=10,negotiation=20"),
]
"""Days by stage, such as bidding=10,negotiation=20."""

PERIOD = ("funnel", "month", "quarter", "year", "team", "owner")
"""Fields that say which forecast is asked about, and whose deals."""

DAYS = ("stall_after_days", "lose_after_days")
"""Fields with days by stage."""


class WhatIfParams(OneFunnel, ByKnowledge):
    """A past week under other rates or rules."""

    week: Annotated[
        Week | None, Field(description="The end of this ISO week. Default: the last week that is over.")
    ] = None
    known_at: Annotated[
        Moment | None, Field(description="As it was known then. Default: as it was shown, at the week's end.")
    ] = None
    month: Annotated[
        Month | None, Field(description="Forecast this month. Default: that of the week's end.")
    ] = None
    quarter: Annotated[Quarter | None, Field(description="Forecast this fiscal quarter.")] = None
    year: Annotated[Year | None, Field(description="Forecast this fiscal year.")] = None
    team: Annotated[Key | None, Field(description="Only deals of this team and the teams below it.")] = None
    owner: Annotated[Text | None, Field(description="Only deals of this owner.")] = None
    rates: Annotated[
        Text | None,
        Field(description="Try these rates: the number of a rate set, or RECORD:CANDIDATE.", examples=["2"]),
    ] = None
    stall_after_days: Annotated[
        DaysByStage | None, Field(description="Let visits of these stages stall after so many days.")
    ] = None
    lose_after_days: Annotated[
        DaysByStage | None, Field(description="Let deals in these stages be pending loss after so many days.")
    ] = None
    without_gates: Annotated[
        str | None,
        StringConstraints(
            pattern=r"^(no_compelling_event|not_in_top_three|no_inside_source)"
            r"(,(no_compelling_event|not_in_top_three|no_inside_source)){0,2}$"
        ),
        Field(
            description="Win rates without these gates: no_compelling_event, not_in_top_three, no_inside_source.",
            examples=["no_compelling_event,no_inside_source"],
        ),
        accepting(
            "one or more of no_compelling_event, not_in_top_three, no_inside_source, with commas between"
        ),
    ] = None
    no_inside_source_factor: Annotated[
        PlainDecimal | None,
        Field(gt=0, le=MAX_FACTOR, decimal_places=4, description="Win rates with this factor."),
        accepting(f"a decimal number above 0, at most {MAX_FACTOR}, with at most 4 places"),
    ] = None
    best_ranks: Annotated[
        int | None,
        Field(ge=1, le=100, description="Win rates of 0 from the rank behind this one on."),
        IN_DIGITS,
    ] = None
    rivals_counted: Annotated[
        int | None,
        Field(ge=1, le=100, description="Win rates against so many of the strongest rivals."),
        IN_DIGITS,
    ] = None
    no_decision_strength: Annotated[
        PlainDecimal | None,
        Field(
            ge=Decimal(0),
            le=Decimal(10),
            decimal_places=4,
            description="Strength of the rival of a sole source.",
        ),
        accepting("a decimal number from 0 to 10 with at most 4 places"),
    ] = None
