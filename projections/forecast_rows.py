"""The deals that a forecast is computed from: open ones with forecast and rate, and won ones, at (T, K)."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from psycopg import Connection, sql

from domain.calendar import Period, month_of, parse_fiscal_quarter, parse_fiscal_year, parse_month
from domain.forecast import EVENTUALLY, ManagerForecast, OpenDeal
from domain.organisation import Organisation
from domain.playbook import Funnel
from projections.deal_teams import PROJECTION as DEAL_TEAMS
from projections.filters import NO_FILTERS
from projections.forecasts import FORECASTS_THEN
from projections.forecasts import PROJECTION as FORECASTS
from projections.funnel import PROJECTION as FUNNEL
from projections.open_deals import OpenDeals
from projections.organisation import PROJECTION as ORGANISATION
from projections.organisation import organisation_at
from projections.playbook import PROJECTION as PLAYBOOK
from projections.playbook import funnel_at, settings_at, stages_at
from projections.rate_sets import PROJECTION as RATE_SETS
from projections.rate_sets import Rates, RateTable


def reflected(conn: Connection[Any]) -> int:
    """The position that every figure of a forecast reflects; 0 while a projection has not begun."""
    needed = (FUNNEL, FORECASTS, RATE_SETS, ORGANISATION, PLAYBOOK, DEAL_TEAMS)
    query = sql.SQL("SELECT {}").format(sql.SQL(", ").join(projection.position for projection in needed))
    ((*positions,),) = conn.execute(query).fetchall()
    return min(position or 0 for position in positions)


class Then(msgspec.Struct, frozen=True):
    """A moment of a funnel, with what was in force: its definition, the calendar, the organisation."""

    funnel: Funnel
    as_of: datetime
    known_at: datetime | None
    tz: ZoneInfo
    fiscal_year_start: int
    org: Organisation
    stall_after_days: dict[str, int]

    @property
    def today(self) -> date:
        """The local date."""
        return self.as_of.astimezone(UTC).astimezone(self.tz).date()

    def team_of(self, owner: str | None) -> str | None:
        """The team of an owner, None for nobody's deals and for people of no team."""
        return self.org.team_of.get(owner) if owner is not None else None

    def rates(self, chosen: RateTable | None) -> Rates:
        """What a rate set gives to the deals of the funnel."""
        return Rates(chosen, self.stall_after_days)


def then(conn: Connection[Any], funnel: str, as_of: datetime, known_at: datetime | None) -> Then:
    """The funnel at (T, K). Raises UnknownFunnel."""
    stages = stages_at(conn, funnel, as_of, known_at)
    definition = funnel_at(conn, funnel, as_of, known_at)
    assert definition is not None
    settings = settings_at(conn, as_of, known_at)
    return Then(
        definition,
        as_of,
        known_at,
        ZoneInfo(settings.time_zone if settings else "UTC"),
        settings.fiscal_year_start if settings else 1,
        organisation_at(conn, as_of, known_at),
        {stage.key: stage.stall_after_days for stage in stages.all},
    )


class Horizon(msgspec.Struct, frozen=True):
    """What is forecast: a month, a fiscal quarter or year as the months in it, or EVENTUALLY in an undated funnel."""

    label: str
    months: frozenset[str]
    period: Period | None

    @property
    def days(self) -> tuple[date, date] | None:
        """The first day of the months, and the day after their last; None where no day is asked about."""
        if self.months == {EVENTUALLY}:
            return None
        first, last = (date.fromisoformat(f"{month}-01") for month in (min(self.months), max(self.months)))
        return first, (last + timedelta(days=31)).replace(day=1)


def horizon(
    at: Then, month: str | None = None, quarter: str | None = None, year: str | None = None
) -> Horizon:
    """What is forecast; without a label the month of the moment itself.

    Raises ValueError for a label that names no period, and for any in an undated funnel.
    """
    label = month or quarter or year
    if not at.funnel.dated:
        if label not in (None, EVENTUALLY):
            raise ValueError(
                f"the funnel {at.funnel.key!r} is undated: it has the one horizon {EVENTUALLY!r}"
            )
        return Horizon(EVENTUALLY, frozenset({EVENTUALLY}), None)
    if quarter is not None:
        period = parse_fiscal_quarter(quarter, at.tz, at.fiscal_year_start)
    elif year is not None:
        period = parse_fiscal_year(year, at.tz, at.fiscal_year_start)
    else:
        period = parse_month(month, at.tz) if month is not None else month_of(at.as_of, at.tz)
    return Horizon(period.label, frozenset(m.label for m in months_in(period, at.tz)), period)


def months_in(period: Period, tz: ZoneInfo) -> list[Period]:
    """The months of a period, in order."""
    found = [month_of(period.start, tz)]
    while found[-1].end < period.end:
        found.append(month_of(found[-1].end, tz))
    return found


class OpenRow(msgspec.Struct, frozen=True):
    """An open deal at (T, K), with its owner as of today and when it came into its stage."""

    deal: OpenDeal
    owner_now: str | None
    entered_at: datetime


def open_rows(
    conn: Connection[Any],
    at: Then,
    months: AbstractSet[str],
    rates: Rates,
) -> list[OpenRow]:
    """The open deals that matter to a forecast of the months: expected or forecast in them, undated, or overdue."""
    open_deals = OpenDeals(
        FUNNEL.view("deal_states"), NO_FILTERS, one_funnel=True, with_known_at=at.known_at is not None
    )
    dated = sql.SQL(
        " WHERE (o.expected_close IS NULL OR o.expected_close < %(today)s OR f.forecast_month = ANY(%(months)s)"
        " OR to_char(o.expected_close, 'YYYY-MM') = ANY(%(months)s))"
    )
    query = sql.SQL(
        "SELECT o.deal_id, o.owner, o.stage, o.amount, o.expected_close, o.entered_at,"
        " CASE WHEN o.next_occurred_at IS NULL THEN o.owner"
        " ELSE (SELECT h.owner FROM {heads} h WHERE h.deal_id = o.deal_id) END,"
        " f.forecast_month, f.forecast_amount"
        " FROM ({open_deals}) o LEFT JOIN ({forecasts}) f USING (deal_id, closed_times){dated}"
    ).format(
        heads=FUNNEL.view("funnel_heads"),
        open_deals=open_deals.rows(),
        forecasts=FORECASTS_THEN,
        dated=dated if at.funnel.dated else sql.SQL(""),
    )
    rows = conn.execute(query, parameters_of(at) | {"months": list(months)}).fetchall()
    return [_open_row(at, rates.of, *row) for row in rows]


def _open_row(
    at: Then,
    rate_of: Callable[[str, datetime, datetime], Decimal | None],
    deal_id: UUID,
    owner: str | None,
    stage: str,
    amount: Decimal | None,
    expected_close: date | None,
    entered_at: datetime,
    owner_now: str | None,
    month: str | None,
    forecast: Decimal | None,
) -> OpenRow:
    deal = OpenDeal(
        deal_id,
        owner,
        at.team_of(owner),
        stage,
        amount,
        expected_close,
        None if month is None or forecast is None else ManagerForecast(month, forecast),
        rate_of(stage, entered_at, at.as_of),
        at.funnel.dated,
    )
    return OpenRow(deal, owner_now, entered_at)


def parameters_of(at: Then) -> dict[str, Any]:
    """The placeholders of SQL about a moment of a funnel."""
    return {
        "funnel": at.funnel.key,
        "as_of": at.as_of,
        "known_at": at.known_at,
        "today": at.today,
    }
