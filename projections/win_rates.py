"""Win rates of deals (A9): the comparison with the competitors as it stands, and every change of the rate (C4)."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import (
    US,
    AssessmentConfirmed,
    CompellingEventReassessed,
    CompellingEventRecorded,
    CompellingEventWithdrawn,
    CompetitorAdded,
    CompetitorAssessed,
    CompetitorDroppedOut,
    DealOpened,
    InsideSourceFound,
    InsideSourceLost,
    OurPositionAssessed,
    SoleSourceConfirmed,
    SoleSourceWithdrawn,
)
from domain.errors import UnknownDeal
from domain.event import Recorded
from domain.win_rate import Assessment, Comparison, Status, WinRate, win_rate
from infra.vault import read_texts
from projections.clocks import columns, struct_of
from projections.engine.description import Out, Projection, Table, topics


class Mover(msgspec.Struct, frozen=True):
    """The event that brought a win rate; `version` is that of the deal's stream."""

    event_id: UUID
    topic: str
    version: int
    occurred_at: datetime


class WinRateChange(msgspec.Struct, frozen=True):
    """The win rate after one event of the comparison, until the next one; two clocks as in `DealState`.

    `moved_by` is the last event after which status or value were others than before, itself included; null while no
    event has moved them from "not computed". `assessed_at` is when a party was last assessed.
    """

    deal_id: UUID
    seq: int
    occurred_at: datetime
    known_at: datetime
    status: Status
    value: Decimal | None
    win_rate: WinRate
    unconfirmed: tuple[str, ...]
    moved_by: Mover | None
    assessed_at: datetime | None
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class Party(msgspec.Struct, frozen=True):
    """We ("us") or a competitor: the latest assessment, who gave it, and who confirmed it; null until then."""

    party: str
    label: str | None = None
    need_fit: Decimal | None = None
    relationship: Decimal | None = None
    assessed_at: datetime | None = None
    assessed_by: str | None = None
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None


class Compelling(msgspec.Struct, frozen=True):
    """The compelling event in force; its text lies in the vault."""

    text_id: UUID
    deadline: date | None
    since: datetime
    stated_at: datetime


class ComparisonHead(msgspec.Struct, frozen=True):
    """The comparison of a deal as it stands. `seq` is the version of its last event; `win_rate` null before any."""

    deal_id: UUID
    seq: int
    compelling_event: Compelling | None = None
    inside_source_since: datetime | None = None
    inside_source_note: UUID | None = None
    sole_source_since: datetime | None = None
    sole_source_by: str | None = None
    sole_source_reason: str | None = None
    us: Party = Party(US)
    competitors: tuple[Party, ...] = ()
    win_rate: WinRate | None = None
    unconfirmed: tuple[str, ...] = ()
    moved_by: Mover | None = None
    assessed_at: datetime | None = None


def fold(head: ComparisonHead | None, e: Recorded, out: Out) -> ComparisonHead:
    """Close the win rate in force and insert the one that the event stores."""
    event, clocks = e.event, (e.meta.occurred_at, e.known_at)
    if type(event) is DealOpened:
        return ComparisonHead(e.stream_id, e.version)
    assert head is not None, "a stream of a deal begins with deal.opened"
    before = head.win_rate
    rate, unconfirmed = event.result.win_rate, event.result.unconfirmed
    if before is not None:
        out.close(WinRateChange, (head.deal_id, head.seq), clocks)
    moved_by = head.moved_by
    if (rate.status, rate.value) != ((before.status, before.value) if before else ("not_computed", None)):
        moved_by = Mover(e.meta.event_id, e.topic, e.version, clocks[0])
    assessed_at = (
        clocks[0] if isinstance(event, OurPositionAssessed | CompetitorAssessed) else head.assessed_at
    )
    out.insert(
        WinRateChange(
            head.deal_id,
            e.version,
            *clocks,
            rate.status,
            rate.value,
            rate,
            unconfirmed,
            moved_by,
            assessed_at,
        )
    )
    return msgspec.structs.replace(
        head,
        seq=e.version,
        win_rate=rate,
        unconfirmed=unconfirmed,
        moved_by=moved_by,
        assessed_at=assessed_at,
        **_changes(head, e),
    )


def _changes(head: ComparisonHead, e: Recorded) -> dict[str, Any]:
    event, at, by = e.event, e.meta.occurred_at, e.meta.actor.id
    match event:
        case CompellingEventRecorded():
            return {"compelling_event": Compelling(event.text.id, event.deadline, at, at)}
        case CompellingEventReassessed():
            since = head.compelling_event.since if head.compelling_event else at
            return {"compelling_event": Compelling(event.text.id, event.deadline, since, at)}
        case CompellingEventWithdrawn():
            return {"compelling_event": None}
        case InsideSourceFound():
            return {"inside_source_since": at, "inside_source_note": event.note.id if event.note else None}
        case InsideSourceLost():
            return {"inside_source_since": None, "inside_source_note": None}
        case SoleSourceConfirmed():
            return {"sole_source_since": at, "sole_source_by": by, "sole_source_reason": event.reason}
        case SoleSourceWithdrawn():
            return {"sole_source_since": None, "sole_source_by": None, "sole_source_reason": None}
        case CompetitorAdded():
            return {"competitors": (*head.competitors, Party(event.competitor, event.label))}
        case CompetitorDroppedOut():
            return {"competitors": tuple(c for c in head.competitors if c.party != event.competitor)}
    return _of_parties(head, event, at, by)


