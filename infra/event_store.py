"""The log: appending groups of events with dense, commit-ordered positions.

One transaction appends many units. Each unit is all or nothing and has its own outcome: the head row is locked
first, then versions, command ids and ledger rows are read behind the lock, losers are filtered, survivors numbered
and inserted at once. Nobody else appends in between, so `count(*) = max(position)` always.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection, Pipeline

from infra.arrays import UuidArray
from infra.failpoints import failpoint
from infra.vault import Sealed, store_texts

CHANNEL = "dealtrace_log"
"""NOTIFY goes here after each append: a hint to look, never the truth."""


class Head(msgspec.Struct, frozen=True):
    """Where the log stands. A restored backup has the same `log_id` and a higher `epoch`."""

    log_id: UUID
    epoch: int
    position: int
    recorded_at: datetime

    @property
    def log(self) -> tuple[UUID, int]:
        """Which log it is, and in which epoch."""
        return self.log_id, self.epoch


class LogReplaced(Exception):
    """The database holds another log, or another epoch of it, than the one in mind. `head` is what it holds."""

    def __init__(self, head: Head) -> None:
        super().__init__(f"The log is {head.log_id} in epoch {head.epoch} now.")
        self.head = head


class NewEvent(msgspec.Struct, frozen=True):
    """An event that wants to be appended as `version` of its stream."""

    stream_id: UUID
    version: int
    topic: str
    state: bytes


class LedgerRow(msgspec.Struct, frozen=True):
    """The identity of one row of an imported source: 16 bytes, the same in all its exports."""

    row_key: bytes
    source: str


class Remember(msgspec.Struct, frozen=True):
    """Under which id a command's result is kept, and the digest of the request that may ask for it again.

    What is stored is SHA-256 of the database's secret key and this digest, so that the text of an erased person can
    not be guessed from it. Both have a fixed length, which is why this needs no HMAC around it.
    """

    actor_id: str
    command_id: str
    digest: bytes


class Unit(msgspec.Struct, frozen=True):
    """What is appended together or not at all.

    `stands_on` names every stream the decision looked at, with the version it saw. `result` turns the position
    before the unit's first event into the bytes to remember. A unit without a result is a refusal: it writes
    nothing and only learns whether its streams have moved or it was answered before.
    """

    events: tuple[NewEvent, ...]
    stands_on: dict[UUID, int]
    result: Callable[[int], bytes] | None = None
    remember: Remember | None = None
    row: LedgerRow | None = None
    texts: tuple[Sealed, ...] = ()


class Appended(msgspec.Struct, frozen=True):
    """The unit's events stand at the positions after `after`."""

    after: int
    recorded_at: datetime


class Repeated(msgspec.Struct, frozen=True):
    """The same command was answered before; here is that answer."""

    result: bytes


class Reused(msgspec.Struct, frozen=True):
    """The command id was used with another request."""


class Imported(msgspec.Struct, frozen=True):
    """The row is in the log already; the position of its last event."""

    position: int


class Moved(msgspec.Struct, frozen=True):
    """Streams that the decision stood on have moved; load them and decide again."""

    streams: tuple[UUID, ...]


Outcome = Appended | Repeated | Reused | Imported | Moved

_HEAD = "SELECT log_id, epoch, position, recorded_at FROM dealtrace.log_head"
_VERSIONS = """
SELECT clock_timestamp(), array(
  SELECT coalesce((SELECT max(originator_version) FROM dealtrace.events WHERE originator_id = id), 0)
  FROM unnest(%b::uuid[]) WITH ORDINALITY AS wanted(id, place) ORDER BY place)"""
_REMEMBERED = """
SELECT r.actor_id, r.command_id, r.request_digest, r.result
FROM dealtrace.command_results r JOIN unnest(%b::text[], %b::text[]) AS w(actor_id, command_id)
  USING (actor_id, command_id)"""
