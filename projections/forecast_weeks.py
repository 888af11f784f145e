"""How a forecast went, week by week, and how right those of past months were: by manager and by team."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import Connection

from domain.calendar import Period, month_of, parse_month, weeks_between
from domain.exact import total
from domain.forecast import Accuracy, LeadAccuracy, Snapshot, accuracy, accuracy_by_lead, figures
from domain.forecast_sight import Sight
from domain.money import plain
from domain.organisation import Organisation
from projections.forecast_audit import ForecastChanges, forecast_changes
from projections.forecast_rows import Horizon, Then, open_rows, reflected, then, won_rows
from projections.forecasting import Hidden, f1, f2, people_asked
from projections.organisation import organisation_at
from projections.rate_sets import AdoptedRateSet, in_force, rate_sets

WEEKS = 13
"""How many weeks before its close a month is looked at: a quarter."""


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """What was forecast just before the end of a week, as it was shown then."""

    week: str
    as_of: datetime
    rate_set: int | None
    open_deals: int
    open_amount: str
    won_deals: int
    won: str
    f2_open: str | None
    f2_final: str | None
    f1_open: Hidden = UNSET
    f1_final: Hidden = UNSET
    difference: Hidden = UNSET


class ForecastWeeks(msgspec.Struct, frozen=True):
    """The weekly curves of a period; `actual` is what it has brought as of T, final once the period is over."""

    funnel: str
    period: str
    as_of: datetime
    known_at: datetime | None
    position: int
    over: bool
    actual: str
    weeks: list[Week]


def forecast_weeks(
    conn: Connection[Any],
    at: Then,
    asked: Horizon,
    sight: Sight,
    *,
    owner: str | None = None,
    team: str | None = None,
) -> ForecastWeeks:
    """F1, F2, predicted finals and won at the end of each week: the last 13 of the period, up to T."""
    sets = rate_sets(conn, at.funnel.key)
    weeks = []
    for week in _weeks(asked.period, at):
        w = then(conn, at.funnel.key, week.as_of, week.as_of)
        people = people_asked(w, owner, team)
        chosen = in_force(sets, w.as_of, w.known_at)
        rows = open_rows(conn, w, asked.months, w.rates(chosen), people)
        expected = [row for row in rows if row.deal.month in asked.months]
        found = figures([row.deal for row in expected], won_rows(conn, w, asked.period, people))
        shown = all(sight.sees(row.owner_now, row.deal.owner) for row in expected)
        number = chosen.number if chosen else None
        weeks.append(
            Week(
                week=week.label,
                as_of=week.as_of,
                rate_set=number,
                **f2(found),
                **f1(found, sight, shown=shown),
            )
        )
    won = won_rows(conn, at, asked.period, people_asked(at, owner, team))
    return ForecastWeeks(
        at.funnel.key,
        asked.label,
        at.as_of,
        at.known_at,
        reflected(conn),
        asked.period is not None and asked.period.end <= at.as_of,
        plain(total(deal.amount for deal in won if deal.amount is not None)),
        weeks,
    )


def _weeks(period: Period | None, at: Then) -> list[Period]:
    """The ISO weeks that end in the last 13 weeks of the period, or before T, and not after either."""
    last = at.as_of if period is None else min(period.end, at.as_of)
    weeks = weeks_between(last - timedelta(weeks=WEEKS), last, at.tz)
    return [week for week in weeks if week.end <= last]


# --- Accuracy -----------------------------------------------------------------------------------------


Kind = Literal["all", "manager", "team"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class AccuracyRow(msgspec.Struct, frozen=True):
    """How right the forecasts of all, of one manager's teams, or of one team were; biases as decimal strings.

    `changes` of forecasts, those in the last week of their month or later among them. F1 is missing for those who
    never see it, null where the viewer may not see a deal that is in it.
    """

    kind: Kind
    key: str | None
    f2: Accuracy
    f2_by_lead: tuple[LeadAccuracy, ...]
    f1: Accuracy | UnsetType | None = UNSET
    f1_by_lead: tuple[LeadAccuracy, ...] | UnsetType | None = UNSET
    changes: int | UnsetType | None = UNSET
    changes_in_last_week: int | UnsetType | None = UNSET


class ForecastAccuracy(msgspec.Struct, frozen=True):
    """The accuracy of the forecasts of some months that are over."""

    funnel: str
    months: list[str]
    as_of: datetime
    known_at: datetime | None
    position: int
    groups: list[AccuracyRow]


class _Pool:
    """The snapshots of one manager, team, or of all."""

    def __init__(self) -> None:
        self.f1: list[Snapshot] = []
        self.f2: list[Snapshot] = []
        self.shown = True

    def row(self, kind: Kind, key: str | None, sight: Sight, changes: ForecastChanges) -> AccuracyRow:
        """The pool's accuracy."""
        told = AccuracyRow(kind, key, accuracy(self.f2), accuracy_by_lead(self.f2))
        if not sight.any:
            return told
        seen = {
            "f1": accuracy(self.f1) if self.shown else None,
            "f1_by_lead": accuracy_by_lead(self.f1) if self.shown else None,
            "changes": None if changes.hidden else changes.changes,
            "changes_in_last_week": None if changes.hidden else changes.in_last_week,
        }
        return msgspec.structs.replace(told, **seen)


