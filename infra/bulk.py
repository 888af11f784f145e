"""Whole batches of what imports bring: decided, written out row by row, and appended at once or not at all.

What an import decides on hardly ever moves meanwhile. So the rows of a batch are copied into the log as they are: a
stream that has moved has the next version already, and a row that was imported has its key in the ledger, so the
tables' own keys refuse either. Only the streams that the batch looked at and adds nothing to are asked for, behind
the head lock. If anything is not as it was, nothing is written, and who has the batch goes through
`event_store.append`, which finds an outcome for each unit.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection

from domain.errors import Refusal
from domain.stream import Stream
from infra.arrays import UuidArray
from infra.decisions import Decision
from infra.event_store import Appended, Head, LogReplaced, NewEvent
from infra.failpoints import failpoint
from infra.requests import Request, Result
from infra.vault import Sealed, store_texts

_LOCK = "SELECT log_id, epoch, position, recorded_at FROM dealtrace.log_head FOR UPDATE"
_LOOK = """
SELECT clock_timestamp(),
  array(SELECT coalesce((SELECT max(originator_version) FROM dealtrace.events WHERE originator_id = id), 0)
        FROM unnest(%b::uuid[]) WITH ORDINALITY AS wanted(id, place) ORDER BY place)"""
_OURS = """
SELECT notification_id, recorded_at, state FROM dealtrace.events
WHERE originator_id = %b AND originator_version = %b"""
_MOVE_HEAD = """
UPDATE dealtrace.log_head SET position = %b, recorded_at = %b RETURNING pg_notify('dealtrace_log', '')"""
_COPY_EVENTS = """
COPY dealtrace.events (originator_id, originator_version, topic, state, notification_id, recorded_at)
FROM STDIN (FORMAT BINARY)"""
_COPY_LEDGER = "COPY dealtrace.import_ledger (row_key, source, position) FROM STDIN (FORMAT BINARY)"

# PostgreSQL's binary format of COPY: a row is the number of its fields, then each with its length before it.
_BEGIN, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_ID_VERSION_TOPIC = Struct(">h i16s iq i").pack
_KEY_SOURCE = Struct(">h i16s i").pack
_LENGTH = Struct(">i").pack
_BIGINT = Struct(">iq").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Done(msgspec.Struct):
    """What became of a group of requests, by their places in it: all others did what they asked for.

    `repeated` are those whose row is in the log already. `position` is where a reader must have come to see all.
    """

    events: int
    position: int
    refusals: dict[int, Refusal] = {}
    repeated: frozenset[int] = frozenset()

    @classmethod
    def of(cls, answers: Sequence[Result | Refusal]) -> "Done":
        """The same of single answers."""
        results = {i: a for i, a in enumerate(answers) if isinstance(a, Result)}
        return cls(
            events=sum(len(item.event_ids) for result in results.values() for item in result.items),
            position=max((result.position for result in results.values()), default=0),
            refusals={i: a for i, a in enumerate(answers) if isinstance(a, Refusal)},
            repeated=frozenset(i for i, result in results.items() if result.repeated),
        )


class Batch:
    """Decisions in order, as they will be written; of the requests it keeps what it takes to decide them again."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refusals: dict[int, Refusal] = {}
        self.stands_on: dict[UUID, int] = {}
        """The version of each stream before the first decision that looked at it."""
        self.adds_to: set[UUID] = set()
        """Streams that have events in it, the first of them for the version that follows the one it stands on."""
        self.undated: list[Stream] = []
        """Streams that know the time of their last event only when it is appended."""
        self.events: list[bytes] = []
        self.first: NewEvent | None = None
        self.rows: list[tuple[bytes, int]] = []
        """Rows for the ledger, and after how many events of the batch they are done."""
        self.keys: list[bytes] = []
        self.texts: list[Sealed] = []

    def take(self, decisions: Iterable[Decision]) -> None:
        """The next decisions, made as if all before them will be appended."""
        stands_on, events, keys, rows = self.stands_on, self.events, self.keys, self.rows
        for decision in decisions:
            request = decision.request
            for stream_id, version in decision.stands_on.items():
                if stream_id not in stands_on:
                    stands_on[stream_id] = version
            self.requests.append(request)
            if decision.refusal is not None:
                self.refusals[len(self.requests) - 1] = decision.refusal
                continue
            for step in decision.steps:
                if step.events:
                    events += map(_event_row, step.events)
                    self.adds_to.add(step.stream.id)
                    if self.first is None:
                        self.first = step.events[0]
                if request.source_recorded_at is None:
                    self.undated.append(step.stream)
            self.texts += decision.texts
            if request.row is not None:
                keys.append(request.row.row_key)
                rows.append((_ledger_row(request.row.row_key, request.row.source), len(events)))

    @property
    def is_plain(self) -> bool:
        """Whether it can be appended as a whole: no answer to be remembered, no row twice."""
        return len(set(self.keys)) == len(self.keys) and all(r.digest is None for r in self.requests)

    def done(self, appended: Appended) -> Done:
        """What became of the requests, all of which were appended."""
        return Done(len(self.events), appended.after + len(self.events), self.refusals)


