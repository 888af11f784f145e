"""Loading streams: their events, folded; and remembering them."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from domain.registry import AGGREGATE_OF
from domain.stream import Stream
from infra.arrays import UuidArray
from infra.mapper import decode

_EVENTS = """
SELECT notification_id, originator_id, originator_version, topic, recorded_at, state
FROM dealtrace.events WHERE originator_id = ANY(%b::uuid[])
ORDER BY originator_id, originator_version"""


def load_streams(conn: Connection[Any], ids: Sequence[UUID]) -> dict[UUID, Stream]:
    """Each of the streams as it stands now; one that has no event has version 0."""
    streams = {stream_id: Stream(stream_id) for stream_id in ids}
    with conn.cursor(binary=True) as cursor:
        for row in cursor.execute(_EVENTS, [UuidArray([i.bytes for i in ids])]):
            recorded = decode(*row)
            streams[recorded.stream_id] = streams[recorded.stream_id].then(
                recorded.event,
                AGGREGATE_OF[type(recorded.event)].evolve,
                recorded.meta.occurred_at,
                recorded.known_at,
            )
    return streams


class KnownStreams:
    """Streams as they were last seen: hints, never the truth. Of many it keeps those seen last, `most` to twice that."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._recent: dict[UUID, Stream] = {}
        self._older: dict[UUID, Stream] = {}

    def get(self, stream_id: UUID) -> Stream | None:
        """The stream, None for one that is not known."""
        return self._recent.get(stream_id) or self._older.get(stream_id)

    def among(self, ids: Iterable[UUID]) -> tuple[dict[UUID, Stream], list[UUID]]:
        """Those of the streams that are known, and the ids of those that are not."""
        found, missing, recent, older = dict[UUID, Stream](), list[UUID](), self._recent, self._older
        for stream_id in ids:
            stream = recent.get(stream_id) or older.get(stream_id)
            if stream is None:
                missing.append(stream_id)
            else:
                found[stream_id] = stream
        return found, missing

    def keep(self, streams: dict[UUID, Stream]) -> None:
        """From now on the streams are as these say."""
        self._recent.update(streams)
        if len(self._recent) > self._most:
            self._recent, self._older = {}, self._recent

    def forget(self, stream_id: UUID) -> None:
        """The stream is not known any more."""
        self._recent.pop(stream_id, None)
        self._older.pop(stream_id, None)

    def clear(self) -> None:
        """Nothing is known any more."""
        self._recent.clear()
        self._older.clear()
