"""Open visits that last longer than visits of their stage do (S2)."""

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.money import plain
from domain.pipeline import TRAILING_DAYS, Norm, alert_after, dwell_alert, norm_of
from domain.playbook import Grade, GradeGroup, Stage, grade_group
from projections.clocks import happened, position_of
from projections.filters import NO_FILTERS, Filters
from projections.funnel import PROJECTION as FUNNEL
from projections.open_deals import OpenDeals
from projections.pipeline import MICROSECOND, days
from projections.playbook import stages_at
from projections.visits import PROJECTION as VISITS

_Cell = tuple[str, GradeGroup | None]


class OverdueDeal(msgspec.Struct, frozen=True):
    """An open deal whose visit is older than its norm; days, rounded half-even to 4 places.

    The norm is the mean of `visits` completed in the same stage and grade group (null: deals without a grade), or
    the stage's `stall_after_days`, as `norm_source` says. `kaplan_meier_percentile` is the share of visits, 0 to 1
    in 4 places, estimated to be over by this age.
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
    after: tuple[datetime, UUID] | None = None,
    limit: int | None = None,
) -> tuple[int, int, list[OverdueDeal]]:
    """The position, how many alerts there are at (T, K), of the default list or all, and a page of them.

    Oldest visit first, without names; `after` is (entered_at, deal_id) of the last deal of the page before. The filters
    choose among the alerts; norms are of all deals of the funnel. Raises UnknownFunnel.
    """
    stages = {s.key: s for s in stages_at(conn, funnel, as_of, known_at).all}
    then = {"funnel": funnel, "as_of": as_of, "known_at": known_at}
    norms = _norms(conn, stages, then)
    alert_from = {
        (stage, grade): timedelta(microseconds=least)
        for (stage, grade), norm in norms.items()
        if (least := alert_after(norm, default=not full)) is not None
    }
    page = {
        "stages": [stage for stage, _ in alert_from],
        "grades": [grade for _, grade in alert_from],
        "alert_after": list(alert_from.values()),
        "after_entered_at": after and after[0],
        "after_deal_id": after and after[1],
        "limit": limit,
    }
    rows = conn.execute(_page(filters, known_at), {**filters.parameters(), **then, **page}).fetchall()
    alerts = [_overdue(norms[row[3], row[6]], as_of, *row[2:]) for row in rows if row[2] is not None]
    return rows[0][0], rows[0][1], alerts


def _norms(
    conn: Connection[Any], stages: dict[str, Stage], then: dict[str, Any]
) -> dict[tuple[str, Grade | None], Norm]:
    """The norm of each stage and grade that an open deal has; grades of one group share theirs."""
    completed: dict[_Cell, list[int]] = defaultdict(list)
    ages: dict[_Cell, list[int]] = defaultdict(list)
    since = then["as_of"] - timedelta(days=TRAILING_DAYS)
    # In binary, as numbers for the estimates: half a million of them are read in no time.
    with conn.cursor(binary=True) as cursor:
        cursor.execute(_completed(then["known_at"]), {**then, "since": since})
        for stage, grade, durations in cursor.fetchall():
            completed[stage, grade_group(grade)] += durations
        cursor.execute(_ages(then["known_at"]), then)
        found = [row for row in cursor.fetchall() if row[0] in stages]
    for stage, grade, of_stage in found:
        ages[stage, grade_group(grade)] += of_stage
    norms = {
        cell: norm_of(completed.get(cell, ()), of_cell, stages[cell[0]].stall_after_days)
        for cell, of_cell in ages.items()
    }
    return {(stage, grade): norms[stage, grade_group(grade)] for stage, grade, _ in found}


def _overdue(
    norm: Norm,
    as_of: datetime,
    deal_id: UUID,
    stage: str,
    owner: str | None,
    amount: Decimal | None,
    grade: Grade | None,
    entered_at: datetime,
) -> OverdueDeal:
    alert = dwell_alert((as_of - entered_at) // MICROSECOND, norm)
    assert alert is not None, "it is older than `alert_after`"
    p75 = alert.kaplan_meier_p75
    return OverdueDeal(
        deal_id,
        None,
        stage,
        owner,
        None if amount is None else plain(amount),
        grade,
        grade_group(grade),
        entered_at,
        days(alert.age),
        days(alert.norm),
        alert.norm_source,
        alert.visits,
        alert.kaplan_meier_percentile,
        None if p75 is None else days(p75),
        alert.in_default,
    )


def _completed(known_at: datetime | None) -> sql.Composed:
    """Durations by stage and by the grade at leaving, of the deals that are neither voided nor merged at (T, K)."""
    return sql.SQL(
        "SELECT v.stage, v.grade, array_agg(v.duration_us) FROM {visits} v"
        " WHERE v.funnel = %(funnel)s AND v.left_at > %(since)s AND {left}"
        " AND v.deal_id NOT IN (SELECT x.deal_id FROM {gone} x WHERE {then_gone}) GROUP BY 1, 2"
    ).format(
        visits=VISITS.view("stage_visits"),
        gone=VISITS.view("gone_deals"),
        left=happened("v", known_at, "left_at", "left_known_at"),
        then_gone=happened("x", known_at),
    )


def _ages(known_at: datetime | None) -> sql.Composed:
    """Ages of all open visits by stage and grade."""
    return sql.SQL(
        "SELECT o.stage, o.grade, array_agg((extract(epoch FROM %(as_of)s::timestamptz - o.entered_at) * 1000000)::bigint)"
        " FROM ({}) o GROUP BY 1, 2"
    ).format(_open(NO_FILTERS, known_at))


def _page(filters: Filters, known_at: datetime | None) -> sql.Composed:
    return sql.SQL(
        "WITH found AS MATERIALIZED (SELECT o.deal_id, o.stage, o.owner, o.amount, o.grade, o.entered_at"
        " FROM ({open_deals}) o JOIN unnest(%(stages)s::text[], %(grades)s::text[], %(alert_after)s::interval[])"
        " AS a(stage, grade, alert_after) ON a.stage = o.stage AND a.grade IS NOT DISTINCT FROM o.grade"
        " WHERE %(as_of)s - o.entered_at > a.alert_after)"
        " SELECT {position}, (SELECT count(*) FROM found), page.* FROM (SELECT 1) one LEFT JOIN (SELECT * FROM found"
        " WHERE %(after_entered_at)s::timestamptz IS NULL"
        " OR (entered_at, deal_id) > (%(after_entered_at)s, %(after_deal_id)s::uuid)"
        " ORDER BY entered_at, deal_id LIMIT %(limit)s) page ON true ORDER BY page.entered_at, page.deal_id"
    ).format(open_deals=_open(filters, known_at), position=position_of(FUNNEL, VISITS))


def _open(filters: Filters, known_at: datetime | None) -> sql.Composed:
    return OpenDeals(
        FUNNEL.view("deal_states"), filters, one_funnel=True, with_known_at=known_at is not None
    ).rows()