def months_over(at: Then, first: str | None, last: str | None, most: int = 12) -> list[Period]:
    """The months from first to last that are over at T; by default the last twelve.

    Raises ValueError for a label that is no month, or more than `most`.
    """
    this = month_of(at.as_of, at.tz)
    until = parse_month(last, at.tz) if last else month_of(this.start - timedelta(days=1), at.tz)
    found = [until]
    begin = parse_month(first, at.tz) if first else None
    while len(found) < most and (begin is None or found[0].start > begin.start):
        found.insert(0, month_of(found[0].start - timedelta(days=1), at.tz))
    if begin is not None and found[0].start != begin.start:
        raise ValueError(f"from {first} to {last or until.label} there are not 1 to {most} months")
    return [month for month in found if month.end <= at.as_of]


def forecast_accuracy(
    conn: Connection[Any], at: Then, months: Sequence[Period], sight: Sight
) -> ForecastAccuracy:
    """Bias and WAPE of weekly predicted finals against what the months brought, pooled and by weeks before close.

    A snapshot is what was shown at a week's end; a deal counts for its owner's team of that moment, a win for the
    owner's team at the month's end, and a team for its nearest manager then.
    """
    sets = rate_sets(conn, at.funnel.key)
    pools: dict[Kind, dict[str | None, _Pool]] = {kind: {} for kind in KINDS}
    pools["all"][None] = _Pool()
    for month in months:
        _month(conn, at, month, sets, sight, pools)
    changes = forecast_changes(conn, at.funnel.key, months, at, sight)
    groups = []
    for kind in KINDS:
        keys = {*pools[kind], *(changes[kind] if sight.any else ())}
        for key in sorted(keys, key=lambda name: (name is None, name or "")):
            pool, changed = pools[kind].get(key, _Pool()), changes[kind].get(key, ForecastChanges())
            groups.append(pool.row(kind, key, sight, changed))
    labels = [month.label for month in months]
    return ForecastAccuracy(at.funnel.key, labels, at.as_of, at.known_at, reflected(conn), groups)


def _month(
    conn: Connection[Any],
    at: Then,
    month: Period,
    sets: Sequence[AdoptedRateSet],
    sight: Sight,
    pools: dict[Kind, dict[str | None, _Pool]],
) -> None:
    closing = organisation_at(conn, month.as_of, at.known_at)
    brought = won_rows(conn, msgspec.structs.replace(at, org=closing), month)
    weeks = []
    for week in _weeks(month, at):
        w = then(conn, at.funnel.key, week.as_of, week.as_of)
        rates = w.rates(in_force(sets, w.as_of, w.known_at))
        rows = [r for r in open_rows(conn, w, {month.label}, rates) if r.deal.month == month.label]
        weeks.append((week, rows, won_rows(conn, w, month)))
    everybody = {deal.team for deal in brought}
    for _, rows, won in weeks:
        everybody |= {row.deal.team for row in rows} | {deal.team for deal in won}
    groups: dict[tuple[Kind, str | None], set[str | None]] = {("all", None): everybody}
    for team in everybody:
        groups["team", team] = {team}
        groups.setdefault(("manager", _manager(closing, team)), set()).add(team)
    for (kind, key), teams in groups.items():
        pool = pools[kind].setdefault(key, _Pool())
        actual = _sum(deal.amount for deal in brought if deal.team in teams)
        for week, rows, won in weeks:
            ours = [row for row in rows if row.deal.team in teams]
            found = figures([row.deal for row in ours], [deal for deal in won if deal.team in teams])
            lead = (month.end.astimezone(at.tz).date() - week.end.astimezone(at.tz).date()).days // 7
            pool.f1.append(Snapshot(lead, found.f1_final, actual))
            if found.f2_final is not None:
                pool.f2.append(Snapshot(lead, found.f2_final, actual))
            pool.shown &= all(sight.sees(row.owner_now, row.deal.owner) for row in ours)


def _manager(org: Organisation, team: str | None) -> str | None:
    """The nearest manager of a team."""
    found = org.teams.get(team or "")
    while found is not None and found.manager is None:
        found = org.teams.get(found.parent or "")
    return found.manager if found else None


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return total(amount for amount in amounts if amount is not None)
