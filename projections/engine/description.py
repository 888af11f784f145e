"""What a projection is: its name and version, its tables, the topics it handles, and one pure fold."""

import types
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from msgspec.structs import astuple, replace
from psycopg import sql

from domain.event import Event, Recorded
from domain.registry import AGGREGATE_OF, EVENTS
from projections.engine.knowledge import View

SCHEMA = "projection"
WITNESSED_AT, CLOSING_WITNESSED_AT = "witnessed_at", "closing_witnessed_at"
"""The engine's own columns of a history table: when the log took in the event that inserted the row, and the one that
closed it. Null for an event that no source claims to have known earlier: its knowledge time says so already."""

_TYPES: dict[Any, str] = {
    UUID: "uuid",
    str: "text",
    int: "bigint",
    bool: "boolean",
    datetime: "timestamptz",
    date: "date",
    Decimal: "numeric",
}


class Column(NamedTuple):
    """One column of a table, as a row's field declares it. Anything structured is kept as `json`."""

    name: str
    type: str
    nullable: bool
    python: Any


class Table(msgspec.Struct, frozen=True, dict=True):
    """A table of a projection. `row` is a frozen Struct whose fields are the columns.

    `key` is the primary key, of things that the domain numbers (a stream version, a visit number), never a surrogate.
    `closing` are the columns that `Out.close` sets on a row inserted earlier. `indexes` are what follows
    `CREATE INDEX ... ON table`, such as `"(funnel, stage) WHERE next_occurred_at IS NULL"`. `processing` are columns
    that say how and when the log took an event in (its id, position, time of recording), which another import of the
    same history would not repeat; they are no part of the digest.
    """

    name: str
    row: type[msgspec.Struct]
    key: tuple[str, ...]
    closing: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    processing: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns in the order of the row's fields."""
        hints = get_type_hints(self.row)
        return tuple(_column(name, hints[name]) for name in self.row.__struct_fields__)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(c.name for c in self.columns)

    @cached_property
    def witnessed_by(self) -> dict[str, str]:
        """Of a history table the columns of knowledge time (`known_at` and those that end in `_known_at`), each with
        the one that says, where a source's claim is all that the first rests on, when the log itself came to know."""
        known = [
            c.name for c in self.columns if c.type == "timestamptz" and f"_{c.name}".endswith("_known_at")
        ]
        opening = "recorded_at" if "recorded_at" in self.names else WITNESSED_AT
        return {name: CLOSING_WITNESSED_AT if name in self.closing else opening for name in known}

    @cached_property
    def witnesses(self) -> tuple[str, ...]:
        """The engine's own columns of a history table."""
        own = (WITNESSED_AT, CLOSING_WITNESSED_AT)
        return tuple(name for name in own if name in self.witnessed_by.values())

    @cached_property
    def number_of(self) -> Callable[[Any], Any]:
        """From a row to its key, where a UUID is the integer that it is."""
        uuids = {c.name for c in self.columns if c.type == "uuid"}
        return attrgetter(*(f"{name}.int" if name in uuids else name for name in self.key))

    @cached_property
    def number(self) -> Callable[[tuple[Any, ...]], Any]:
        """From a key as `Out.close` takes it to the same."""
        uuids = {c.name for c in self.columns if c.type == "uuid"}
        is_uuid = [name in uuids for name in self.key]
        if len(is_uuid) == 1:
            return (lambda key: key[0].int) if is_uuid[0] else (lambda key: key[0])
        if is_uuid == [True, False]:
            return lambda key: (key[0].int, key[1])
        return lambda key: tuple(v.int if u else v for v, u in zip(key, is_uuid, strict=True))

    @cached_property
    def close(self) -> Callable[[Any, tuple[Any, ...]], Any]:
        """From a row and values for the closing columns to the row that has them."""
        row, closing, kept = self.row, self.closing, len(self.names) - len(self.closing)
        if closing == self.names[kept:]:
            return lambda before, values: row(*astuple(before)[:kept], *values)
        return lambda before, values: replace(before, **dict(zip(closing, values, strict=True)))


