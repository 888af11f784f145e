"""What the projections should hold: the log folded again, range by range, beside what they do hold."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Recorded
from infra.log_reader import plan_ranges, read_range, read_streams
from projections.engine.checkpoints import checkpoints
from projections.engine.description import Projection
from projections.engine.digests import digest, replay
from projections.engine.folding import by_key
from projections.engine.partitions import companions_of

_RANGE_EVENTS = 8_000

Progress = Callable[[int, int], None]
"""Called with (events folded, events in all)."""


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
        positions = {c.position for c in checkpoints(conn, [projection], "live")}
        if len(positions) != 1:
            raise ValueError(
                f"{projection.name} stands at no one position ({sorted(positions)}): catch up first"
            )
        by_position.setdefault(positions.pop(), []).append(projection)
    found = []
    for position, projections in by_position.items():
        replayed = replay_log(conn, position, projections, progress=progress)
        found += [
            Compared(p.name, p.version, position, digest(conn, p), replayed[p.name]) for p in projections
        ]
    return sorted(found, key=lambda one: one.projection)


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
    for first, last, events in plan_ranges(conn, upto, _RANGE_EVENTS):
        for name, part in replay(_of_range(conn, first, last, upto), projections).items():
            sums[name] = (sums[name] + int(part, 16)) % 2**256
        done += events
        progress(done, upto)
    return {name: f"{total:064x}" for name, total in sums.items()}


def _of_range(conn: Connection[Any], first: UUID, last: UUID, upto: int) -> list[Recorded]:
    """The events of the partition keys in the range, with those of their companions, in order of position."""
    events = [e for e in read_range(conn, first, last, upto) if e.stream_id == e.meta.partition_key]
    if companions := companions_of(list(by_key(events))):
        events += read_streams(conn, companions, upto)
    return sorted(events, key=lambda e: e.position)
