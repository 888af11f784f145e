"""Events to bytes and back: what is written can be read again, and what was written once can be read for ever."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.event import Event, Meta, Recorded
from domain.registry import EVENTS

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[tuple[str, int], Upcaster] = {
    ("deal.stage_advanced", 1): lambda data: (
        data
    ),  # 2 knows of checklists and skipped stages; 1 left them out
}
"""(topic, schema) to the function that turns that schema's data into the next one's."""


class UnknownTopic(Exception):
    """The log holds a topic that this release does not know. Nothing may be folded past it."""


class Unreadable(Exception):
    """Stored bytes that do not have the shape of their topic, or an event that would be so."""


class _Head(msgspec.Struct):
    """As much of an envelope as tells its schema."""

    meta: Meta
    data: dict[str, Any]


_encode = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical").encode
_decode_head = msgspec.json.Decoder(_Head).decode


def _envelope(event_class: type[Event]) -> type:
    return msgspec.defstruct(
        f"{event_class.__name__}Envelope", [("meta", Meta), ("data", event_class)], frozen=True, gc=False
    )


_ENVELOPES: dict[str, type] = {topic: _envelope(c) for topic, c in EVENTS.items()}
_DECODERS: dict[str, tuple[Callable[[bytes], Any], int]] = {
    topic: (msgspec.json.Decoder(c).decode, EVENTS[topic].SCHEMA) for topic, c in _ENVELOPES.items()
}
"""By topic: what reads its present schema, and which that is."""


def encode(meta: Meta, event: Event) -> bytes:
    """The `state` bytes of an event: uncompressed UTF-8 JSON `{"meta": ..., "data": ...}`.

    Raises Unreadable when the event's fields do not have the types that its class declares.
    """
    state = _encode(_ENVELOPES[event.TOPIC](meta, event))
    try:
        _DECODERS[event.TOPIC][0](state)
    except msgspec.ValidationError as error:
        raise Unreadable(f"{event.TOPIC}: {error}") from error
    return state


def decode(
    position: int, stream_id: UUID, version: int, topic: str, recorded_at: datetime, state: bytes
) -> Recorded:
    """The event of a row of the log, upcast to its present schema.

    Raises UnknownTopic for a topic of another release, Unreadable for bytes that are not that topic's.
    """
    if topic not in _DECODERS:
        raise UnknownTopic(f"position {position}: no release of this program knows the topic {topic!r}")
    read, schema = _DECODERS[topic]
    try:
        envelope = read(state)
        meta = envelope.meta
        if meta.schema == schema:
            return Recorded(position, stream_id, version, topic, recorded_at, meta, envelope.data)
    except msgspec.DecodeError:
        pass  # an older schema need not have today's shape; upcasting says what is wrong if it is not one
    meta, event = _upcast(position, topic, state)
    return Recorded(position, stream_id, version, topic, recorded_at, meta, event)


def _upcast(position: int, topic: str, state: bytes) -> tuple[Meta, Event]:
    event_class = EVENTS[topic]
    try:
        head = _decode_head(state)
        data, schema = head.data, head.meta.schema
        while schema < event_class.SCHEMA:
            data, schema = UPCASTERS[topic, schema](data), schema + 1
        if schema > event_class.SCHEMA:
            raise UnknownTopic(f"position {position}: {topic!r} has schema {schema} of a newer release")
        return head.meta, msgspec.convert(data, event_class)
    except (msgspec.DecodeError, KeyError) as error:
        raise Unreadable(f"position {position}, {topic}: {error}") from error
