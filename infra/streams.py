"""Loading streams: their events, folded."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from domain.registry import AGGREGATE_OF
from domain.stream import Stream
from infra.mapper import decode

_EVENTS = """
SELECT notification_id, originator_id, originator_version, topic, recorded_at, state
FROM dealtrace.events WHERE originator_id = ANY(%b::uuid[])
ORDER BY originator_id, originator_version"""


def load_streams(conn: Connection[Any], ids: Sequence[UUID]) -> dict[UUID, Stream]:
    """Each of the streams as it stands now; one that has no event has version 0."""
    streams = {stream_id: Stream(stream_id) for stream_id in ids}
    with conn.cursor(binary=True) as cursor:
        for row in cursor.execute(_EVENTS, [list(ids)]):
            recorded = decode(*row)
            streams[recorded.stream_id] = streams[recorded.stream_id].then(
                recorded.event,
                AGGREGATE_OF[type(recorded.event)].evolve,
                recorded.meta.occurred_at,
                recorded.known_at,
            )
    return streams
