"""Reading the log: by window of positions, by range of streams, decoded."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from domain.event import Recorded
from infra.mapper import decode

_COLUMNS = "notification_id, originator_id, originator_version, topic, recorded_at, state"
_WINDOW = (
    f"SELECT {_COLUMNS} FROM dealtrace.events WHERE notification_id > %b AND notification_id <= %b ORDER BY 1"  # noqa: S608
)
_AT = f"SELECT {_COLUMNS} FROM dealtrace.events WHERE notification_id = ANY(%b) ORDER BY 1"  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM dealtrace.events
WHERE (originator_id, originator_version) > (%b, %b) AND originator_id <= %b AND notification_id <= %b
ORDER BY originator_id, originator_version LIMIT %b"""  # noqa: S608
_PAGE_EVENTS = 1_000
"""So few that they are still in the processor's caches when they are decoded and folded."""
_STREAMS = f"SELECT {_COLUMNS} FROM dealtrace.events WHERE originator_id = ANY(%b) AND notification_id <= %b"  # noqa: S608
_PLAN = """
WITH streams AS (
    SELECT originator_id AS id, count(*) AS events FROM dealtrace.events
    WHERE notification_id <= %b GROUP BY 1 ORDER BY 1
), numbered AS (
    SELECT id, events, (sum(events) OVER (ORDER BY id) - events) / %b::bigint AS number FROM streams
)
SELECT min(id::text)::uuid, max(id::text)::uuid, sum(events)::bigint
FROM numbered GROUP BY number::bigint ORDER BY 1"""


class BrokenLog(Exception):
    """Positions are missing where the log is dense. Nothing may be folded past it."""


def read_window(conn: Connection[Any], after: int, upto: int) -> list[Recorded]:
    """The events at the positions after + 1 to `upto`, all of them.

    Raises BrokenLog when one is missing, UnknownTopic, Unreadable.
    """
    rows = _rows(conn, _WINDOW, [after, upto])
    if len(rows) != upto - after or (rows and (rows[0][0], rows[-1][0]) != (after + 1, upto)):
        raise BrokenLog(f"the log holds {len(rows)} events at positions {after + 1} to {upto}")
    return _decoded(rows)


def read_at(conn: Connection[Any], positions: Sequence[int]) -> list[Recorded]:
    """The events at some positions, in their order."""
    return _decoded(_rows(conn, _AT, [list(positions)]))


def stored_streams(
    conn: Connection[Any], first: UUID, last: UUID, upto: int
) -> Iterator[list[tuple[UUID, list[TupleRow]]]]:
    """The events up to a position of the streams with ids from `first` to `last`, as they are stored.

    Some streams at a time, in the order of their ids, each whole and in order.
    """
    after, version, streams = first, 0, list[tuple[UUID, list[TupleRow]]]()
    while rows := _rows(conn, _PAGE, [after, version, last, upto, _PAGE_EVENTS]):
        for row in rows:
            if not streams or row[1].int != streams[-1][0].int:
                streams.append((row[1], []))
            streams[-1][1].append(row)
        after, version = rows[-1][1:3]
        if len(rows) < _PAGE_EVENTS:
            break
        if streams[:-1]:
            yield streams[:-1]
        del streams[:-1]  # the last one may go on
    if streams:
        yield streams


def decode_stream(stream: UUID, stored: Iterable[TupleRow], unwanted: Collection[str] = ()) -> list[Recorded]:
    """The events of a stream without those of unwanted topics.

    They share one object as their stream's id, and those recorded at one time share that: what is the same object is
    quickly seen to be equal.
    """
    events: list[Recorded] = []
    at: Any = None
    for position, _, version, topic, recorded_at, state in stored:
        if topic not in unwanted:
            if recorded_at != at:
                at = recorded_at
            events.append(decode(position, stream, version, topic, at, state))
    return events


def read_streams(
    conn: Connection[Any], streams: Sequence[UUID], upto: int, unwanted: Collection[str] = ()
) -> list[Recorded]:
    """The events up to a position of the named streams, in any order, without those of unwanted topics."""
    return _decoded(row for row in _rows(conn, _STREAMS, [list(streams), upto]) if row[3] not in unwanted)


def plan_ranges(conn: Connection[Any], upto: int, events: int) -> list[tuple[UUID, UUID, int]]:
    """Cut the streams up to a position into ranges of ids of about so many events: first id, last id, events.

    A stream is never cut, so a range may hold more. The counting stays in the server.
    """
    return _rows(conn, _PLAN, [upto, events])


def _rows(conn: Connection[Any], query: str, parameters: list[Any]) -> list[TupleRow]:
    # Closing frees the raw result at once instead of with the cursor.
    with conn.cursor(binary=True) as cursor:
        return cursor.execute(query, parameters).fetchall()


def _decoded(rows: Iterable[TupleRow]) -> list[Recorded]:
    return [decode(*row) for row in rows]
