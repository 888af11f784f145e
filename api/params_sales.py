"""What may be asked about win rates, states, dwell, cohorts, stale deals, checklists, accounts and people."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.params import IN_DIGITS, Fresh, FunnelAtParams, Moment, OneDeal, Page, Text, TwoClocks
from domain.command import Key
from domain.pipeline import State
from projections.cohort_series import Every


class DealAtParams(OneDeal, TwoClocks):
    """One deal at a moment."""


class WinRateWeeksParams(FunnelAtParams):
    """The win rates of the last weeks."""

    weeks: Annotated[
        int,
        Field(ge=1, le=160, description="How many weeks, up to the one that holds the moment."),
        IN_DIGITS,
    ] = 13


class StatesFlowParams(FunnelAtParams):
    """The flow between the states in the last weeks."""

    weeks: Annotated[
        int, Field(ge=1, le=26, description="How many weeks, up to the one that holds the moment."), IN_DIGITS
    ] = 4


class CohortSeriesParams(FunnelAtParams):
    """Cohorts of the last weeks or months."""

    every: Annotated[Every, Field(description="A cohort for every week or month.")] = "week"
    points: Annotated[
        int,
        Field(ge=1, le=26, description="How many weeks or months, up to the one that holds the moment."),
        IN_DIGITS,
    ] = 13
    baseline: Annotated[
        Moment | None,
        Field(
            description="Beside the cohort of this moment, as it was shown then. "
            "Default: that of the end of the week or month before the first one."
        ),
    ] = None


class StateDealsParams(FunnelAtParams, Page):
    """The deals behind the states."""

    stage: Annotated[Key | None, Field(description="Only deals in this stage.")] = None
    state: Annotated[State | None, Field(description="Only deals in this state.")] = None


class DwellAlertsParams(FunnelAtParams, Page):
    """Visits that last too long."""

    alerts: Annotated[
        Literal["default", "all"],
        Field(description="Those older than three quarters of the stage's visits, or all above the norm."),
    ] = "default"


class StaleParams(FunnelAtParams, Page):
    """Deals that nobody stood by this week."""


class WinRateAlertsParams(FunnelAtParams, Page):
    """Deals whose win rate fell."""


class AccountsParams(Fresh, Page):
    """Accounts as they are now."""

    customer_segment: Annotated[Text | None, Field(description="Only accounts of this customer segment.")] = (
        None
    )
    region: Annotated[Text | None, Field(description="Only accounts of this region.")] = None
    q: Annotated[Text | None, Field(description="Only accounts whose name contains this.")] = None


class AccountAtParams(TwoClocks):
    """One account at a moment."""

    account_id: Annotated[UUID, Field(description="The id of the account.")]


class OneAccount(Fresh):
    """The account of that id."""

    account_id: Annotated[UUID, Field(description="The id of the account.")]
