"""What the projections should hold: the log folded again, range by range, beside what they do hold."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Knowledge, Recorded
from infra.log_reader import plan_ranges
from projections.engine.checkpoints import checkpoints
from projections.engine.description import Projection, Table
from projections.engine.digests import digest, digest_of_rows
from projections.engine.folding import Rows, fold_key
from projections.engine.knowledge import as_witnessed
from projections.engine.ranges import each_key, handing_out, unhandled
from projections.engine.records import record
from projections.engine.uncollected import uncollected

RANGE_EVENTS = 8_000

Progress = Callable[[int, int], None]
"""Called with (events folded, events in all)."""


class Cut(msgspec.Struct, frozen=True):
    """Which events are folded: those up to a position that had happened by `as_of` and were known by `known_at`."""

    upto: int
    as_of: datetime | None = None
    known_at: datetime | None = None
    knowledge: Knowledge = "source"

    @property
    def whole(self) -> bool:
        """Whether every event up to the position is folded, as the live tables fold it."""
        return self.as_of is None and self.known_at is None and self.knowledge == "source"

    def of(self, events: Iterable[Recorded]) -> Iterable[Recorded]:
        """Those of the events that are folded, as this knowledge has them."""
        if self.knowledge == "witnessed":
            events = map(as_witnessed, events)
        return filter(self.selects, events)

    def selects(self, event: Recorded) -> bool:
        """Whether the event passes both clocks; state and points alike, one by one."""
        return (self.as_of is None or event.meta.occurred_at <= self.as_of) and (
            self.known_at is None or event.known_at <= self.known_at
        )


class Replayed(msgspec.Struct, frozen=True):
    """What the folds of some keys made: rows by table, the keys in their order, and how many events parked."""

    rows: dict[str, list[Any]]
    parked: int

    def records(self, table: Table) -> list[tuple[Any, ...]]:
        """The rows of a table as tuples of column values, structured ones as JSON text."""
        return list(map(record(table), self.rows[table.name]))


def replay_range(
    conn: Connection[Any], first: UUID, last: UUID, cut: Cut, projections: Sequence[Projection]
) -> dict[str, Replayed]:
    """Fold the partition keys from `first` to `last` from their beginning, in memory: by the projections' names.

    Ranges that follow one another give, put together, what one range over all of them gives, row by row. Keep the
    rows for no longer than Python is `uncollected`: it would look for cycles among them all.
    """
    foldings = [_Folding(p, cut) for p in projections]
    handled_of, unwanted = handing_out(projections), unhandled(projections)
    for _, events in each_key(conn, first, last, cut.upto, unwanted):
        selected = events if cut.whole else cut.of(events)
        for folding, handled in zip(foldings, handled_of(selected), strict=True):
            if handled:
                folding.add(handled)
    return {p.name: folding.replayed for p, folding in zip(projections, foldings, strict=True)}


class _Folding:
    """One projection folded key by key."""

    def __init__(self, projection: Projection, cut: Cut) -> None:
        # A cut leaves versions out on purpose: it is folded as a projection is that keeps no head to count them in.
        self._folding = projection if cut.whole else msgspec.structs.replace(projection, head=None)
        self._projection, self._rows = projection, Rows(projection)
        self._heads, self._parked = list[Any](), 0

    def add(self, handled: Sequence[Recorded]) -> None:
        """Fold the handled events of the next key."""
        folded = fold_key(self._folding, None, {}, handled)
        self._rows.add(folded.written)
        self._parked += len(folded.parked)
        if folded.head is not None:
            self._heads.append(folded.head)

    @property
    def replayed(self) -> Replayed:
        """What the folds made."""
        tables, rows = self._projection.histories, self._rows.inserted
        made: dict[str, list[Any]] = {t.name: list(rows[t.row].values()) for t in tables}
        if self._projection.head is not None:
            made[self._projection.head.name] = self._heads
        return Replayed(made, self._parked)


# --- Beside the live tables ---------------------------------------------------------------------------


class Compared(msgspec.Struct, frozen=True):
    """A projection's digest at its position: of its tables, and of the log folded again."""

    projection: str
    version: int
    position: int
    live: str
    replayed: str


def compare(
    conn: Connection[Any], wanted: Sequence[Projection], *, progress: Progress = lambda *_: None
) -> list[Compared]:
    """Compare what the projections hold with what the log says they should, in the snapshot of `conn`.

    The memory that this takes does not grow with the log. Raises ValueError for a projection whose slices stand at
    different positions, which has no digest, and for one that has not begun.
    """
    by_position: dict[int, list[Projection]] = {}
    for projection in wanted:
        if (position := live_position(conn, projection)) is None:
            raise ValueError(f"{projection.name} stands at no one position: catch up first")
        by_position.setdefault(position, []).append(projection)
    found = []
    for position, projections in by_position.items():
        replayed = replay_log(conn, position, projections, progress=progress)
        found += [
            Compared(p.name, p.version, position, digest(conn, p), replayed[p.name]) for p in projections
        ]
    return sorted(found, key=lambda one: one.projection)


def live_position(conn: Connection[Any], projection: Projection) -> int | None:
    """Where the live tables stand; None while they have not begun, or their slices stand at different positions."""
    positions = {c.position for c in checkpoints(conn, [projection], "live")}
    return positions.pop() if len(positions) == 1 else None


def replay_log(
    conn: Connection[Any],
    upto: int,
    projections: Sequence[Projection],
    *,
    progress: Progress = lambda *_: None,
) -> dict[str, str]:
    """Fold the log up to a position in memory: each projection's digest by its name.

    A digest is a sum over rows, and no row belongs to two partition keys, so ranges of keys add up.
    """
    sums, done = dict.fromkeys((p.name for p in projections), 0), 0
    for first, last, events in plan_ranges(conn, upto, RANGE_EVENTS):
        with uncollected():
            parts = _digests_of_range(conn, first, last, upto, projections)
        for name, part in parts.items():
            sums[name] = (sums[name] + part) % 2**256
        done += events
        progress(done, upto)
    return {name: f"{total:064x}" for name, total in sums.items()}


def _digests_of_range(
    conn: Connection[Any], first: UUID, last: UUID, upto: int, projections: Sequence[Projection]
) -> dict[str, int]:
    found = replay_range(conn, first, last, Cut(upto), projections)
    return {
        p.name: int(digest_of_rows((table, found[p.name].records(table)) for table in p.tables), 16)
        for p in projections
    }
