"""What may be asked of forecasts, rate sets and the organisation."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from api.params import IN_DIGITS, Fresh, FunnelAtParams, OneFunnel, Page, Text, TwoClocks
from domain.command import Key
from domain.wording import accepting

Month = Annotated[
    str,
    StringConstraints(pattern=r"^((19|2[01])[0-9]{2}-(0[1-9]|1[0-2])|eventually)$"),
    Field(examples=["2026-03"]),
    accepting("a month such as 2026-03, or eventually in an undated funnel"),
]
"""A month; `eventually` in an undated funnel."""

Quarter = Annotated[
    str,
    StringConstraints(pattern=r"^FY(19|2[01])[0-9]{2}-Q[1-4]$"),
    Field(examples=["FY2026-Q1"]),
    accepting("a fiscal quarter such as FY2026-Q1"),
]
Year = Annotated[
    str,
    StringConstraints(pattern=r"^FY(19|2[01])[0-9]{2}$"),
    Field(examples=["FY2026"]),
    accepting("a fiscal year such as FY2026"),
]


class PeriodParams(FunnelAtParams):
    """A period of a funnel, at a moment."""

    month: Annotated[
        Month | None, Field(description="This month. Default: the one of the moment itself.")
    ] = None
    quarter: Annotated[Quarter | None, Field(description="This fiscal quarter instead of a month.")] = None
    year: Annotated[Year | None, Field(description="This fiscal year instead of a month.")] = None


class ForecastParams(PeriodParams):
    """The forecast of a period."""

    rate_set: Annotated[
        int | None,
        Field(ge=1, le=10**9, description="What if this rate set, by its number, were the one in force."),
        IN_DIGITS,
    ] = None


class ForecastWeeksParams(PeriodParams):
    """The forecast of a period, week by week."""


class ForecastAccuracyParams(OneFunnel, TwoClocks):
    """How right past forecasts were."""

    from_month: Annotated[
        Month | None, Field(description="The first month. Default: eleven before the last.")
    ] = None
    to_month: Annotated[
        Month | None, Field(description="The last month. Default: the last that is over.")
    ] = None


class ForecastAuditParams(Fresh, Page):
    """Who changed forecasts, and what moved them."""

    funnel: Annotated[Key | None, Field(description="Only deals of this funnel.")] = None
    month: Annotated[Month | None, Field(description="Only what touches the forecast of this month.")] = None
    deal: Annotated[UUID | None, Field(description="Only this deal.")] = None
    manager: Annotated[
        Text | None, Field(description="Only what this person did, or somebody on their behalf.")
    ] = None
    order: Annotated[Literal["asc", "desc"], Field(description="Oldest or newest first.")] = "asc"


class RateSetsParams(OneFunnel, Fresh):
    """The rate sets of the funnel."""


class OrganisationParams(TwoClocks):
    """The organisation at a moment."""
