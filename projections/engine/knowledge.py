"""By whose word an event counts as known at K: its source's, or this log's alone. It is asked of a reading connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from msgspec.structs import replace
from psycopg import Connection, sql
from psycopg.abc import AdaptContext

from domain.event import Knowledge, Recorded

_WITNESSED: WeakSet[Connection[Any]] = WeakSet()
"""The connections that read by what was witnessed; all others read by the sources' word."""


@contextmanager
def known_by(conn: Connection[Any], knowledge: Knowledge) -> Iterator[None]:
    """Let every query on the connection read by this knowledge within the block, whatever projection it asks."""
    before = knowledge_of(conn)
    _read_by(conn, knowledge)
    try:
        yield
    finally:
        _read_by(conn, before)


def knowledge_of(conn: Connection[Any]) -> Knowledge:
    """The knowledge by which a connection reads."""
    return "witnessed" if conn in _WITNESSED else "source"


def _read_by(conn: Connection[Any], knowledge: Knowledge) -> None:
    (_WITNESSED.add if knowledge == "witnessed" else _WITNESSED.discard)(conn)


def as_witnessed(event: Recorded) -> Recorded:
    """The event without its source's claim to have known it earlier: this log knew it when it took it in."""
    meta = event.meta
    return (
        event
        if meta.source_recorded_at is None
        else replace(event, meta=replace(meta, source_recorded_at=None))
    )


class View(sql.Composable):
    """The name of a table in a query: that of the view for the knowledge by which its connection reads."""

    def __init__(self, source: sql.Identifier, witnessed: sql.Identifier) -> None:
        super().__init__((source, witnessed))
        self._by: dict[Knowledge, sql.Identifier] = {"source": source, "witnessed": witnessed}

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """The qualified name. Without a connection it is that of the sources' knowledge."""
        conn = context.connection if context is not None else None
        knowledge: Knowledge = "witnessed" if conn in _WITNESSED else "source"
        return self._by[knowledge].as_bytes(context)
