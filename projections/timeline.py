"""The timeline of a deal: every event about it, with both clocks and who did it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import DealOpened
from domain.event import Recorded, TextRef
from infra.vault import read_texts
from projections.engine.description import Out, Projection, Table, topics_of


class TimelineEntry(msgspec.Struct, frozen=True):
    """One event of a deal. `claimed`: its knowledge time is known only by the source's claim."""

    deal_id: UUID
    version: int
    event_id: UUID
    topic: str
    occurred_at: datetime
    known_at: datetime
    recorded_at: datetime
    actor_id: str
    actor_role: str
    actor_auth: str
    on_behalf_of: str | None
    origin: str
    claimed: bool
    corrects: UUID | None
    data: msgspec.Raw


_encode = msgspec.json.Encoder(decimal_format="string").encode


class ClaimsHead(msgspec.Struct, frozen=True):
    """How many events of a deal a source claims to have known before the log did, and the bounds of their times."""

    deal_id: UUID
    funnel: str | None
    claimed: int = 0
    first_known_at: datetime | None = None
    last_known_at: datetime | None = None
    last_occurred_at: datetime | None = None
    first_recorded_at: datetime | None = None
    last_recorded_at: datetime | None = None


def fold(head: ClaimsHead | None, e: Recorded, out: Out) -> ClaimsHead:
    """One row for one event."""
    meta = e.meta
    actor, claim = meta.actor, meta.source_recorded_at
    out.insert(
        TimelineEntry(
            meta.partition_key,
            e.version,
            meta.event_id,
            e.topic,
            meta.occurred_at,
            claim or e.recorded_at,
            e.recorded_at,
            actor.id,
            actor.role,
            actor.auth,
            actor.on_behalf_of,
            meta.origin,
            claim is not None,
            meta.corrects,
            msgspec.Raw(_encode(e.event)),
        )
    )
    if head is None:
        head = ClaimsHead(meta.partition_key, e.event.funnel if isinstance(e.event, DealOpened) else None)
    return head if claim is None else _claimed(head, claim, meta.occurred_at, e.recorded_at)


def _claimed(
    head: ClaimsHead, known_at: datetime, occurred_at: datetime, recorded_at: datetime
) -> ClaimsHead:
    first, last, occurred = head.first_known_at, head.last_known_at, head.last_occurred_at
    return ClaimsHead(
        head.deal_id,
        head.funnel,
        head.claimed + 1,
        known_at if first is None or known_at < first else first,
        known_at if last is None or known_at > last else last,
        occurred_at if occurred is None or occurred_at > occurred else occurred,
        head.first_recorded_at or recorded_at,
        recorded_at,
    )


PROJECTION = Projection(
    name="timeline",
    version=1,
    topics=topics_of("deal"),
    fold=fold,
    head=Table(
        "timeline_claims",
        ClaimsHead,
        key=("deal_id",),
        processing=("first_recorded_at", "last_recorded_at"),
    ),
    histories=(
        Table(
            "timeline",
            TimelineEntry,
            key=("deal_id", "version"),
            processing=("event_id", "recorded_at", "corrects"),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------

Order = Literal["recorded", "occurred"]


def timeline(
    conn: Connection[Any],
    deal_id: UUID,
    *,
    order: Order = "recorded",
    newest_first: bool = False,
    after: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> list[TimelineEntry]:
    """A page of a deal's events, in the order in which they were recorded or in which they happened.

    `after` is (occurred_at, version) of the last entry of the page before.
    """
    by_version = order == "recorded"
    query = sql.SQL(
        "SELECT {columns} FROM {view} WHERE deal_id = %(deal_id)s{after} ORDER BY {order} LIMIT %(limit)s"
    ).format(
        columns=sql.SQL(", ").join(
            sql.SQL("data::text") if n == "data" else sql.Identifier(n)
            for n in TimelineEntry.__struct_fields__
        ),
        view=PROJECTION.view("timeline"),
        after=_after(by_version, newest_first) if after else sql.SQL(""),
        order=_order(by_version, newest_first),
    )
    occurred_at, version = after or (None, None)
    rows = conn.execute(
        query, {"deal_id": deal_id, "limit": limit, "occurred_at": occurred_at, "version": version}
    ).fetchall()
    data = _with_texts(conn, [row[-1] for row in rows])
    return [TimelineEntry(*(*row[:-1], told)) for row, told in zip(rows, data, strict=True)]


def _with_texts(conn: Connection[Any], stored: list[str]) -> list[msgspec.Raw]:
    """Each event's data, where references into the vault also tell their `text`: null once it is erased."""
    data = [msgspec.json.decode(text) for text in stored]
    refs = [value for fields in data for value in fields.values() if _is_reference(value)]
    texts = read_texts(conn, [UUID(ref["id"]) for ref in refs]) if refs else {}
    for ref in refs:
        ref["text"] = texts.get(UUID(ref["id"]))
    return [msgspec.Raw(_encode(fields)) for fields in data]


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == set(TextRef.__struct_fields__)


def _after(by_version: bool, newest_first: bool) -> sql.Composed:
    than = sql.SQL("<" if newest_first else ">")
    if by_version:
        return sql.SQL(" AND version {} %(version)s").format(than)
    return sql.SQL(" AND (occurred_at, version) {} (%(occurred_at)s, %(version)s)").format(than)


def _order(by_version: bool, newest_first: bool) -> sql.Composed:
    direction = sql.SQL("DESC" if newest_first else "ASC")
    columns = ["version"] if by_version else ["occurred_at", "version"]
    return sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(c), direction) for c in columns)
