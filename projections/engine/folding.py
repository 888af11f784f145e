"""The one fold: what the events of a key make of its head and its rows. Live, rebuilt and replayed alike."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.event import Recorded
from projections.engine.description import Out, Projection

Key = tuple[Any, ...]


class Gap(Exception):
    """A stream's events are missing or out of order. Nothing may be folded past it."""


class Folded(msgspec.Struct):
    """What became of the events of one key. `parked` are the one whose fold raised and all after it.

    Among what was `written` stands, wherever it changes, when the log took in what follows if a source claims to have
    known it earlier; None where no source does.
    """

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
    out, after, seen, applied = Out(), head, dict(streams), 0
    written, stream, last, witnessed = out.written, None, 0, None
    for index, event in enumerate(events):
        if event.stream_id is not stream:
            if stream is not None:
                seen[stream] = last
            stream = event.stream_id
            last = seen.get(stream, 0) if seen else 0
        version = event.version
        if version <= last:
            continue
        if version > last + 1 and event.topic in gapless:
            raise Gap(
                f"{projection.name}: stream {stream} jumps from version {last} to {version}"
                f" at position {event.position}"
            )
        claimed = event.recorded_at if event.meta.source_recorded_at is not None else None
        if claimed is not witnessed:
            written.append(witnessed := claimed)
        try:
            after = fold(after, event, out)
        except Exception as error:  # noqa: BLE001 -- whatever a fold raises parks its key and nothing else
            good = fold_key(projection, head, streams, events[:index])
            good.parked, good.error = events[index:], f"{type(error).__name__}: {error}"
            return good
        last = version
        applied += 1
    if stream is not None:
        seen[stream] = last
    return Folded(after, seen, written, applied, (), None)


class Rows:
    """Rows to write to the history tables: new ones, and closings of rows that are in the tables already.

    What is inserted and closed within one batch is merged here, so that a row is written once.
    """

    def __init__(self, projection: Projection) -> None:
        self.inserted: dict[type, dict[Key, Any]] = {t.row: {} for t in projection.histories}
        """By the type of the rows and their key, where a UUID is the integer that it is: much quicker to look up."""
        self.closed: dict[type, dict[Key, Key]] = {t.row: {} for t in projection.histories}
        """By the type of the rows and their key: the closing values, and when the log took in what closed the row if
        a source claims to have known it earlier."""
        self.witnessed: dict[type, list[datetime | None]] = {t.row: [] for t in projection.histories}
        """By the type of the rows, one for one with `inserted`: the same of what inserted the row."""
        self.closing_witnessed: dict[type, dict[Key, datetime]] = {t.row: {} for t in projection.histories}
        """By the type of the rows and their key: the same of what closed a row of `inserted`, only where it is so."""
        self._tables = projection.history_of
        self._numbers = {t.row: t.number_of for t in projection.histories}

    def add(self, written: Iterable[Any]) -> None:
        """Take in what the fold of a key wrote. Raises ValueError for another row under the same key."""
        inserted, opened, numbers, witnessed = self.inserted, self.witnessed, self._numbers, None
        for entry in written:
            kind = type(entry)
            if kind is tuple:
                of, key, values = entry
                self._close(of, key, values, witnessed)
                continue
            if kind is datetime or entry is None:
                witnessed = entry
                continue
            rows, number = inserted[kind], numbers[kind](entry)
            if rows.setdefault(number, entry) is not entry:
                raise ValueError(f"two rows of {kind.__name__} under the key {number}")
            opened[kind].append(witnessed)

    def _close(self, kind: type[msgspec.Struct], key: Key, values: Key, witnessed: datetime | None) -> None:
        table, rows = self._tables[kind], self.inserted[kind]
        number = table.number(key)
        if (row := rows.get(number)) is not None:
            rows[number] = table.close(row, values)
            if witnessed is not None:
                self.closing_witnessed[kind][number] = witnessed
        else:
            self.closed[kind][key] = (*values, witnessed)


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