def _of_parties(head: ComparisonHead, event: Any, at: datetime, by: str) -> dict[str, Any]:
    if isinstance(event, AssessmentConfirmed):
        party, changes = event.party, {"confirmed_at": at, "confirmed_by": by}
    else:
        party = event.competitor if isinstance(event, CompetitorAssessed) else US
        to: Assessment = event.to_assessment
        changes = {
            "need_fit": to.need_fit,
            "relationship": to.relationship,
            "assessed_at": at,
            "assessed_by": by,
            "confirmed_at": None,
            "confirmed_by": None,
        }
    if party == US:
        return {"us": msgspec.structs.replace(head.us, **changes)}
    return {
        "competitors": tuple(
            msgspec.structs.replace(c, **changes) if c.party == party else c for c in head.competitors
        )
    }


CHANGES = Table(
    "win_rate_changes",
    WinRateChange,
    key=("deal_id", "seq"),
    closing=("next_occurred_at", "next_known_at"),
)
COMPARISONS = Table("comparisons", ComparisonHead, key=("deal_id",))
PROJECTION = Projection(
    name="win_rates",
    version=1,
    topics=topics(
        DealOpened,
        CompellingEventRecorded,
        CompellingEventReassessed,
        CompellingEventWithdrawn,
        InsideSourceFound,
        InsideSourceLost,
        CompetitorAdded,
        CompetitorAssessed,
        CompetitorDroppedOut,
        OurPositionAssessed,
        AssessmentConfirmed,
        SoleSourceConfirmed,
        SoleSourceWithdrawn,
    ),
    fold=fold,
    head=COMPARISONS,
    histories=(CHANGES,),
)

# --- Queries ------------------------------------------------------------------------------------------

NOTHING_KNOWN = win_rate(Comparison(compelling_event=False, us=Assessment()))
"""The win rate of a deal of which nothing was compared yet: not computed."""


class CompellingEvent(msgspec.Struct, frozen=True):
    """Why the customer must do this project; `text` is null once it was erased. `stated_at`: last said so."""

    text: str | None
    deadline: date | None
    since: datetime
    stated_at: datetime


class InsideSource(msgspec.Struct, frozen=True):
    """Since when somebody at the customer tells us how things stand."""

    since: datetime
    note: str | None


class SoleSource(msgspec.Struct, frozen=True):
    """Since when the customer buys from us or not at all, and who confirmed it."""

    since: datetime
    confirmed_by: str | None
    reason: str | None


class DealWinRate(msgspec.Struct, frozen=True):
    """The win rate of a deal now with every gate and input, and the comparison behind it.

    `unconfirmed` are the parties ("us" or a competitor) whose latest assessment no manager has confirmed.
    """

    deal_id: UUID
    position: int
    win_rate: WinRate
    unconfirmed: tuple[str, ...]
    moved_by: Mover | None
    assessed_at: datetime | None
    compelling_event: CompellingEvent | None
    inside_source: InsideSource | None
    sole_source: SoleSource | None
    us: Party
    competitors: list[Party]


def comparison(conn: Connection[Any], deal_id: UUID) -> DealWinRate:
    """The comparison of a deal as it stands, also of a closed one. Raises UnknownDeal."""
    query = sql.SQL("SELECT {}, {} FROM {} c WHERE c.deal_id = %s").format(
        PROJECTION.position, columns(COMPARISONS, "c"), PROJECTION.view("comparisons")
    )
    found = conn.execute(query, [deal_id]).fetchone()
    if found is None:
        raise UnknownDeal(deal_id)
    position, *values = found
    head: ComparisonHead = struct_of(COMPARISONS)(values)
    event, note = head.compelling_event, head.inside_source_note
    texts = read_texts(conn, [i for i in (event.text_id if event else None, note) if i is not None])
    return DealWinRate(
        deal_id=deal_id,
        position=position,
        win_rate=head.win_rate or NOTHING_KNOWN,
        unconfirmed=head.unconfirmed,
        moved_by=head.moved_by,
        assessed_at=head.assessed_at,
        compelling_event=CompellingEvent(
            texts.get(event.text_id), event.deadline, event.since, event.stated_at
        )
        if event
        else None,
        inside_source=InsideSource(head.inside_source_since, texts.get(note) if note else None)
        if head.inside_source_since
        else None,
        sole_source=SoleSource(head.sole_source_since, head.sole_source_by, head.sole_source_reason)
        if head.sole_source_since
        else None,
        us=head.us,
        competitors=list(head.competitors),
    )
