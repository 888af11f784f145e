"""Open visits that last longer than visits of their stage do (S2)."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.money import plain
from domain.pipeline import TRAILING_DAYS, Norm, dwell_alert, norm_of
from domain.playbook import GradeGroup, grade_group
from projections.clocks import happened, in_force, position_of
from projections.filters import NO_FILTERS, Filters
from projections.funnel import PROJECTION as FUNNEL
from projections.pipeline import MICROSECOND, days
from projections.playbook import stages_at
from projections.visits import PROJECTION as VISITS

_Cell = tuple[str, GradeGroup | None]


class OverdueDeal(msgspec.Struct, frozen=True):
    """An open deal whose visit is older than its norm; days, rounded half-even to 4 places.

    The norm is the mean of `visits` completed in the same stage and grade group (null: deals without a grade), or
    the stage's `stall_after_days`, as `norm_source` says. `kaplan_meier_percentile` is the share of visits, 0 to 1,
    estimated to be over by this age.
    """

    deal_id: UUID
    name: str | None
    stage: str
    owner: str | None
    amount: str | None
    grade: str | None
    grade_group: GradeGroup | None
    entered_at: datetime
    age_days: float
    norm_days: float
    norm_source: Literal["mean", "stall_after_days"]
    visits: int
    kaplan_meier_percentile: float
    kaplan_meier_p75_days: float | None
    in_default: bool


def overdue_deals(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
    full: bool = False,
) -> tuple[int, list[OverdueDeal]]:
    """The position, and the alerts at (T, K), oldest visit first, without names: those of the default list, or all.

    The filters choose among the alerts; norms are of all deals of the funnel. Raises UnknownFunnel.
    """
    stages = {s.key: s for s in stages_at(conn, funnel, as_of, known_at).all}
    parameters = {
        **filters.parameters(),
        "funnel": funnel,
        "as_of": as_of,
        "known_at": known_at,
        "since": as_of - timedelta(days=TRAILING_DAYS),
    }
    completed: dict[_Cell, list[int]] = defaultdict(list)
    for stage, grade, durations in conn.execute(_completed(known_at), parameters).fetchall():
        completed[stage, grade_group(grade)] += durations
    rows = conn.execute(_open(filters, known_at), parameters).fetchall()
    visits = [row for row in rows if row[2] in stages]  # not the one row of nulls where no deal is open
    ages: dict[_Cell, list[int]] = defaultdict(list)
    for _, _, stage, _, _, grade, entered_at, _ in visits:
        ages[stage, grade_group(grade)].append((as_of - entered_at) // MICROSECOND)
    norms: dict[_Cell, Norm] = {
        cell: norm_of(completed.get(cell, ()), of_cell, stages[cell[0]].stall_after_days)
        for cell, of_cell in ages.items()
    }
    found = []
    for _, deal_id, stage, owner, amount, grade, entered_at, wanted in visits:
        age, group = (as_of - entered_at) // MICROSECOND, grade_group(grade)
        alert = dwell_alert(age, norms[stage, group]) if wanted else None
        if alert is None or not (full or alert.in_default):
            continue
        p75 = alert.kaplan_meier_p75
        found.append(
            OverdueDeal(
                deal_id,
                None,
                stage,
                owner,
                None if amount is None else plain(amount),
                grade,
                group,
                entered_at,
                days(age),
                days(alert.norm),
                alert.norm_source,
                alert.visits,
                alert.kaplan_meier_percentile,
                None if p75 is None else days(p75),
                alert.in_default,
            )
        )
    return rows[0][0], found


def _completed(known_at: datetime | None) -> sql.Composed:
    """Durations by stage and by the grade at leaving, of the deals that are neither voided nor merged at (T, K)."""
    return sql.SQL(
        "SELECT v.stage, v.grade, array_agg(v.duration_us) FROM {visits} v"
        " WHERE v.funnel = %(funnel)s AND v.left_at > %(since)s AND {left}"
        " AND NOT EXISTS (SELECT FROM {gone} x WHERE x.deal_id = v.deal_id AND {then_gone}) GROUP BY 1, 2"
    ).format(
        visits=VISITS.view("stage_visits"),
        gone=VISITS.view("gone_deals"),
        left=happened("v", known_at, "left_at", "left_known_at"),
        then_gone=happened("x", known_at),
    )


def _open(filters: Filters, known_at: datetime | None) -> sql.Composed:
    return sql.SQL(
        "SELECT {position}, found.* FROM (SELECT 1) one LEFT JOIN (SELECT s.deal_id, s.stage, s.owner, s.amount,"
        " s.grade, s.entered_at, coalesce(true{filters}, false) FROM {states} s"
        " WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {then}"
        ") found ON true ORDER BY found.entered_at, found.deal_id"
    ).format(
        position=position_of(FUNNEL, VISITS),
        states=FUNNEL.view("deal_states"),
        then=in_force("s", known_at),
        filters=filters.where("s"),
    )
