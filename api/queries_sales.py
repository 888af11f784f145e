"""The questions of a sales week: win rates, states, dwell, cohorts, stale deals, checklists, accounts and people."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from api import params_sales as p
from api.asked import Connection, beyond, filters_of, moment_of, now, page_of, position_of
from api.cursor import place_of
from api.params import NoParams, OneDeal
from domain.playbook import EMPTY, STREAM_ID, Checklist, Funnel, Grades, Playbook
from domain.relations import AttitudeStrategy, DepthRules
from infra.streams import load_streams
from projections import (
    accounts as account_list,
)
from projections import attitudes as overall
from projections import (
    cohorts,
    deal_teams,
    hygiene,
    pipeline,
    process,
    win_rate_weeks,
    win_rates,
)
from projections import deal_contacts as people
from projections.accounts import AccountDetails, AccountView
from projections.attitudes import Attitudes
from projections.cohorts import CohortConversion
from projections.deal_contacts import DealContacts
from projections.deal_teams import DealTeam
from projections.dwell_alerts import OverdueDeal, overdue_deals
from projections.filters import Filters
from projections.hygiene import StaleDeal
from projections.pipeline import DealInState, StateFlow, States
from projections.playbook import require_known
from projections.process import DealChecklist
from projections.win_rate_weeks import Curve, WinRateAlert, WinRateWeeks
from projections.win_rates import DealWinRate


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
    return win_rate_weeks.weekly(conn, params.funnel, **_at(conn, params), weeks=params.weeks)


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
    at = _at(conn, params, place)
    position, found = win_rate_weeks.alerts(conn, params.funnel, **at)
    rest = beyond(found, params, lambda a: (-a.fall, a.deal_id), place and (-place[1], place[2]))
    page, cursor = page_of(rest, params, lambda a: (at["as_of"], a.fall, a.deal_id))
    names = pipeline.names_of(conn, [a.deal_id for a in page])
    return WinRateAlerts(
        params.funnel,
        at["as_of"],
        params.known_at,
        position,
        "drop/1",
        len(found),
        [msgspec.structs.replace(a, name=names.get(a.deal_id)) for a in page],
        cursor,
    )


def states(conn: Connection, params: p.FunnelAtParams) -> States:
    """Open deals by stage and state: entered, stalled, pending loss, pending advance."""
    return pipeline.states(conn, params.funnel, **_at(conn, params))


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
    at = _at(conn, params, place)
    require_known(conn, params.funnel, params.stage)
    position, every = pipeline.open_deals(conn, params.funnel, **at)
    found = [d for d in every if params.stage in (None, d.stage) and params.state in (None, d.state)]
    rest = beyond(found, params, lambda d: (d.entered_at, d.deal_id), place and place[1:])
    page, cursor = page_of(rest, params, lambda d: (at["as_of"], d.entered_at, d.deal_id))
    names = pipeline.names_of(conn, [d.deal_id for d in page])
    named = [msgspec.structs.replace(d, name=names.get(d.deal_id)) for d in page]
    return StateDeals(params.funnel, at["as_of"], params.known_at, position, len(found), named, cursor)


def states_flow(conn: Connection, params: p.StatesFlowParams) -> StateFlow:
    """How many deals went from which state to which, week by week."""
    return pipeline.state_flow(conn, params.funnel, **_at(conn, params), weeks=params.weeks)


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
    at = _at(conn, params, place)
    position, found, rest = overdue_deals(
        conn,
        params.funnel,
        **at,
        full=params.alerts == "all",
        after=place and place[1:],
        limit=params.limit + 1,
    )
    page, cursor = page_of(rest, params, lambda d: (at["as_of"], d.entered_at, d.deal_id))
    names = pipeline.names_of(conn, [d.deal_id for d in page])
    return DwellAlerts(
        params.funnel,
        at["as_of"],
        params.known_at,
        position,
        "dwell_alert/1",
        found,
        [msgspec.structs.replace(d, name=names.get(d.deal_id)) for d in page],
        cursor,
    )


def cohort(conn: Connection, params: p.FunnelAtParams) -> CohortConversion:
    """How far the deals opened within about a cycle have come, beside the mature cohort before them."""
    return cohorts.cohort(conn, params.funnel, **_at(conn, params))


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
    at = _at(conn, params, place)
    position, open_deals, week, found = hygiene.stale(conn, params.funnel, **at)
    rest = beyond(found, params, lambda d: (d.last_confirmed_at, d.deal_id), place and place[1:])
    page, cursor = page_of(rest, params, lambda d: (at["as_of"], d.last_confirmed_at, d.deal_id))
    names = pipeline.names_of(conn, [d.deal_id for d in page])
    return StaleDeals(
        params.funnel,
        at["as_of"],
        params.known_at,
        position,
        week.label,
        open_deals,
        len(found),
        [msgspec.structs.replace(d, name=names.get(d.deal_id)) for d in page],
        cursor,
    )


def checklist(conn: Connection, params: p.DealAtParams) -> DealChecklist:
    """What the stages ask of a deal, what of it is done, its reviews and its grades.

    Raises UnknownDeal.
    """
    return process.checklist(conn, params.deal_id, as_of=moment_of(conn, params), known_at=params.known_at)


def deal_contacts(conn: Connection, params: p.DealAtParams) -> DealContacts:
    """The people of a deal: part, attitude, strategy, and how deep the interaction with them goes.

    Raises UnknownDeal.
    """
    return people.deal_contacts(conn, params.deal_id, as_of=moment_of(conn, params), known_at=params.known_at)


def deal_team(conn: Connection, params: p.DealAtParams) -> DealTeam:
    """Who works on a deal beside its owner, from which department, and since when.

    Raises UnknownDeal.
    """
    return deal_teams.deal_team(conn, params.deal_id, as_of=moment_of(conn, params), known_at=params.known_at)


class AccountPage(msgspec.Struct, frozen=True):
    """Some accounts, and how to get the next ones: null after the last. `position`: what the page reflects."""

    accounts: list[AccountView]
    next_cursor: str | None
    position: int


def accounts(conn: Connection, params: p.AccountsParams) -> AccountPage:
    """Accounts as they are now, the one opened last first, page by page."""
    found = account_list.accounts(
        conn,
        Filters(customer_segment=params.customer_segment, region=params.region),
        search=params.q,
        after=place_of(params, tuple[datetime, UUID]),
        limit=params.limit + 1,
    )
    page, cursor = page_of(found, params, lambda last: (last.opened_at, last.account_id))
    return AccountPage(page, cursor, position_of(conn, account_list.PROJECTION))


def account(conn: Connection, params: p.OneAccount) -> AccountDetails:
    """One account as it is now, and its people.

    Raises UnknownAccount.
    """
    return account_list.account(conn, params.account_id, as_of=now(conn))


def attitudes(conn: Connection, params: p.AccountAtParams) -> Attitudes:
    """How the people of an account have stood to us overall, change by change.

    Raises UnknownAccount.
    """
    return overall.attitudes(conn, params.account_id, as_of=moment_of(conn, params), known_at=params.known_at)


class FunnelRules(msgspec.Struct, frozen=True):
    """A funnel, its grades, what its stages ask for, and the number of its rate set in force; null where none is."""

    funnel: Funnel
    grades: Grades | None
    checklists: dict[str, Checklist]
    rate_set: int | None


class Rules(msgspec.Struct, frozen=True):
    """Everything the company sells by, at its defaults where nothing was set; `version` is for `If-Match`."""

    version: int
    currency: str | None
    time_zone: str
    fiscal_year_start: int
    depth_rules: DepthRules
    no_inside_source_factor: Decimal
    cohort_window_weeks: int
    locked_months: tuple[str, ...]
    strategies: list[AttitudeStrategy]
    funnels: list[FunnelRules]


def playbook(conn: Connection, params: NoParams) -> Rules:  # noqa: ARG001 -- asked like all
    """The whole playbook in force: calendar, funnels, grades, checklists, and the rules about people and figures."""
    stream = load_streams(conn, [STREAM_ID])[STREAM_ID]
    book: Playbook = stream.state or EMPTY
    at = now(conn)
    funnels = [
        FunnelRules(
            funnel,
            book.grades.get(key),
            book.checklists.get(key, {}),
            rates.number if (rates := book.rate_set(key, at)) else None,
        )
        for key, funnel in book.funnels.items()
    ]
    return Rules(
        stream.version,
        book.currency,
        book.time_zone,
        book.fiscal_year_start,
        book.depth_rules,
        book.no_inside_source_factor,
        book.cohort_window_weeks,
        tuple(sorted(book.locked_months)),
        list(book.strategies),
        funnels,
    )


def _at(conn: Connection, params: p.FunnelAtParams, place: tuple[Any, ...] | None = None) -> dict[str, Any]:
    """The moment by both clocks and the filters; later pages show the moment of the first."""
    as_of = place[0] if place else moment_of(conn, params)
    return {
        "as_of": as_of,
        "known_at": params.known_at,
        "filters": filters_of(conn, params, as_of, params.known_at),
    }
