"""How a forecast went, week by week, and how right those of past months were: by manager and by team."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import Connection

from domain.calendar import Period, month_of, parse_month, weeks_between
from domain.forecast import (
    ACCURACY_FORMULA,
    FORMULA,
    Accuracy,
    Cell,
    LeadAccuracy,
    Snapshot,
    accuracy,
    accuracy_by_lead,
    figures,
)
from domain.forecast_sight import Sight
from domain.money import plain
from domain.organisation import Organisation
from projections.filters import NO_FILTERS, Filters
from projections.forecast_audit import ForecastChanges, forecast_changes
from projections.forecast_cells import SeenCell, won_cells
from projections.forecast_moments import Moment, open_cells_at, thens, won_cells_at
from projections.forecast_rows import Horizon, Then, reflected
from projections.forecasting import Hidden, f1, f2, within
from projections.organisation import organisation_at
from projections.rate_sets import in_force, rate_sets

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
    formula: str = FORMULA


def forecast_weeks(
    conn: Connection[Any],
    at: Then,
    asked: Horizon,
    sight: Sight,
    *,
    filters: Filters = NO_FILTERS,
    team: str | None = None,
) -> ForecastWeeks:
    """F1, F2, predicted finals and won at the end of each week: the last 13 of the period, up to T.

    Of the deals that pass the filters and are the team's, each as of the week's end.
    """
    sets = rate_sets(conn, at.funnel.key)
    periods = _weeks(asked.period, at)
    moments = [
        Moment(w, asked.months, asked.period) for w in thens(conn, at.funnel.key, [p.as_of for p in periods])
    ]
    every = zip(
        periods,
        moments,
        open_cells_at(conn, moments, sets, sight, filters),
        won_cells_at(conn, moments, filters),
        strict=True,
    )
    weeks = []
    for week, moment, open_, won in every:
        people = within(moment.at, filters, team).owners
        ours = [each for each in open_ if people is None or each.cell.owner in people]
        done = [cell for cell in won if people is None or cell.owner in people]
        chosen = in_force(sets, moment.at.as_of, moment.at.known_at)
        found = figures([*(each.cell for each in ours), *done])
        weeks.append(
            Week(
                week=week.label,
                as_of=week.as_of,
                rate_set=chosen.number if chosen else None,
                **f2(found),
                **f1(found, sight, shown=all(each.seen for each in ours)),
            )
        )
    brought = won_cells(conn, at, asked.period, within(at, filters, team)).by_stage
    return ForecastWeeks(
        at.funnel.key,
        asked.label,
        at.as_of,
        at.known_at,
        reflected(conn),
        asked.period is not None and asked.period.end <= at.as_of,
        plain(figures(brought).won),
        weeks,
    )


def _weeks(period: Period | None, at: Then) -> list[Period]:
    """The ISO weeks that end in the last 13 weeks of the period, or before T, and not after either."""
    last = at.as_of if period is None else min(period.end, at.as_of)
    weeks = weeks_between(last - timedelta(weeks=WEEKS), last, at.tz)
    # A change of the clock may put the first of these moments into the week before.
    return [week for week in weeks if week.end <= last][-WEEKS:]


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
    formula: str = ACCURACY_FORMULA


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
    pools: dict[Kind, dict[str | None, _Pool]] = {kind: {} for kind in KINDS}
    pools["all"][None] = _Pool()
    for each in _past(conn, at, months, sight):
        _pooled(each, pools)
    changes = forecast_changes(conn, at.funnel.key, months, at, sight)
    groups = []
    for kind in KINDS:
        keys = {*pools[kind], *(changes[kind] if sight.any else ())}
        for key in sorted(keys, key=lambda name: (name is None, name or "")):
            pool, changed = pools[kind].get(key, _Pool()), changes[kind].get(key, ForecastChanges())
            groups.append(pool.row(kind, key, sight, changed))
    labels = [month.label for month in months]
    return ForecastAccuracy(at.funnel.key, labels, at.as_of, at.known_at, reflected(conn), groups)


class _Past(msgspec.Struct, frozen=True):
    """A month that is over: who managed whom at its end, what it brought, and what was shown at its weeks' ends."""

    closing: Organisation
    brought: list[Cell]
    weeks: list[tuple[int, list[SeenCell], list[Cell]]]
    """Weeks before the close, the open deals expected in the month, the deals won in it already."""


def _past(conn: Connection[Any], at: Then, months: Sequence[Period], sight: Sight) -> Iterator[_Past]:
    """All months, from a few passes over the history of the deals."""
    sets, weeks = (
        rate_sets(conn, at.funnel.key),
        [(month, week) for month in months for week in _weeks(month, at)],
    )
    shown = thens(conn, at.funnel.key, [week.as_of for _, week in weeks])
    moments = [Moment(w, frozenset({month.label}), month) for (month, _), w in zip(weeks, shown, strict=True)]
    found = list(
        zip(weeks, open_cells_at(conn, moments, sets, sight), won_cells_at(conn, moments), strict=True)
    )
    ends = [
        Moment(
            msgspec.structs.replace(at, org=organisation_at(conn, month.as_of, at.known_at)),
            frozenset(),
            month,
        )
        for month in months
    ]
    for month, end, brought in zip(months, ends, won_cells_at(conn, ends), strict=True):
        close = month.end.astimezone(at.tz).date()
        yield _Past(
            end.at.org,
            brought,
            [
                ((close - week.end.astimezone(at.tz).date()).days // 7, open_, won)
                for (of, week), open_, won in found
                if of is month
            ],
        )


def _pooled(past: _Past, pools: dict[Kind, dict[str | None, _Pool]]) -> None:
    """Put the month's snapshots into the pools of all, of every manager, and of every team."""
    everybody = {cell.team for cell in past.brought}
    for _, open_, won in past.weeks:
        everybody |= {each.cell.team for each in open_} | {cell.team for cell in won}
    groups: dict[tuple[Kind, str | None], set[str | None]] = {("all", None): everybody}
    for team in everybody:
        groups["team", team] = {team}
        groups.setdefault(("manager", _manager(past.closing, team)), set()).add(team)
    for (kind, key), teams in groups.items():
        pool = pools[kind].setdefault(key, _Pool())
        actual = figures(cell for cell in past.brought if cell.team in teams).won
        for lead, open_, won in past.weeks:
            ours = [each for each in open_ if each.cell.team in teams]
            found = figures([*(each.cell for each in ours), *(cell for cell in won if cell.team in teams)])
            pool.f1.append(Snapshot(lead, found.f1_final, actual))
            if found.f2_final is not None:
                pool.f2.append(Snapshot(lead, found.f2_final, actual))
            pool.shown &= all(each.seen for each in ours)


def _manager(org: Organisation, team: str | None) -> str | None:
    """The nearest manager of a team."""
    found = org.teams.get(team or "")
    while found is not None and found.manager is None:
        found = org.teams.get(found.parent or "")
    return found.manager if found else None
