"""The event catalogue: every event with its meaning and fields, as Markdown, from the event classes themselves."""

import types
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from domain.event import Event, Meta
from domain.registry import AGGREGATE_OF, EVENTS

_WORDS: dict[Any, str] = {
    UUID: "id (UUID)",
    str: "text",
    int: "whole number",
    bool: "true or false",
    Decimal: "decimal string",
    date: "day",
    datetime: "time (UTC, microseconds)",
}


def event_reference() -> str:
    """The text of docs/events.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Events"
    yield ""
    yield "<!-- Generated from the event classes in domain/ by `make docs`. -->"
    yield ""
    yield (
        "Everything that can stand in the log. The `state` of a row is UTF-8 JSON: `meta`, the same for every "
        "event, and `data`, the fields below. Topics and fields are kept for ever; a change of shape raises "
        "`schema` and comes with an upcaster. A *point* may be back-dated freely; the `occurred_at` of every "
        "other event is not before that of the events of its kind group on the same stream."
    )
    parts: dict[str, type] = {}
    for aggregate in dict.fromkeys(AGGREGATE_OF[event].name for event in EVENTS.values()):
        yield from ("", f"## {aggregate}")
        for event in EVENTS.values():
            if AGGREGATE_OF[event].name == aggregate:
                yield from _event(event, parts)
    yield from ("", "## meta")
    yield from _described(Meta, parts)
    yield from ("", "## Parts")
    described: set[str] = set()
    while missing := [name for name in parts if name not in described]:
        for name in missing:
            described.add(name)
            yield from ("", f"### {name}")
            yield from _described(parts[name], parts)


def _event(event: type[Event], parts: dict[str, type]) -> Iterator[str]:
    yield from ("", f"### {event.TOPIC}")
    group = "a point" if event.GROUP is None else f"kind group `{event.GROUP}`"
    yield from ("", f"`{event.__name__}`, schema {event.SCHEMA}, {group}.")
    yield from _described(event, parts)


def _described(struct: type[msgspec.Struct], parts: dict[str, type]) -> Iterator[str]:
    yield from ("", " ".join((struct.__doc__ or "").split()))
    hints = get_type_hints(struct)
    if struct.__struct_fields__:
        yield from ("", "| field | type | may be left out |", "|---|---|---|")
    required = len(struct.__struct_fields__) - len(struct.__struct_defaults__)
    for place, name in enumerate(struct.__struct_fields__):
        yield f"| `{name}` | {_type(hints[name], parts)} | {'yes' if place >= required else ''} |"


def _type(hint: Any, parts: dict[str, type]) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        arms = [_type(arm, parts) for arm in get_args(hint) if arm is not type(None)]
        return " or ".join(arms) + (" or null" if type(None) in get_args(hint) else "")
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) in (tuple, list):
        return f"list of {_type(get_args(hint)[0], parts)}"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        parts[hint.__name__] = hint
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _WORDS[hint]