class Out:
    """What the fold of one key has written so far, in order."""

    __slots__ = ("insert", "written")

    insert: Callable[[msgspec.Struct], None]
    """A new row for the history table whose rows are of this type."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.insert = self.written.append

    def close(self, row: type[msgspec.Struct], key: tuple[Any, ...], values: tuple[Any, ...]) -> None:
        """Set the closing columns of the row inserted earlier under `key`; the fold keeps the key in its head."""
        self.written.append((row, key, values))


Fold = Callable[[Any, Recorded, Out], Any]
"""(head or None, event, out) -> head. No clock, no I/O, no other projection; the head is never changed in place."""


class Invariant(msgspec.Struct, frozen=True):
    """A figure that a version and the one before it agree on, compared before the new one may answer.

    `figure` is SQL with one row as its result, the tables in braces: `"SELECT count(*), sum(amount) FROM {deals}"`.
    `before` is the same for the version before, where tables or columns had other names.
    """

    name: str
    figure: str
    before: str | None = None


class Projection(msgspec.Struct, frozen=True, dict=True):
    """One projection. Another meaning of the same events, or another column, is another `version`.

    `head` holds one bounded row per partition key; it is loaded for the keys that a batch touches. `histories` are
    only inserted into, or closed by a key that the head keeps; they are never loaded. `invariants` are figures that
    must not change from the version before to this one.
    """

    name: str
    version: int
    topics: frozenset[str]
    fold: Fold
    head: Table | None = None
    histories: tuple[Table, ...] = ()
    invariants: tuple[Invariant, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, the head's first."""
        return ((self.head,) if self.head else ()) + self.histories

    @cached_property
    def history_of(self) -> dict[type[msgspec.Struct], Table]:
        """The history table by the type of its rows."""
        return {table.row: table for table in self.histories}

    @cached_property
    def gapless(self) -> frozenset[str]:
        """The topics of aggregates of which every topic is handled, so that their versions may not jump."""
        unhandled = {AGGREGATE_OF[c].name for topic, c in EVENTS.items() if topic not in self.topics}
        return frozenset(t for t in self.topics if AGGREGATE_OF[EVENTS[t]].name not in unhandled)

    def view(self, table: str) -> View:
        """The table as queries name it: a view of the live generation of this version.

        It tells what was known when by the knowledge of the connection that reads.
        """
        known = {t.name: t for t in self.tables}
        if table not in known:
            raise KeyError(f"{self.name} has no table {table!r}, only {', '.join(sorted(known))}")
        names = view_names(table, self.version)
        return View(*names) if known[table] in self.histories else View(names[0], names[0])

    @cached_property
    def position(self) -> sql.Composed:
        """SQL for the position that the live generation reflects, to be read in the same statement as its rows."""
        return sql.SQL(
            "(SELECT min(position) FROM projection.checkpoints"
            " WHERE projection = {} AND version = {} AND state = 'live')"
        ).format(self.name, self.version)

    def physical(self, table: Table, generation: int) -> sql.Identifier:
        """The table of one generation."""
        return sql.Identifier(SCHEMA, f"{table.name}_v{self.version}_g{generation}")


def view_names(table: str, version: int) -> tuple[sql.Identifier, sql.Identifier]:
    """The views of a table by the knowledge of the sources and, of a history, by what was witnessed alone."""
    name = f"{table}_v{version}"
    return sql.Identifier(SCHEMA, name), sql.Identifier(SCHEMA, f"{name}_witnessed")


def topics(*events: type[Event]) -> frozenset[str]:
    """The topics of some event classes."""
    return frozenset(e.TOPIC for e in events)


def topics_of(aggregate: str) -> frozenset[str]:
    """Every topic of an aggregate, by the aggregate's name."""
    return frozenset(topic for topic, c in EVENTS.items() if AGGREGATE_OF[c].name == aggregate)


def _column(name: str, hint: Any) -> Column:
    nullable = False
    if get_origin(hint) in (Union, types.UnionType):
        arms = [arm for arm in get_args(hint) if arm is not type(None)]
        nullable, hint = len(arms) < len(get_args(hint)), arms[0]
    if get_origin(hint) is Literal:
        hint = str
    return Column(name, _TYPES.get(hint, "json"), nullable, hint)
