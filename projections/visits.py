"""Stage visits: each stay of a deal in a stage, and how long such stays last."""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import (
    DealAbandoned,
    DealGraded,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealReopened,
    DealVoided,
    DealWon,
    OwnerRevised,
    StageAdvanced,
    StageRegressed,
)
from domain.dwell import DwellSummary, summarise
from domain.event import Recorded
from projections.clocks import in_force, position_of
from projections.engine.description import Out, Projection, Table, topics
from projections.filters import NO_FILTERS, Filters
from projections.funnel import PROJECTION as FUNNEL
from projections.playbook import stages_at

Left = Literal["advance", "regress", "won", "lost", "abandoned", "voided", "merged"]


class StageVisit(msgspec.Struct, frozen=True):
    """One stay of a deal in a stage, numbered from 1 within the deal. The fields from `left_at` on are null while it
    lasts.

    An advance that passes over stages is a skip: `left_to` tells, with the funnel's order. `owner` is whose the deal
    was at leaving, `grade` the one it had then; while the visit lasts, and before, `VisitOwner` tells.
    """

    deal_id: UUID
    visit: int
    funnel: str
    stage: str
    entered_at: datetime
    entered_known_at: datetime
    account_id: UUID | None
    product_line: str | None
    customer_segment: str | None
    region: str | None
    left_at: datetime | None = None
    left_known_at: datetime | None = None
    left_by: Left | None = None
    left_to: str | None = None
    owner: str | None = None
    grade: str | None = None
    duration_us: int | None = None


class VisitOwner(msgspec.Struct, frozen=True):
    """Whose a deal was from one change of owner on; `seq` is the version of the deal's stream that brought it."""

    deal_id: UUID
    seq: int
    owner: str | None
    occurred_at: datetime
    known_at: datetime


class GoneDeal(msgspec.Struct, frozen=True):
    """A deal that was voided or merged: from then on none of its visits counts."""

    deal_id: UUID
    occurred_at: datetime
    known_at: datetime


class VisitHead(msgspec.Struct, frozen=True):
    """What closes the open rows of a deal."""

    deal_id: UUID
    visits: int
    lasting: bool
    entered_at: datetime
    owner: str | None
    grade: str | None
    funnel: str
    account_id: UUID | None
    product_line: str | None
    customer_segment: str | None
    region: str | None


def fold(head: VisitHead | None, e: Recorded, out: Out) -> VisitHead:
    """Leave the visit that lasts and enter the next one."""
    event, clocks = e.event, (e.meta.occurred_at, e.known_at)
    if type(event) is DealOpened:
        head = VisitHead(
            e.stream_id,
            0,
            False,
            clocks[0],
            event.owner,
            None,
            event.funnel,
            event.account_id,
            event.product_line,
            event.customer_segment,
            event.region,
        )
        out.insert(VisitOwner(e.stream_id, e.version, event.owner, *clocks))
        return _enter(head, event.stage, clocks, out)
    assert head is not None, "a stream of a deal begins with deal.opened"
    match event:
        case StageAdvanced():
            return _enter(_leave(head, "advance", event.to_stage, clocks, out), event.to_stage, clocks, out)
        case StageRegressed():
            return _enter(_leave(head, "regress", event.to_stage, clocks, out), event.to_stage, clocks, out)
        case DealReopened():
            return _enter(head, event.to_stage, clocks, out)
        case OwnerRevised():
            out.insert(VisitOwner(head.deal_id, e.version, event.to_owner, *clocks))
            return msgspec.structs.replace(head, owner=event.to_owner)
        case DealGraded():
            return msgspec.structs.replace(head, grade=event.to_grade)
        case DealVoided() | DealMergedInto():
            out.insert(GoneDeal(head.deal_id, *clocks))
    return _leave(head, _LEFT_BY[type(event)], None, clocks, out)


_Clocks = tuple[datetime, datetime]
_LEFT_BY: dict[type, Left] = {
    DealWon: "won",
    DealLost: "lost",
    DealAbandoned: "abandoned",
    DealVoided: "voided",
    DealMergedInto: "merged",
}
_MICROSECOND = timedelta(microseconds=1)


