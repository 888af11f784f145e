"""How people stand to us overall, over time (A8): every change of the overall attitude of a contact on its account."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.account import AccountOpened, OverallAttitudeChanged
from domain.errors import UnknownAccount
from domain.event import Recorded
from domain.relations import Attitude
from projections.clocks import happened, not_followed, position_of
from projections.engine.description import Out, Projection, Table, topics


class OverallAttitude(msgspec.Struct, frozen=True):
    """A contact's overall attitude from one change until the next, null for unknown; two clocks as in `DealState`."""

    account_id: UUID
    contact_id: UUID
    seq: int
    attitude: Attitude | None
    reason: str | None
    assessed_by: str
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class AttitudesHead(msgspec.Struct, frozen=True):
    """The version that brought the attitude in force, by contact. Bounded by the people of the account."""

    account_id: UUID
    last: dict[UUID, int] = {}


def fold(head: AttitudesHead | None, e: Recorded, out: Out) -> AttitudesHead:
    """Close the contact's attitude in force, and insert the one that follows it."""
    head, event = head or AttitudesHead(e.stream_id), e.event
    if isinstance(event, AccountOpened):
        return head
    clocks = (e.meta.occurred_at, e.known_at)
    before = head.last.get(event.contact_id)
    if before is not None:
        out.close(OverallAttitude, (head.account_id, event.contact_id, before), clocks)
    out.insert(
        OverallAttitude(
            head.account_id,
            event.contact_id,
            e.version,
            event.to_attitude,
            event.reason,
            e.meta.actor.id,
            *clocks,
        )
    )
    return AttitudesHead(head.account_id, {**head.last, event.contact_id: e.version})


PROJECTION = Projection(
    name="attitudes",
    version=1,
    topics=topics(AccountOpened, OverallAttitudeChanged),
    fold=fold,
    head=Table("attitudes_heads", AttitudesHead, key=("account_id",)),
    histories=(
        Table(
            "overall_attitudes",
            OverallAttitude,
            key=("account_id", "contact_id", "seq"),
            closing=("next_occurred_at", "next_known_at"),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------


class AttitudeChange(msgspec.Struct, frozen=True):
    """One overall attitude of a contact: by whom, since when, and until when; `until` is null while it is in force."""

    contact_id: UUID
    attitude: Attitude | None
    reason: str | None
    assessed_by: str
    since: datetime
    until: datetime | None
    known_at: datetime


class Attitudes(msgspec.Struct, frozen=True):
    """The overall attitudes of an account's people up to T, as known at K: contact by contact, the oldest first."""

    account_id: UUID
    as_of: datetime
    known_at: datetime | None
    position: int
    attitudes: list[AttitudeChange]


def attitudes(
    conn: Connection[Any], account_id: UUID, *, as_of: datetime, known_at: datetime | None = None
) -> Attitudes:
    """How the overall attitudes of an account's people came to be what they are at (T, K). Raises UnknownAccount."""
    query = sql.SQL(
        "SELECT {position}, a.contact_id, a.attitude, a.reason, a.assessed_by, a.occurred_at,"
        " CASE WHEN {last} THEN NULL ELSE a.next_occurred_at END, a.known_at FROM {heads} h"
        " LEFT JOIN {attitudes} a ON a.account_id = h.account_id AND {then}"
        " WHERE h.account_id = %(account_id)s ORDER BY a.contact_id, a.seq"
    ).format(
        position=position_of(PROJECTION),
        heads=PROJECTION.view("attitudes_heads"),
        attitudes=PROJECTION.view("overall_attitudes"),
        last=not_followed("a", known_at),
        then=happened("a", known_at),
    )
    rows = conn.execute(query, {"account_id": account_id, "as_of": as_of, "known_at": known_at}).fetchall()
    if not rows:
        raise UnknownAccount(
            f"There is no account {account_id}.",
            field="account_id",
            accepted="the id of an account that was opened",
        )
    changes = [AttitudeChange(*row[1:]) for row in rows if row[1] is not None]
    return Attitudes(account_id, as_of, known_at, rows[0][0], changes)