_KEY = "SELECT command_key FROM dealtrace.secrets"
_LEDGER = "SELECT uuid_send(row_key), position FROM dealtrace.import_ledger WHERE row_key = ANY(%b::uuid[])"
_OURS = """
SELECT e.originator_id, e.notification_id, e.recorded_at, e.state
FROM dealtrace.events e JOIN unnest(%b::uuid[], %b::bigint[]) AS w(id, version)
  ON e.originator_id = w.id AND e.originator_version = w.version"""
_INSERT = """
WITH head AS (
  UPDATE dealtrace.log_head SET position = %b, recorded_at = %b RETURNING pg_notify('dealtrace_log', '')
)
INSERT INTO dealtrace.events
  (originator_id, originator_version, topic, state, notification_id, recorded_at)
SELECT id, version, topic, state, %b::bigint + row_number, %b::timestamptz
FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])
  WITH ORDINALITY AS e(id, version, topic, state, row_number)"""
_KEEP_RESULTS = """
INSERT INTO dealtrace.command_results (actor_id, command_id, request_digest, result, recorded_at)
SELECT r.*, %b::timestamptz FROM unnest(%b::text[], %b::text[], %b::bytea[], %b::bytea[]) AS r"""
_KEEP_LEDGER = """
INSERT INTO dealtrace.import_ledger (row_key, source, position)
SELECT * FROM unnest(%b::uuid[], %b::text[], %b::bigint[])"""


def read_head(conn: Connection[Any]) -> Head:
    """Where the log stands now."""
    return Head(*conn.execute(_HEAD).fetchall()[0])


def append(
    conn: Connection[Any],
    units: Sequence[Unit],
    *,
    log: tuple[UUID, int] | None = None,
    after_lost_reply: bool = False,
) -> list[Outcome]:
    """Append every unit that may be, in order, in one transaction; an outcome per unit.

    `log` is the id and epoch of the log that they were decided on: where a backup was restored since, the same
    versions mean something else, so nothing is appended and LogReplaced is raised.
    `after_lost_reply` says that the same units were sent before and nobody knows whether they were committed:
    a unit whose very bytes stand in the log counts as appended then. Raises psycopg errors; nothing was appended
    then, unless the connection broke during the commit.
    """
    if not units:
        return []
    with conn.pipeline() as pipeline, conn.transaction():
        group = _Group(conn, pipeline, units, log, after_lost_reply)
        failpoint("append.head_locked", conn)
        outcomes = [group.judge(unit) for unit in units]
        group.write()
        failpoint("append.before_commit", conn)
    failpoint("append.after_commit", conn)
    if conn.closed:
        raise psycopg.OperationalError("the connection was lost")
    return outcomes


