"""The people of a deal over time (A8), and who took part in which activity: how deep the interaction goes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import (
    ActivityLogged,
    ContactAttitudeChanged,
    ContactStrategyChanged,
    DealContactAdded,
    DealContactRemoved,
    DealContactRevised,
    DealOpened,
)
from domain.event import Recorded
from domain.relations import Attitude, DecisionRole, Depth, DepthRules, Power, Strategy, depth
from projections.clocks import happened
from projections.engine.description import Out, Projection, Table, topics
from projections.timeline import PROJECTION as TIMELINE
from projections.visits import PROJECTION as VISITS


class ContactPart(msgspec.Struct, frozen=True):
    """A person's part in a deal from one change until the next; what they think of us there, what we do about it.

    `strategy_by` says whether the strategy follows the attitude or was chosen.
    """

    deal_id: UUID
    contact_id: UUID
    seq: int
    account_id: UUID
    decision_role: DecisionRole | None
    department: str | None
    power: Power | None
    attitude: Attitude | None
    attitude_reason: str | None
    strategy: Strategy | None
    strategy_by: str | None
    strategy_reason: str | None
    since: datetime
    """When the person came to have a part in the deal."""
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class Participation(msgspec.Struct, frozen=True):
    """A person took part in an activity on a deal; a point, possibly back-dated."""

    deal_id: UUID
    contact_id: UUID
    seq: int
    kind: str
    occurred_at: datetime
    known_at: datetime


class ContactsHead(msgspec.Struct, frozen=True):
    """The parts in force by person. Bounded by the people of the deal."""

    deal_id: UUID
    parts: dict[UUID, ContactPart] = {}


def fold(head: ContactsHead | None, e: Recorded, out: Out) -> ContactsHead:
    """Close the person's part in force and insert the one that follows it, or note who took part in an activity."""
    event, clocks = e.event, (e.meta.occurred_at, e.known_at)
    head = head or ContactsHead(e.stream_id)
    match event:
        case ActivityLogged():
            for contact in dict.fromkeys(event.contacts):
                out.insert(Participation(head.deal_id, contact, e.version, event.kind, *clocks))
            return head
        case DealOpened():
            return head
        case DealContactAdded():
            after = ContactPart(
                head.deal_id, event.contact_id, e.version, event.account_id, event.decision_role, event.department,
                event.power, None, None, None, None, None, clocks[0], *clocks,
            )  # fmt: skip
            out.insert(after)
            return msgspec.structs.replace(head, parts={**head.parts, event.contact_id: after})
    parts = dict(head.parts)
    before = parts.pop(event.contact_id)
    out.close(ContactPart, (before.deal_id, before.contact_id, before.seq), clocks)
    if not isinstance(event, DealContactRemoved):
        after = msgspec.structs.replace(
            before, seq=e.version, occurred_at=clocks[0], known_at=clocks[1], **_changes(event)
        )
        out.insert(after)
        parts[event.contact_id] = after
    return msgspec.structs.replace(head, parts=parts)


def _changes(event: Any) -> dict[str, Any]:
    match event:
        case DealContactRevised():
            return {
                "decision_role": event.decision_role,
                "department": event.department,
                "power": event.power,
            }
        case ContactAttitudeChanged():
            return {"attitude": event.to_attitude, "attitude_reason": event.reason}
        case ContactStrategyChanged():
            by = event.by if event.to_strategy else None
            return {"strategy": event.to_strategy, "strategy_by": by, "strategy_reason": event.reason}
    raise TypeError(f"no change of a person's part: {event.TOPIC}")


PROJECTION = Projection(
    name="contacts",
    version=1,
    topics=topics(
        DealOpened,
        ActivityLogged,
        DealContactAdded,
        DealContactRevised,
        ContactAttitudeChanged,
        ContactStrategyChanged,
        DealContactRemoved,
    ),
    fold=fold,
    head=Table("contacts_heads", ContactsHead, key=("deal_id",)),
    histories=(
        Table(
            "contact_parts",
            ContactPart,
            key=("deal_id", "contact_id", "seq"),
            closing=("next_occurred_at", "next_known_at"),
        ),
        Table(
            "participations",
            Participation,
            key=("deal_id", "contact_id", "seq"),
            indexes=("(contact_id, occurred_at)",),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------


Meetings = dict[UUID, tuple[int, int]]
"""By person: two-way contacts, and how many of them were face to face."""


def meetings(
    conn: Connection[Any],
    people: Sequence[UUID],
    rules: DepthRules,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    deal_id: UUID | None = None,
) -> Meetings:
    """How often people were met in the window up to T, as known at K: on one deal, or on all deals that count.

    An activity that a later event corrects does not count; what corrects it may.
    """
    query = sql.SQL(
        "SELECT p.contact_id, count(*), count(*) FILTER (WHERE p.kind = ANY(%(face_to_face)s))"
        " FROM {participations} p WHERE p.contact_id = ANY(%(people)s) AND p.kind = ANY(%(two_way)s)"
        " AND p.occurred_at > %(since)s AND {then} AND {of} AND NOT EXISTS (SELECT FROM {timeline} t"
        " JOIN {timeline} c ON c.deal_id = t.deal_id AND c.corrects = t.event_id AND {corrected}"
        " WHERE t.deal_id = p.deal_id AND t.version = p.seq) GROUP BY p.contact_id"
    ).format(
        participations=PROJECTION.view("participations"),
        then=happened("p", known_at),
        timeline=TIMELINE.view("timeline"),
        corrected=happened("c", known_at),
        of=sql.SQL("p.deal_id = %(deal_id)s")
        if deal_id
        else sql.SQL("NOT EXISTS (SELECT FROM {} g WHERE g.deal_id = p.deal_id AND {})").format(
            VISITS.view("gone_deals"), happened("g", known_at)
        ),
    )
    parameters = {
        "people": list(people),
        "two_way": list(rules.two_way),
        "face_to_face": list(rules.face_to_face),
        "since": as_of - timedelta(days=rules.window_days),
        "as_of": as_of,
        "known_at": known_at,
        "deal_id": deal_id,
    }
    found = {person: (two_way, face) for person, two_way, face in conn.execute(query, parameters).fetchall()}
    return {person: found.get(person, (0, 0)) for person in people}


def depths(met: Meetings, rules: DepthRules) -> dict[UUID, Depth]:
    """How deep the interaction with each person goes."""
    return {person: depth(*counts, rules) for person, counts in met.items()}
