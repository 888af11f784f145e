"""An old shape becomes today's when it is read; what can not be read is said to be so, never guessed."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest

from domain.event import Actor, Event, Meta, Recorded
from domain.registry import EVENTS
from infra import mapper
from infra.mapper import UPCASTERS, UnknownTopic, Unreadable, decode, encode

STREAM = UUID("0195a000-0000-7000-8000-000000000001")
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


class Greeted(Event, frozen=True):
    """Schema 1 had one field, `text`; schema 2 splits it; schema 3 counts how often."""

    TOPIC: ClassVar[str] = "test.greeted"
    SCHEMA: ClassVar[int] = 3
    word: str
    name: str
    times: int


def split_text(data: dict[str, Any]) -> dict[str, Any]:
    word, name = data["text"].split(" ")
    return {"word": word, "name": name}


@pytest.fixture(autouse=True)
def greeted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event class of this test alone, with its upcasters."""
    envelope = mapper._envelope(Greeted)
    monkeypatch.setitem(EVENTS, Greeted.TOPIC, Greeted)
    monkeypatch.setitem(mapper._ENVELOPES, Greeted.TOPIC, envelope)
    decoder = msgspec.json.Decoder(envelope).decode, Greeted.SCHEMA
    monkeypatch.setitem(mapper._DECODERS, Greeted.TOPIC, decoder)
    monkeypatch.setitem(UPCASTERS, (Greeted.TOPIC, 1), split_text)
    monkeypatch.setitem(UPCASTERS, (Greeted.TOPIC, 2), lambda data: {**data, "times": 1})


def meta(schema: int) -> Meta:
    return Meta(STREAM, schema, STREAM, AT, "live", Actor("alice", "rep", "test"), "r", "c", "c", "c", 1)


def stored(schema: int, data: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"meta": meta(schema), "data": data})


def read(state: bytes, topic: str = Greeted.TOPIC) -> Recorded:
    return decode(7, STREAM, 1, topic, AT, state)


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (1, {"text": "hello world"}),
        (2, {"word": "hello", "name": "world"}),
        (3, {"word": "hello", "name": "world", "times": 1}),
    ],
)
def test_every_schema_is_read_as_the_present_one(schema: int, data: dict[str, Any]) -> None:
    found = read(stored(schema, data))
    assert found.event == Greeted("hello", "world", 1)
    assert found.meta == meta(schema)  # the envelope says what was written
    assert (found.position, found.version, found.recorded_at) == (7, 1, AT)


def test_an_old_schema_is_upcast_even_when_it_has_todays_shape_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(UPCASTERS, (Greeted.TOPIC, 2), lambda data: {**data, "times": data["times"] + 1})
    assert read(stored(2, {"word": "a", "name": "b", "times": 1})).event.times == 2


def test_what_is_written_is_the_present_schema() -> None:
    assert read(encode(meta(3), Greeted("a", "b", 2))).event == Greeted("a", "b", 2)


def test_a_schema_of_a_newer_release_is_unknown() -> None:
    with pytest.raises(UnknownTopic, match=r"position 7.*schema 4"):
        read(stored(4, {"word": "a", "name": "b", "times": 1, "mood": "good"}))


def test_a_topic_of_another_release_is_unknown() -> None:
    with pytest.raises(UnknownTopic, match=r"position 7.*'deal\.sung'"):
        read(stored(1, {}), "deal.sung")


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"meta":{},"data":{}}',
        stored(3, {"word": "a", "name": "b"}),
        stored(3, {"word": "a", "name": "b", "times": 1, "more": 1}),
        stored(3, {"word": "a", "name": "b", "times": "1"}),
        stored(3, {"word": None, "name": "b", "times": 1}),
        stored(1, {"word": "a"}),
        stored(0, {"text": "hello world"}),
        stored(3, {"word": "a", "name": "b", "times": 1}).replace(b'"live"', b'"dream"'),
        stored(3, {"word": "a", "name": "b", "times": 1}) + b"}",
    ],
)
def test_bytes_of_another_shape_are_unreadable_and_say_where(state: bytes) -> None:
    with pytest.raises(Unreadable, match=r"position 7, test\.greeted"):
        read(state)


def test_an_event_whose_fields_have_other_types_is_not_written() -> None:
    with pytest.raises(Unreadable, match=r"test\.greeted"):
        encode(meta(3), Greeted("a", "b", "often"))  # type: ignore[arg-type]