class _Group:
    """One transaction's view behind the head lock, and what it will write."""

    def __init__(
        self,
        conn: Connection[Any],
        pipeline: Pipeline,
        units: Sequence[Unit],
        log: tuple[UUID, int] | None,
        after_lost_reply: bool,
    ) -> None:
        self._conn = conn
        stood_on: dict[UUID, int] = {}
        for unit in units:
            stood_on.update(unit.stands_on)
        streams = list(stood_on)
        memories = [unit.remember for unit in units if unit.remember]
        rows = [unit.row.row_key for unit in units if unit.row]
        head = conn.execute(_HEAD + " FOR UPDATE")
        versions = conn.execute(_VERSIONS, [streams])
        ids = [[m.actor_id for m in memories], [m.command_id for m in memories]]
        remembered = conn.execute(_REMEMBERED, ids) if memories else None
        key = conn.execute(_KEY) if memories else None
        ledger = conn.execute(_LEDGER, [UuidArray(rows)]) if rows else None
        firsts = [unit.events[0] for unit in units if unit.events] if after_lost_reply else []
        sent = [[e.stream_id for e in firsts], [e.version for e in firsts]]
        ours = conn.execute(_OURS, sent) if firsts else None
        pipeline.sync()  # so that the server knows it is our turn: it cuts us off if we hang now
        self._head = Head(*head.fetchall()[0])
        if log not in (None, self._head.log):
            raise LogReplaced(self._head)
        [(clock, present)] = versions.fetchall()
        # By the numbers that the ids are: these are hashed several times per event, and quicker than ids.
        self._versions = {stream_id.int: version for stream_id, version in zip(streams, present, strict=True)}
        # The clock is read behind the lock, not before the wait for it.
        self._recorded_at = max(clock, self._head.recorded_at)
        self._remembered: dict[tuple[str, str], tuple[bytes, bytes]] = {
            (a, c): (digest, result) for a, c, digest, result in (remembered.fetchall() if remembered else ())
        }
        self._key: bytes = key.fetchall()[0][0] if key else b""
        self._ledger: dict[bytes, int] = dict(ledger.fetchall() if ledger else ())
        self._ours = {state: (position, at) for _, position, at, state in ours.fetchall()} if ours else {}
        self._position = self._head.position
        self._doubted = set[int]()
        self._events: list[NewEvent] = []
        self._results: list[tuple[Remember, bytes]] = []
        self._rows: list[tuple[LedgerRow, int]] = []
        self._texts: list[Sealed] = []

    def judge(self, unit: Unit) -> Outcome:
        """The unit's outcome; a survivor takes its positions.

        The units after it were decided as if it survived. When it does not, the version that they saw may by
        chance be the present one again, with another history: whoever stands on its streams has to decide anew.
        """
        outcome = self._judge(unit)
        if not isinstance(outcome, Appended):
            self._doubted.update(event.stream_id.int for event in unit.events)
        return outcome

    def _judge(self, unit: Unit) -> Outcome:
        if self._ours and unit.events and unit.events[0].state in self._ours:
            position, recorded_at = self._ours[unit.events[0].state]
            return Appended(position - 1, recorded_at)
        if unit.remember is not None:
            known = self._remembered.get((unit.remember.actor_id, unit.remember.command_id))
            if known is not None:
                return Repeated(known[1]) if known[0] == self._keyed(unit.remember) else Reused()
        if unit.row is not None and unit.row.row_key in self._ledger:
            return Imported(self._ledger[unit.row.row_key])
        moved, versions, doubted = [], self._versions, self._doubted
        for stream_id, version in unit.stands_on.items():
            number = stream_id.int
            if versions[number] != version or number in doubted:
                moved.append(stream_id)
        return Moved(tuple(moved)) if moved else self._take(unit)

    def _take(self, unit: Unit) -> Appended:
        after = self._position
        for event in unit.events:
            self._versions[event.stream_id.int] = event.version
        self._position += len(unit.events)
        self._events.extend(unit.events)
        self._texts.extend(unit.texts)
        if unit.remember is not None and unit.result is not None:
            result = unit.result(after)
            self._results.append((unit.remember, result))
            same = (unit.remember.actor_id, unit.remember.command_id)
            self._remembered[same] = self._keyed(unit.remember), result
        if unit.row is not None and unit.result is not None:
            self._rows.append((unit.row, self._position))
            self._ledger[unit.row.row_key] = self._position
        return Appended(after, self._recorded_at)

    def _keyed(self, memory: Remember) -> bytes:
        """The digest as it is stored."""
        return hashlib.sha256(self._key + memory.digest).digest()

    def write(self) -> None:
        """Everything the survivors bring, in one round trip."""
        conn, at = self._conn, self._recorded_at
        if not (self._events or self._results or self._rows):
            return
        if self._events:
            columns = ([getattr(e, f) for e in self._events] for f in NewEvent.__struct_fields__)
            conn.execute(_INSERT, [self._position, at, self._head.position, at, *columns])
        if self._results:
            ids = ([m.actor_id for m, _ in self._results], [m.command_id for m, _ in self._results])
            digests = ([self._keyed(m) for m, _ in self._results], [result for _, result in self._results])
            conn.execute(_KEEP_RESULTS, [at, *ids, *digests])
        if self._rows:
            keys, sources = UuidArray(r.row_key for r, _ in self._rows), [r.source for r, _ in self._rows]
            conn.execute(_KEEP_LEDGER, [keys, sources, [position for _, position in self._rows]])
        if self._texts:
            store_texts(conn, self._texts)