def _enter(head: VisitHead, stage: str, clocks: _Clocks, out: Out) -> VisitHead:
    visit = head.visits + 1
    out.insert(
        StageVisit(
            head.deal_id,
            visit,
            head.funnel,
            stage,
            *clocks,
            head.account_id,
            head.product_line,
            head.customer_segment,
            head.region,
        )
    )
    return msgspec.structs.replace(head, visits=visit, lasting=True, entered_at=clocks[0])


def _leave(head: VisitHead, by: Left, to: str | None, clocks: _Clocks, out: Out) -> VisitHead:
    if not head.lasting:
        return head
    duration = (clocks[0] - head.entered_at) // _MICROSECOND
    out.close(StageVisit, (head.deal_id, head.visits), (*clocks, by, to, head.owner, head.grade, duration))
    return msgspec.structs.replace(head, lasting=False)


PROJECTION = Projection(
    name="visits",
    version=1,
    topics=topics(
        DealOpened,
        StageAdvanced,
        StageRegressed,
        DealWon,
        DealLost,
        DealAbandoned,
        DealReopened,
        OwnerRevised,
        DealGraded,
        DealVoided,
        DealMergedInto,
    ),
    fold=fold,
    head=Table("visit_heads", VisitHead, key=("deal_id",)),
    histories=(
        Table(
            "stage_visits",
            StageVisit,
            key=("deal_id", "visit"),
            closing=("left_at", "left_known_at", "left_by", "left_to", "owner", "grade", "duration_us"),
            indexes=("(funnel, stage, left_at) INCLUDE (duration_us, left_known_at, deal_id)",),
        ),
        Table("visit_owners", VisitOwner, key=("deal_id", "seq")),
        Table("gone_deals", GoneDeal, key=("deal_id",)),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------

FORMULA = "dwell/1"
_DAY_US = 86_400_000_000


class StageDwell(msgspec.Struct, frozen=True):
    """Dwell in one stage, in days rounded half-even to 4 places; null where there is nothing to measure.

    `mean` to `p90` are of completed visits alone and so biased low; the Kaplan-Meier ones count the open visits too,
    and are null while more visits are estimated to last longer than any completed one did.
    """

    stage: str
    macro_stage: str
    completed_visits: int
    mean_days: float | None
    median_days: float | None
    p75_days: float | None
    p90_days: float | None
    open_visits: int
    open_mean_age_days: float | None
    open_median_age_days: float | None
    open_max_age_days: float | None
    kaplan_meier_median_days: float | None
    kaplan_meier_p75_days: float | None


class Dwell(msgspec.Struct, frozen=True):
    """Dwell in the stages of a funnel at (T, K), in its order. `position`: what of the log it reflects."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    stages: tuple[StageDwell, ...]


def dwell(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
) -> Dwell:
    """Visits completed by T, and visits open at T with their ages then, both as known at K (None: today).

    The filters on owner and grade take those at leaving, and at T for open visits. Raises UnknownFunnel.
    """
    parameters = {**filters.parameters(), "funnel": funnel, "as_of": as_of, "known_at": known_at}
    query = sql.SQL(
        "SELECT {position}, v.stage, v.completed, v.durations FROM (SELECT 1) one LEFT JOIN"
        " (({completed}) UNION ALL ({open_visits})) v ON true"
    ).format(
        position=position_of(PROJECTION, FUNNEL),
        completed=_completed(filters, known_at),
        open_visits=_open(filters, known_at),
    )
    rows = conn.execute(query, parameters).fetchall()
    completed = {stage: durations for _, stage, is_completed, durations in rows if is_completed}
    ages = {stage: durations for _, stage, is_completed, durations in rows if is_completed is False}
    stages = stages_at(conn, funnel, as_of, known_at).showing(completed.keys() | ages.keys())
    return Dwell(
        funnel,
        as_of,
        known_at,
        rows[0][0],
        FORMULA,
        tuple(
            _in_days(s.key, s.macro_stage, summarise(completed.get(s.key, ()), ages.get(s.key, ())))
            for s in stages
        ),
    )


def _completed(filters: Filters, known_at: datetime | None) -> sql.Composed:
    return sql.SQL(
        "SELECT stage, true AS completed, array_agg(duration_us) AS durations FROM {visits} v"
        " WHERE funnel = %(funnel)s AND left_at <= %(as_of)s{known} AND {counts}{filters} GROUP BY stage"
    ).format(
        visits=PROJECTION.view("stage_visits"),
        known=sql.SQL(" AND left_known_at <= %(known_at)s" if known_at else ""),
        counts=_counts(known_at),
        filters=filters.where("v"),
    )


def _open(filters: Filters, known_at: datetime | None) -> sql.Composed:
    lasts = "left_at IS NULL OR left_at > %(as_of)s"
    return sql.SQL(
        "SELECT stage, false AS completed,"
        " array_agg((extract(epoch FROM %(as_of)s::timestamptz - entered_at) * 1000000)::bigint) AS durations"
        " FROM {visits} v WHERE funnel = %(funnel)s AND entered_at <= %(as_of)s{known} AND ({lasts})"
        " AND {counts}{filters} GROUP BY stage"
    ).format(
        visits=PROJECTION.view("stage_visits"),
        known=sql.SQL(" AND entered_known_at <= %(known_at)s" if known_at else ""),
        lasts=sql.SQL(f"{lasts} OR left_known_at > %(known_at)s" if known_at else lasts),
        counts=_counts(known_at),
        filters=filters.where("v", instead={"owner": _owner_at(known_at), "grade": _grade_at(known_at)}),
    )


def _counts(known_at: datetime | None) -> sql.Composed:
    """The visit's deal was neither voided nor merged at (T, K)."""
    return sql.SQL(
        "NOT EXISTS (SELECT FROM {gone} g WHERE g.deal_id = v.deal_id AND g.occurred_at <= %(as_of)s{known})"
    ).format(
        gone=PROJECTION.view("gone_deals"),
        known=sql.SQL(" AND g.known_at <= %(known_at)s" if known_at else ""),
    )


def _owner_at(known_at: datetime | None) -> sql.Composed:
    """The owner of the visit's deal at (T, K): the last one of those that both clocks had reached."""
    return sql.SQL(
        "(SELECT o.owner FROM {owners} o WHERE o.deal_id = v.deal_id AND o.occurred_at <= %(as_of)s{known}"
        " ORDER BY o.seq DESC LIMIT 1)"
    ).format(
        owners=PROJECTION.view("visit_owners"),
        known=sql.SQL(" AND o.known_at <= %(known_at)s" if known_at else ""),
    )


def _grade_at(known_at: datetime | None) -> sql.Composed:
    """The grade of the visit's deal at (T, K)."""
    return sql.SQL("(SELECT s.grade FROM {states} s WHERE s.deal_id = v.deal_id AND {then})").format(
        states=FUNNEL.view("deal_states"), then=in_force("s", known_at)
    )


def _in_days(stage: str, macro_stage: str, s: DwellSummary) -> StageDwell:
    return StageDwell(
        stage=stage,
        macro_stage=macro_stage,
        completed_visits=s.completed_visits,
        mean_days=_days(s.mean),
        median_days=_days(s.median),
        p75_days=_days(s.p75),
        p90_days=_days(s.p90),
        open_visits=s.open_visits,
        open_mean_age_days=_days(s.open_mean_age),
        open_median_age_days=_days(s.open_median_age),
        open_max_age_days=_days(s.open_max_age),
        kaplan_meier_median_days=_days(s.kaplan_meier_median),
        kaplan_meier_p75_days=_days(s.kaplan_meier_p75),
    )


def _days(microseconds: int | None) -> float | None:
    return None if microseconds is None else float(round(Fraction(microseconds, _DAY_US), 4))
