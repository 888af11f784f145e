"""The one fold: what the events of a key make of its head and its rows. Live, rebuilt and replayed alike."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec

from domain.event import Recorded
from projections.engine.description import Out, Projection, Table

Key = tuple[Any, ...]


class Gap(Exception):
    """A stream's events are missing or out of order. Nothing may be folded past it."""


class Folded(msgspec.Struct):
    """What became of the events of one key. `parked` are the one whose fold raised and all after it."""

    head: Any
    streams: dict[UUID, int]
    written: list[Any]
    applied: int
    parked: Sequence[Recorded]
    error: str | None


def fold_key(
    projection: Projection, head: Any, streams: dict[UUID, int], events: Sequence[Recorded]
) -> Folded:
    """Fold handled events of one key, in order, onto its head.

    `streams` is the last version of each stream of the key that the head has seen: older events are duplicates and
    dropped. A projection without a head leaves that to the primary keys of its rows. Raises Gap.
    """
    fold, gapless = projection.fold, projection.gapless if projection.head else ()
    out = Out()
    applied = 0
    for index, event in enumerate(events):
        last = streams.get(event.stream_id, 0)
        if event.version <= last:
            continue
        if event.version > last + 1 and event.topic in gapless:
            raise Gap(
                f"{projection.name}: stream {event.stream_id} jumps from version {last} to {event.version}"
                f" at position {event.position}"
            )
        mark = len(out.written)
        try:
            head = fold(head, event, out)
        except Exception as error:  # noqa: BLE001 -- whatever a fold raises parks its key and nothing else
            del out.written[mark:]
            return Folded(head, streams, out.written, applied, events[index:], f"{type(error).__name__}: {error}")
        streams[event.stream_id] = event.version
        applied += 1
    return Folded(head, streams, out.written, applied, (), None)


class Rows:
    """Rows to write to the history tables: new ones, and closings of rows that are in the tables already.

    What is inserted and closed within one batch is merged here, so that a row is written once.
    """

    def __init__(self, projection: Projection) -> None:
        self.inserted: dict[type, dict[Key, msgspec.Struct]] = {t.row: {} for t in projection.histories}
        self.closed: dict[type, dict[Key, Key]] = {t.row: {} for t in projection.histories}
        self._keys = {t.row: _key_getter(t) for t in projection.histories}
        self._closing = {t.row: t.closing for t in projection.histories}

    def add(self, written: Iterable[Any]) -> None:
        """Take in what the fold of a key wrote. Raises ValueError for a second row under the same key."""
        for entry in written:
            if type(entry) is tuple:
                row, key, values = entry
                rows = self.inserted[row]
                if key in rows:
                    changes = dict(zip(self._closing[row], values, strict=True))
                    rows[key] = msgspec.structs.replace(rows[key], **changes)
                else:
                    self.closed[row][key] = values
            else:
                row = type(entry)
                key = self._keys[row](entry)
                rows = self.inserted[row]
                if key in rows:
                    raise ValueError(f"two rows of {row.__name__} under the key {key}")
                rows[key] = entry


def _key_getter(table: Table) -> Any:
    if len(table.key) > 1:
        return attrgetter(*table.key)
    (name,) = table.key
    return lambda row: (getattr(row, name),)


def by_key(events: Iterable[Recorded]) -> dict[UUID, list[Recorded]]:
    """Events by partition key, each key's in the order given."""
    groups: dict[UUID, list[Recorded]] = {}
    for event in events:
        key = event.meta.partition_key
        if key in groups:
            groups[key].append(event)
        else:
            groups[key] = [event]
    return groups
