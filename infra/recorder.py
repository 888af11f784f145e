"""The `eventsourcing` library's recorder over our log, so that its users can tail and read it with their own tools.

Reading is the library's own code: notification log, subscriptions and stream reads work on our tables as they are.
Writing goes through our append, which numbers positions densely in the order of commits.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError, NotSupportedError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from infra.connection import LogConnection
from infra.event_store import CHANNEL, Appended, NewEvent, Unit, append
from infra.mapper import Unreadable, decode

_STORED = """
SELECT notification_id, originator_id, originator_version, topic, state
FROM dealtrace.events JOIN unnest(%b::uuid[], %b::bigint[]) AS w(id, version)
  ON originator_id = w.id AND originator_version = w.version"""
_ANY_TIME = datetime.min.replace(tzinfo=UTC)


def datastore(url: str, *, pool_size: int = 2) -> PostgresDatastore:
    """The library's connection pool on our schema. Close it after use."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    return PostgresDatastore(
        dbname=parts.get("dbname", ""),
        host=parts.get("host", ""),
        port=parts.get("port", "5432"),
        user=parts.get("user", ""),
        password=parts.get("password", ""),
        schema="dealtrace",
        pool_size=pool_size,
        max_overflow=8,
    )


class LogRecorder(PostgresApplicationRecorder):
    """The log as the library sees it. Subscriptions wake on our channel; the tables are ours and are not made here.

    `insert_events` appends through `connection`, one caller at a time.
    """

    def __init__(self, datastore: PostgresDatastore, connection: LogConnection) -> None:
        super().__init__(datastore, events_table_name="events")
        self.channel_name = CHANNEL
        self._log = connection

    def create_table(self) -> None:
        """Nothing to do: migrations, run by the owner, make the tables."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append the events, all or none, and return their positions in order.

        The very same events again, as after a lost reply, are not appended twice; their positions are returned.
        Raises IntegrityError when a version is taken or leaves a gap, Unreadable or UnknownTopic for events that
        nobody could read back, NotSupportedError for anything else to be written with them (such as tracking).
        """
        if kwargs:
            raise NotSupportedError(f"the log keeps events only, not {', '.join(kwargs)}")
        if not stored_events:
            return []
        events = tuple(_new_event(stored) for stored in stored_events)
        first: dict[UUID, int] = {}
        last: dict[UUID, int] = {}
        for event in events:
            stream, version = event.stream_id, event.version
            first.setdefault(stream, version)
            if version != last.get(stream, version - 1) + 1:
                raise IntegrityError(f"version {version} of stream {stream} does not follow {last[stream]}")
            last[stream] = version
        unit = Unit(events, {stream: version - 1 for stream, version in first.items()})
        return self._log.run(lambda conn: _insert(conn, unit))


def _new_event(stored: StoredEvent) -> NewEvent:
    stream = stored.originator_id
    if not isinstance(stream, UUID):
        raise Unreadable(f"{stored.topic}: a stream is named by a UUID, not {stream!r}")
    event = NewEvent(stream, stored.originator_version, stored.topic, stored.state)
    decode(0, event.stream_id, event.version, event.topic, _ANY_TIME, event.state)
    return event


def _insert(conn: Connection[Any], unit: Unit) -> list[int]:
    (outcome,) = append(conn, [unit])
    if isinstance(outcome, Appended):
        return [outcome.after + n for n in range(1, len(unit.events) + 1)]
    positions = _positions_of(conn, unit.events)
    if positions is None:
        raise IntegrityError("other events stand at these versions, or versions before them are missing")
    return positions


def _positions_of(conn: Connection[Any], events: Sequence[NewEvent]) -> list[int] | None:
    """Where exactly these events stand, or None when one of them does not."""
    wanted = [[e.stream_id for e in events], [e.version for e in events]]
    found = {
        NewEvent(stream, version, topic, state): position
        for position, stream, version, topic, state in conn.cursor(binary=True).execute(_STORED, wanted)
    }
    positions = [found.get(event) for event in events]
    return None if None in positions else [p for p in positions if p is not None]
