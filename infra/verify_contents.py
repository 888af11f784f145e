"""What each event says beside its place in the log: its id is its own, its partition key is its stream's, and the
personal texts that it names are those that the vault holds."""

from collections.abc import Sequence
from functools import cache
from typing import Any, get_type_hints

from psycopg import Connection

from domain.event import Event, Recorded, TextRef
from domain.manager_forecast import forecast_stream
from domain.registry import AGGREGATE_OF

_CHANGED = """
SELECT id FROM dealtrace.vault JOIN unnest(%b::uuid[], %b::text[]) AS w(id, sha256) USING (id)
WHERE encode(sha256(salt || convert_to(text, 'UTF8')), 'hex') <> w.sha256"""
_TWICE = """
SELECT event_id, positions FROM (
    SELECT convert_from(state, 'UTF8')::json -> 'meta' ->> 'event_id' AS event_id,
           array_agg(notification_id ORDER BY notification_id) AS positions
    FROM dealtrace.events WHERE notification_id <= %b GROUP BY 1) e
WHERE cardinality(positions) > 1 ORDER BY positions LIMIT %b"""


def misplaced(event: Recorded) -> str | None:
    """What is wrong with the event's partition key, if anything: a fold would see it with another deal."""
    stream, key = event.stream_id, event.meta.partition_key
    home = forecast_stream(key) if AGGREGATE_OF[type(event.event)].name == "forecast" else key
    return (
        None
        if stream.int == home.int
        else f"position {event.position} of stream {stream} has the partition key {key}"
    )


def changed_texts(conn: Connection[Any], events: Sequence[Recorded]) -> list[str]:
    """Texts in the vault that are not what the events were told. An erased one is no problem."""
    named = {ref.id: (ref.sha256, e.position) for e in events for ref in _texts(e.event)}
    if not named:
        return []
    found = conn.execute(_CHANGED, [list(named), [sha256 for sha256, _ in named.values()]]).fetchall()
    return [
        f"position {position}: the text {text} in the vault is not the one that was sealed"
        for position, text in sorted((named[text][1], text) for (text,) in found)
    ]


def ids_used_twice(conn: Connection[Any], until: int, shown: int) -> list[str]:
    """Event ids that stand in the log more than once. Every event must be readable."""
    return [
        f"the event id {event_id} stands at the positions {', '.join(map(str, positions))}"
        for event_id, positions in conn.execute(_TWICE, [until, shown]).fetchall()
    ]


def _texts(event: Event) -> list[TextRef]:
    return [ref for name in _text_fields(type(event)) if (ref := getattr(event, name)) is not None]


@cache
def _text_fields(event: type[Event]) -> tuple[str, ...]:
    """The fields of an event that name a text in the vault."""
    return tuple(name for name, hint in get_type_hints(event).items() if hint in (TextRef, TextRef | None))
