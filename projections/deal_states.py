"""What a deal looked like from one change until the next: the rows that funnel and forecast are computed from."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from domain.deal import (
    AmountRevised,
    DealAbandoned,
    DealGraded,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealReopened,
    DealVoided,
    DealWon,
    ExpectedCloseRevised,
    OwnerRevised,
    StageAdvanced,
    StageRegressed,
)
from domain.event import Recorded
from projections.engine.description import Out, topics


class DealState(msgspec.Struct, frozen=True):
    """A deal from one change until the next.

    In force at (T, K) iff occurred_at <= T and known_at <= K, and not (next_occurred_at <= T and next_known_at <= K):
    both clocks never run backwards over a deal's state, so the events selected by (T, K) are its first ones.
    A voided or merged deal has no row that is in force.
    """

    deal_id: UUID
    seq: int
    """The version of the deal's stream that brought it."""
    occurred_at: datetime
    known_at: datetime
    funnel: str
    status: str
    stage: str
    amount: Decimal | None
    owner: str | None
    account_id: UUID | None
    product_line: str | None
    customer_segment: str | None
    region: str | None
    amount_thousandths: int
    """The amount once more, for summing: no currency is finer, and 0 when it is unknown."""
    expected_close: date | None
    grade: str | None
    entered_at: datetime
    """When it came into the stage, or was opened again in it."""
    closed_at: datetime | None
    closed_times: int
    """How often it had been won, lost or abandoned."""
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class FunnelHead(msgspec.Struct, frozen=True):
    """The deal's last state. `gone` once it was voided or merged."""

    deal_id: UUID
    seq: int
    gone: bool
    funnel: str
    status: str
    stage: str
    amount: Decimal | None
    owner: str | None
    account_id: UUID | None
    product_line: str | None
    customer_segment: str | None
    region: str | None
    expected_close: date | None
    grade: str | None
    entered_at: datetime
    closed_at: datetime | None
    closed_times: int


def fold(head: FunnelHead | None, e: Recorded, out: Out) -> FunnelHead:
    """Close the state in force and insert the one that follows it."""
    event, clocks = e.event, (e.meta.occurred_at, e.known_at)
    if type(event) is DealOpened:
        after = FunnelHead(
            e.stream_id,
            e.version,
            False,
            event.funnel,
            "open",
            event.stage,
            event.amount.amount if event.amount else None,
            event.owner,
            event.account_id,
            event.product_line,
            event.customer_segment,
            event.region,
            event.expected_close,
            None,
            clocks[0],
            None,
            0,
        )
    else:
        assert head is not None, "a stream of a deal begins with deal.opened"
        if head.gone:
            return head
        out.close(DealState, (head.deal_id, head.seq), clocks)
        after = msgspec.structs.replace(head, seq=e.version, **_changes(head, event, clocks[0]))
    if not after.gone:
        out.insert(
            DealState(
                after.deal_id,
                after.seq,
                *clocks,
                after.funnel,
                after.status,
                after.stage,
                after.amount,
                after.owner,
                after.account_id,
                after.product_line,
                after.customer_segment,
                after.region,
                int((after.amount or 0) * 1000),
                after.expected_close,
                after.grade,
                after.entered_at,
                after.closed_at,
                after.closed_times,
            )
        )
    return after


_OUTCOME: dict[type, str] = {DealWon: "won", DealLost: "lost", DealAbandoned: "abandoned"}


def _changes(head: FunnelHead, event: Any, at: datetime) -> dict[str, Any]:
    match event:
        case StageAdvanced() | StageRegressed():
            return {"stage": event.to_stage, "entered_at": at}
        case AmountRevised():
            return {"amount": event.to_amount.amount if event.to_amount else None}
        case OwnerRevised():
            return {"owner": event.to_owner}
        case ExpectedCloseRevised():
            return {"expected_close": event.to_date}
        case DealGraded():
            return {"grade": event.to_grade}
        case DealReopened():
            return {"status": "open", "stage": event.to_stage, "entered_at": at, "closed_at": None}
        case DealVoided() | DealMergedInto():
            return {"gone": True}
    return {"status": _OUTCOME[type(event)], "closed_at": at, "closed_times": head.closed_times + 1}


TOPICS = topics(
    DealOpened,
    StageAdvanced,
    StageRegressed,
    AmountRevised,
    ExpectedCloseRevised,
    OwnerRevised,
    DealGraded,
    DealWon,
    DealLost,
    DealAbandoned,
    DealReopened,
    DealVoided,
    DealMergedInto,
)
"""What the fold handles."""
