"""Every event that was ever written can be read for ever, and is written today as it was then.

`events/<topic>/<schema>.json` holds the exact `state` bytes of one event with every field filled. A sample is
added with its schema and never changed; a new shape is a new schema, a new sample and an upcaster.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.deal import AmountRevised, DealOpened
from domain.event import Actor, Meta, Recorded
from domain.registry import EVENTS
from infra.mapper import decode, encode

SAMPLES = sorted(Path(__file__).with_name("events").glob("*/*.json"))
EACH = pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"{s.parent.name}/{s.stem}")

RECORDED_AT = datetime(2026, 3, 2, 9, 32, tzinfo=UTC)
STREAM = UUID("0195a000-0000-7000-8000-000000000001")

ENVELOPE = [
    "event_id",
    "schema",
    "partition_key",
    "occurred_at",
    "origin",
    "actor",
    "request_id",
    "command_id",
    "correlation_id",
    "causation_id",
    "playbook_version",
]
OPTIONAL = ["source_recorded_at", "corrects"]


def read(topic: str, state: bytes) -> Recorded:
    return decode(1, STREAM, 1, topic, RECORDED_AT, state)


@pytest.mark.parametrize("topic", EVENTS)
def test_every_schema_of_every_event_has_a_sample(topic: str) -> None:
    wanted = [f"{topic}/{schema}" for schema in range(1, EVENTS[topic].SCHEMA + 1)]
    assert wanted == [f"{s.parent.name}/{s.stem}" for s in SAMPLES if s.parent.name == topic]


@EACH
def test_a_sample_is_read_for_ever(sample: Path) -> None:
    event = read(sample.parent.name, sample.read_bytes()).event
    assert type(event) is EVENTS[sample.parent.name]


@EACH
def test_an_event_is_written_today_as_it_was_then(sample: Path) -> None:
    state = sample.read_bytes()
    found = read(sample.parent.name, state)
    if int(sample.stem) == found.event.SCHEMA:
        assert encode(found.meta, found.event) == state


@EACH
def test_a_sample_has_every_field_filled_so_that_none_can_be_forgotten(sample: Path) -> None:
    envelope = msgspec.json.decode(sample.read_bytes())
    assert list(envelope) == ["meta", "data"]
    assert list(envelope["meta"]) == ENVELOPE + OPTIONAL
    assert list(envelope["meta"]["actor"]) == ["id", "role", "auth", "on_behalf_of"]
    assert envelope["meta"]["schema"] == int(sample.stem)
    if int(sample.stem) == EVENTS[sample.parent.name].SCHEMA:
        assert list(envelope["data"]) == list(EVENTS[sample.parent.name].__struct_fields__)
    assert list(empty_places(envelope)) == []


def empty_places(value: Any, where: str = "") -> list[str]:
    """Where in the sample nothing stands."""
    match value:
        case dict():
            return [place for k, v in value.items() for place in empty_places(v, f"{where}.{k}")]
        case [_, *_]:
            return [place for v in value for place in empty_places(v, f"{where}[]")]
    return [where] if value is None or value in ("", []) else []


def test_what_is_unknown_is_null_in_the_data_and_absent_from_the_envelope() -> None:
    meta = Meta(
        event_id=STREAM,
        schema=1,
        partition_key=STREAM,
        occurred_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
        origin="live",
        actor=Actor("alice", "rep", "header"),
        request_id="",
        command_id="c",
        correlation_id="c",
        causation_id="c",
        playbook_version=0,
    )
    assert encode(meta, DealOpened("f", "s")).decode() == (
        '{"meta":{"event_id":"0195a000-0000-7000-8000-000000000001","schema":1,'
        '"partition_key":"0195a000-0000-7000-8000-000000000001","occurred_at":"2026-03-02T09:30:00Z",'
        '"origin":"live","actor":{"id":"alice","role":"rep","auth":"header"},"request_id":"",'
        '"command_id":"c","correlation_id":"c","causation_id":"c","playbook_version":0},'
        '"data":{"funnel":"f","stage":"s","name":null,"account_id":null,"owner":null,"amount":null,'
        '"expected_close":null,"product_line":null,"customer_segment":null,"region":null,"external":null}}'
    )
    assert encode(meta, AmountRevised(None, None)).endswith(b'"data":{"from_amount":null,"to_amount":null}}')


def test_topics_carry_no_version_and_are_named_after_their_aggregate() -> None:
    for topic in EVENTS:
        aggregate, name = topic.split(".")
        assert aggregate in ("deal", "forecast", "account", "organisation", "playbook")
        assert name.replace("_", "").isalpha()
