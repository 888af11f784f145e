"""The sales process on deals: ticked items, reviews, grades, and when amount and close date were confirmed (A2, B2, S1)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import (
    AmountRevised,
    DealConfirmed,
    DealGraded,
    DealOpened,
    ExpectedCloseRevised,
    ItemTicked,
    ItemUnticked,
    Outcome,
    StageReviewed,
)
from domain.errors import UnknownDeal
from domain.event import Recorded
from domain.playbook import Grade, Names
from projections.clocks import happened, in_force, not_followed, position_of
from projections.deals import PROJECTION as DEALS
from projections.engine.description import Out, Projection, Table, topics
from projections.funnel import PROJECTION as FUNNEL
from projections.playbook import stages_at
from projections.rules import playbook_at


class ItemTick(msgspec.Struct, frozen=True):
    """An item of a stage's checklist from its tick until it was unticked; `seq` is the version that ticked it."""

    deal_id: UUID
    seq: int
    stage: str
    item: str
    ticked_by: str
    occurred_at: datetime
    known_at: datetime
    unticked_at: datetime | None = None
    unticked_known_at: datetime | None = None


class StageReview(msgspec.Struct, frozen=True):
    """One review of a deal in a stage."""

    deal_id: UUID
    seq: int
    stage: str
    outcome: Outcome
    reason: str | None
    reviewed_by: str
    occurred_at: datetime
    known_at: datetime


class DealGrade(msgspec.Struct, frozen=True):
    """The grade of a deal from one grading until the next; null from when it has none again."""

    deal_id: UUID
    seq: int
    grade: Grade | None
    given_by: str
    """By the amount, or by hand as an override."""
    reason: str | None
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class Confirmation(msgspec.Struct, frozen=True):
    """A moment at which somebody stood by the deal's amount, its expected close, or both.

    Opening a deal, revising either, and confirming the deal count. What a manager forecasts does not: it would show
    in the lists of those who may not know of it.
    """

    deal_id: UUID
    seq: int
    amount: bool
    expected_close: bool
    occurred_at: datetime
    known_at: datetime


class ProcessHead(msgspec.Struct, frozen=True):
    """What closes the open rows: the version of the last grade, and of each tick by "stage/item"."""

    deal_id: UUID
    grade_seq: int | None = None
    ticks: dict[str, int] = {}


def fold(head: ProcessHead | None, e: Recorded, out: Out) -> ProcessHead:
    """Insert what the event says, and close what it ends."""
    event, clocks, by = e.event, (e.meta.occurred_at, e.known_at), e.meta.actor.id
    head = head or ProcessHead(e.stream_id)
    change = msgspec.structs.replace
    match event:
        case DealOpened() | DealConfirmed():
            out.insert(Confirmation(head.deal_id, e.version, True, True, *clocks))
        case AmountRevised():
            out.insert(Confirmation(head.deal_id, e.version, True, False, *clocks))
        case ExpectedCloseRevised():
            out.insert(Confirmation(head.deal_id, e.version, False, True, *clocks))
        case DealGraded():
            if head.grade_seq is not None:
                out.close(DealGrade, (head.deal_id, head.grade_seq), clocks)
            out.insert(DealGrade(head.deal_id, e.version, event.to_grade, event.by, event.reason, *clocks))
            return change(head, grade_seq=e.version)
        case ItemTicked():
            out.insert(ItemTick(head.deal_id, e.version, event.stage, event.item, by, *clocks))
            return change(head, ticks={**head.ticks, f"{event.stage}/{event.item}": e.version})
        case ItemUnticked():
            ticks = dict(head.ticks)
            out.close(ItemTick, (head.deal_id, ticks.pop(f"{event.stage}/{event.item}")), clocks)
            return change(head, ticks=ticks)
        case StageReviewed():
            out.insert(
                StageReview(head.deal_id, e.version, event.stage, event.outcome, event.reason, by, *clocks)
            )
    return head


