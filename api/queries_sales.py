"""The questions of a sales week: win rates, states, dwell, cohorts, stale deals, checklists."""

from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

import msgspec

from api import params_sales as p
from api.asked import Connection, beyond, cut_of, moment_of, page_of
from api.cursor import place_of
from api.params import FunnelAtParams, OneDeal
from projections import cohort_series as series
from projections import cohorts, hygiene, pipeline, process, win_rate_weeks, win_rates
from projections.cohort_series import CohortSeries
from projections.cohorts import CohortConversion
from projections.dwell_alerts import OverdueDeal, overdue_deals
from projections.hygiene import StaleDeal
from projections.pipeline import DealInState, StateFlow, States
from projections.playbook import require_known
from projections.process import DealChecklist
from projections.win_rate_weeks import Curve, WinRateAlert, WinRateWeeks
from projections.win_rates import DealWinRate

D = TypeVar("D", DealInState, OverdueDeal, StaleDeal, WinRateAlert)


def win_rate(conn: Connection, params: OneDeal) -> DealWinRate:
    """The win rate of a deal now: every gate and input, and the comparison behind it.

    Raises UnknownDeal.
    """
    return win_rates.comparison(conn, params.deal_id)


def win_rate_curve(conn: Connection, params: p.DealAtParams) -> Curve:
    """The win rate of a deal at every week's end, and the event that moved it.

    Raises UnknownDeal.
    """
    return win_rate_weeks.curve(conn, params.deal_id, as_of=moment_of(conn, params), known_at=params.known_at)


def weekly_win_rates(conn: Connection, params: p.WinRateWeeksParams) -> WinRateWeeks:
    """The win rates of a funnel's open deals week by week, weighted by amount; zeros count, unknown ones are named."""
    return win_rate_weeks.weekly(conn, params.funnel, **cut_of(conn, params), weeks=params.weeks)


class WinRateAlerts(msgspec.Struct, frozen=True):
    """The open deals whose win rate fell by 0.15 or more within two weeks, the deepest fall first."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    found: int
    alerts: list[WinRateAlert]
    next_cursor: str | None


def win_rate_alerts(conn: Connection, params: p.WinRateAlertsParams) -> WinRateAlerts:
    """Open deals whose win rate fell by 0.15 or more within two weeks, page by page."""
    place = place_of(params, tuple[datetime, Decimal, UUID])
    at = cut_of(conn, params, place)
    position, found = win_rate_weeks.alerts(conn, params.funnel, **at)
    rest = beyond(found, params, lambda a: (-a.fall, a.deal_id), place and (-place[1], place[2]))
    page, cursor = page_of(rest, params, lambda a: (at["as_of"], a.fall, a.deal_id))
    return WinRateAlerts(
        params.funnel,
        at["as_of"],
        params.known_at,
        position,
        "drop/1",
        len(found),
        _named(conn, page),
        cursor,
    )


def states(conn: Connection, params: FunnelAtParams) -> States:
    """Open deals by stage and state: entered, stalled, pending loss, pending advance."""
    return pipeline.states(conn, params.funnel, **cut_of(conn, params))


class StateDeals(msgspec.Struct, frozen=True):
    """Open deals with their states, the oldest visit first; `found` counts all pages."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    found: int
    deals: list[DealInState]
    next_cursor: str | None
    formula: str = pipeline.FORMULA


def state_deals(conn: Connection, params: p.StateDealsParams) -> StateDeals:
    """The deals behind the states, with what their checklists still want; page by page.

    Raises UnknownFunnel or UnknownStage.
    """
    place = place_of(params, tuple[datetime, datetime, UUID])
    at = cut_of(conn, params, place)
    require_known(conn, params.funnel, params.stage)
    position, every = pipeline.open_deals(conn, params.funnel, **at)
    found = [d for d in every if params.stage in (None, d.stage) and params.state in (None, d.state)]
    rest = beyond(found, params, lambda d: (d.entered_at, d.deal_id), place and place[1:])
    page, cursor = page_of(rest, params, lambda d: (at["as_of"], d.entered_at, d.deal_id))
    return StateDeals(
        params.funnel, at["as_of"], params.known_at, position, len(found), _named(conn, page), cursor
    )


def states_flow(conn: Connection, params: p.StatesFlowParams) -> StateFlow:
    """How many deals went from which state to which, week by week."""
    return pipeline.state_flow(conn, params.funnel, **cut_of(conn, params), weeks=params.weeks)


class DwellAlerts(msgspec.Struct, frozen=True):
    """Open visits that last longer than their norm, the oldest first; `found` counts all pages."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    found: int
    alerts: list[OverdueDeal]
    next_cursor: str | None


def dwell_alerts(conn: Connection, params: p.DwellAlertsParams) -> DwellAlerts:
    """Deals that stay in their stage longer than its norm, page by page."""
    place = place_of(params, tuple[datetime, datetime, UUID])
    at = cut_of(conn, params, place)
    position, found, rest = overdue_deals(
        conn,
        params.funnel,
        **at,
        full=params.alerts == "all",
        after=place and place[1:],
        limit=params.limit + 1,
    )
    page, cursor = page_of(rest, params, lambda d: (at["as_of"], d.entered_at, d.deal_id))
    return DwellAlerts(
        params.funnel,
        at["as_of"],
        params.known_at,
        position,
        "dwell_alert/1",
        found,
        _named(conn, page),
        cursor,
    )


def cohort(conn: Connection, params: FunnelAtParams) -> CohortConversion:
    """How far the deals opened within about a cycle have come, beside the mature cohort before them."""
    return cohorts.cohort(conn, params.funnel, **cut_of(conn, params))


def cohort_series(conn: Connection, params: p.CohortSeriesParams) -> CohortSeries:
    """How far the cohorts of the last weeks or months had come, each at its end, beside a baseline that is kept."""
    return series.cohort_series(
        conn,
        params.funnel,
        **cut_of(conn, params),
        every=params.every,
        points=params.points,
        baseline=params.baseline,
    )


class StaleDeals(msgspec.Struct, frozen=True):
    """Open deals that nobody stood by in the week, the longest unconfirmed first; `found` counts all pages."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    week: str
    open_deals: int
    found: int
    deals: list[StaleDeal]
    next_cursor: str | None
    formula: str = hygiene.FORMULA


def stale(conn: Connection, params: p.StaleParams) -> StaleDeals:
    """Open deals whose amount or expected close was not confirmed this week, page by page."""
    place = place_of(params, tuple[datetime, datetime, UUID])
    at = cut_of(conn, params, place)
    position, open_deals, week, found = hygiene.stale(conn, params.funnel, **at)
    rest = beyond(found, params, lambda d: (d.last_confirmed_at, d.deal_id), place and place[1:])
    page, cursor = page_of(rest, params, lambda d: (at["as_of"], d.last_confirmed_at, d.deal_id))
    return StaleDeals(
        params.funnel,
        at["as_of"],
        params.known_at,
        position,
        week.label,
        open_deals,
        len(found),
        _named(conn, page),
        cursor,
    )


def checklist(conn: Connection, params: p.DealAtParams) -> DealChecklist:
    """What the stages ask of a deal, what of it is done, its reviews and its grades.

    Raises UnknownDeal.
    """
    return process.checklist(conn, params.deal_id, as_of=moment_of(conn, params), known_at=params.known_at)


def _named(conn: Connection, deals: list[D]) -> list[D]:
    """Each deal with its name, which is looked up for a page alone."""
    names = pipeline.names_of(conn, [deal.deal_id for deal in deals])
    return [msgspec.structs.replace(deal, name=names.get(deal.deal_id)) for deal in deals]