def append_whole(
    conn: Connection[Any], batch: Batch, *, log: tuple[UUID, int], after_lost_reply: bool
) -> Appended | None:
    """Append the batch; None when something that it stands on has moved or a row is in the log already.

    `log` and `after_lost_reply` as for `event_store.append`, and so are the errors.
    """
    looked_at = {i: version for i, version in batch.stands_on.items() if i not in batch.adds_to}
    try:
        with conn.transaction():
            head = Head(*conn.execute(_LOCK).fetchall()[0])
            if head.log != log:
                raise LogReplaced(head)
            failpoint("append.head_locked", conn)
            if after_lost_reply and (ours := _appended_before(conn, batch)):
                return ours
            wanted = UuidArray([stream_id.bytes for stream_id in looked_at])
            [(clock, versions)] = conn.execute(_LOOK, [wanted]).fetchall()
            if versions != list(looked_at.values()):
                return None
            # The clock is read behind the lock, not before the wait for it.
            appended = Appended(head.position, max(clock, head.recorded_at))
            _write(conn, batch, appended)
            failpoint("append.before_commit", conn)
    except psycopg.errors.UniqueViolation:
        return None
    failpoint("append.after_commit", conn)
    if conn.closed:
        raise psycopg.OperationalError("the connection was lost")
    return appended


def _appended_before(conn: Connection[Any], batch: Batch) -> Appended | None:
    """Where the batch stands if it was committed: all of it is there if its first event is."""
    if batch.first is None:
        return None
    found = conn.execute(_OURS, [batch.first.stream_id, batch.first.version]).fetchall()
    if not found or found[0][2] != batch.first.state:
        return None
    return Appended(found[0][0] - 1, found[0][1])


def _write(conn: Connection[Any], batch: Batch, appended: Appended) -> None:
    after, cursor = appended.after, conn.cursor()
    if batch.events:
        cursor.execute(_MOVE_HEAD, [after + len(batch.events), appended.recorded_at])
        recorded_at = _BIGINT(8, (appended.recorded_at - _EPOCH) // timedelta(microseconds=1))
        numbered = enumerate(batch.events, after + 1)
        with cursor.copy(_COPY_EVENTS) as copy:
            rows = [row + _BIGINT(8, position) + recorded_at for position, row in numbered]
            copy.write(b"".join([_BEGIN, *rows, _END]))
    if batch.rows:
        with cursor.copy(_COPY_LEDGER) as copy:
            rows = [row + _BIGINT(8, after + done) for row, done in batch.rows]
            copy.write(b"".join([_BEGIN, *rows, _END]))
    if batch.texts:
        store_texts(conn, batch.texts)


def _event_row(event: NewEvent) -> bytes:
    """An event's row as far as it is known before it has its position."""
    topic, state = event.topic.encode(), event.state
    start = _ID_VERSION_TOPIC(6, 16, event.stream_id.bytes, 8, event.version, len(topic))
    return start + topic + _LENGTH(len(state)) + state


def _ledger_row(key: bytes, source: str) -> bytes:
    """A ledger row as far as it is known before the row has its position."""
    text = source.encode()
    return _KEY_SOURCE(3, 16, key, len(text)) + text