PROJECTION = Projection(
    name="process",
    version=1,
    topics=topics(
        DealOpened,
        DealConfirmed,
        AmountRevised,
        ExpectedCloseRevised,
        DealGraded,
        ItemTicked,
        ItemUnticked,
        StageReviewed,
    ),
    fold=fold,
    head=Table("process_heads", ProcessHead, key=("deal_id",)),
    histories=(
        Table(
            "item_ticks",
            ItemTick,
            key=("deal_id", "seq"),
            closing=("unticked_at", "unticked_known_at"),
        ),
        Table("stage_reviews", StageReview, key=("deal_id", "seq")),
        Table(
            "deal_grades",
            DealGrade,
            key=("deal_id", "seq"),
            closing=("next_occurred_at", "next_known_at"),
        ),
        Table("deal_confirmations", Confirmation, key=("deal_id", "seq")),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------


class ChecklistItem(msgspec.Struct, frozen=True):
    """An item that a stage asks for, and who ticked it when; null while it is open.

    An item that is ticked, but not asked for any more, is neither required nor labelled.
    """

    stage: str
    item: str
    label: Names | None
    required: bool
    ticked_at: datetime | None
    ticked_by: str | None


class Review(msgspec.Struct, frozen=True):
    """A review of the deal in a stage."""

    stage: str
    outcome: Outcome
    reason: str | None
    reviewed_by: str
    reviewed_at: datetime


class GradeChange(msgspec.Struct, frozen=True):
    """A grade that the deal had from `since` on; given by its amount, or by hand (an override) with a reason."""

    grade: Grade | None
    given_by: str
    reason: str | None
    since: datetime


class StageAsks(msgspec.Struct, frozen=True):
    """What is missing in a stage: required items still open, and whether a review must be approved and is not."""

    stage: str
    required: int
    required_open: int
    review_required: bool
    review: Outcome | None


class DealChecklist(msgspec.Struct, frozen=True):
    """The checklists of a deal at (T, K), stage by stage in the funnel's order; its reviews and grades, oldest first.

    `stage` is the one that the deal stood in; null where it had not been opened yet, or was voided or merged.
    """

    deal_id: UUID
    funnel: str
    stage: str | None
    as_of: datetime
    known_at: datetime | None
    position: int
    stages: list[StageAsks]
    items: list[ChecklistItem]
    reviews: list[Review]
    grades: list[GradeChange]


def checklist(
    conn: Connection[Any], deal_id: UUID, *, as_of: datetime, known_at: datetime | None = None
) -> DealChecklist:
    """What the stages of the deal's funnel ask for at (T, K), and what of it is done. Raises UnknownDeal."""
    parameters = {"deal_id": deal_id, "as_of": as_of, "known_at": known_at}
    found = conn.execute(
        sql.SQL(
            "SELECT {position}, d.funnel, s.stage FROM {deals} d"
            " LEFT JOIN {states} s ON s.deal_id = d.deal_id AND {then} WHERE d.deal_id = %(deal_id)s"
        ).format(
            position=position_of(PROJECTION, FUNNEL),
            deals=DEALS.view("deals"),
            states=FUNNEL.view("deal_states"),
            then=in_force("s", known_at),
        ),
        parameters,
    ).fetchone()
    if found is None:
        raise UnknownDeal(deal_id)
    position, funnel, stage = found
    ticks = {
        (stage, item): (at, by) for stage, item, at, by in conn.execute(_ticks_sql(known_at), parameters)
    }
    reviews = [Review(*row) for row in _history(conn, "stage_reviews", Review, parameters)]
    lists = playbook_at(conn, as_of, known_at).checklists.get(funnel, {})
    items: list[ChecklistItem] = []
    asks: list[StageAsks] = []
    for key in [s.key for s in stages_at(conn, funnel, as_of, known_at).all]:
        asked = lists[key].items if key in lists else ()
        more = sorted(item for at, item in ticks if at == key and item not in {i.key for i in asked})
        for item in asked:
            ticked = ticks.get((key, item.key), (None, None))
            items.append(ChecklistItem(key, item.key, item.label, item.required, *ticked))
        items.extend(ChecklistItem(key, item, None, False, *ticks[key, item]) for item in more)
        required = lists[key].required() if key in lists else ()
        outcomes = [review.outcome for review in reviews if review.stage == key]
        asks.append(
            StageAsks(
                key,
                len(required),
                sum((key, item) not in ticks for item in required),
                key in lists and lists[key].review_required,
                outcomes[-1] if outcomes else None,
            )
        )
    grades = [GradeChange(*row) for row in _history(conn, "deal_grades", GradeChange, parameters)]
    return DealChecklist(deal_id, funnel, stage, as_of, known_at, position, asks, items, reviews, grades)


def _ticks_sql(known_at: datetime | None) -> sql.Composed:
    return sql.SQL(
        "SELECT t.stage, t.item, t.occurred_at, t.ticked_by FROM {ticks} t WHERE t.deal_id = %(deal_id)s"
        " AND {then} AND {still} ORDER BY t.seq"
    ).format(
        ticks=PROJECTION.view("item_ticks"),
        then=happened("t", known_at),
        still=not_followed("t", known_at, "unticked_at", "unticked_known_at"),
    )


def _history(
    conn: Connection[Any], table: str, shown: type[msgspec.Struct], parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The deal's rows of a table that (T, K) select, in order, as the columns of what shows them."""
    names = ["occurred_at" if n in ("reviewed_at", "since") else n for n in shown.__struct_fields__]
    query = sql.SQL("SELECT {} FROM {} h WHERE h.deal_id = %(deal_id)s AND {} ORDER BY h.seq").format(
        sql.SQL(", ").join(sql.Identifier("h", n) for n in names),
        PROJECTION.view(table),
        happened("h", parameters["known_at"]),
    )
    return conn.execute(query, parameters).fetchall()
