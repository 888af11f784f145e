"""Reading the log: by window of positions, by range of streams, decoded."""

from collections.abc import Sequence
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
_RANGE = f"""
SELECT {_COLUMNS} FROM dealtrace.events
WHERE originator_id BETWEEN %b AND %b AND notification_id <= %b
ORDER BY originator_id, originator_version"""  # noqa: S608
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


def read_range(conn: Connection[Any], first: UUID, last: UUID, upto: int) -> list[Recorded]:
    """The events up to a position of the streams with ids from `first` to `last`, stream by stream in order.

    The events of a stream share one object as its id.
    """
    events, stream = [], first
    for position, stream_id, *rest in _rows(conn, _RANGE, [first, last, upto]):
        if stream_id.int != stream.int:
            stream = stream_id
        events.append(decode(position, stream, *rest))
    return events


def read_streams(conn: Connection[Any], streams: Sequence[UUID], upto: int) -> list[Recorded]:
    """The events up to a position of the named streams, in any order."""
    return _decoded(_rows(conn, _STREAMS, [list(streams), upto]))


def plan_ranges(conn: Connection[Any], upto: int, events: int) -> list[tuple[UUID, UUID, int]]:
    """Cut the streams up to a position into ranges of ids of about so many events: first id, last id, events.

    A stream is never cut, so a range may hold more. The counting stays in the server.
    """
    return _rows(conn, _PLAN, [upto, events])


def _rows(conn: Connection[Any], query: str, parameters: list[Any]) -> list[TupleRow]:
    # Closing frees the raw result at once instead of with the cursor.
    with conn.cursor(binary=True) as cursor:
        return cursor.execute(query, parameters).fetchall()


def _decoded(rows: list[TupleRow]) -> list[Recorded]:
    return [decode(*row) for row in rows]
