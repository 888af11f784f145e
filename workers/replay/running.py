"""A whole replay: the log folded again up to a cut, proven against the live tables, kept as files on request."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Connection

from domain.event import Knowledge
from infra.event_store import Head, read_head
from infra.log_reader import plan_ranges, read_at
from infra.snapshot import one_snapshot
from infra.verify import log_root
from projections.engine.catalogue import chosen
from projections.engine.description import Projection
from projections.engine.digests import digest
from projections.engine.replaying import RANGE_EVENTS, Cut, live_position
from projections.engine.tables import shown
from workers.replay.processes import parts
from workers.replay.result import Replay, ReplayedLog, ReplayedProjection
from workers.replay.work import Job, Part

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much of it is done, how much there is to do)."""


class BeyondLog(Exception):
    """The log does not reach the position asked for."""


@dataclass(frozen=True)
class Asked:
    """What to fold, by how many processes (default: one per CPU), and into which folder, if any.

    Without a position it is the one that the live tables reflect.
    """

    to_position: int | None = None
    as_of: datetime | None = None
    known_at: datetime | None = None
    knowledge: Knowledge = "source"
    projections: tuple[str, ...] = ()
    out: Path | None = None
    processes: int | None = None
    range_events: int = RANGE_EVENTS


def run_replay(app_url: str, asked: Asked, progress: Progress = lambda *_: None) -> Replay:
    """Fold the log and compare. Raises KeyError for an unknown projection, BeyondLog, UnknownTopic, OSError."""
    wanted = chosen(list(asked.projections))
    with one_snapshot(app_url, "dealtrace replay") as conn, _kept(asked.out, wanted) as keeper:
        head = read_head(conn)
        cut = _cut(conn, asked, wanted, head)
        cutoff = _cutoff(conn, cut)
        job = Job(tuple(p.name for p in wanted), cut, cutoff, keeper is not None)
        ranges = plan_ranges(conn, cut.upto, asked.range_events)
        processes = max(1, asked.processes or os.cpu_count() or 1)
        sums, done = _Sums(wanted), 0
        with closing(parts(app_url, job, ranges, processes)) as found:
            for (_, _, events), part in zip(ranges, found, strict=True):
                sums.add(part)
                if keeper:
                    keeper.add(part)
                done += events
                progress("Folding the log", done, cut.upto)
        compared = tuple(_compared(conn, projection, cut, sums) for projection in wanted)
        root = _root(conn, cut.upto, progress) if keeper else None
        log = ReplayedLog(head.log_id, head.epoch, cut.upto, root)
        replay = Replay(log, cut.as_of, cut.known_at, cut.knowledge, cutoff, done, compared)
        return keeper.finish(replay, sums.digests) if keeper else replay


@contextmanager
def _kept(folder: Path | None, wanted: Sequence[Projection]) -> Iterator[Any]:
    """What keeps the frames, or None where none are wanted, which needs no columns."""
    if folder is None:
        yield None
        return
    from workers.replay.keeping import keeping

    with keeping(folder, wanted) as keeper:
        yield keeper


class _Sums:
    """Digests and parked events added up over ranges."""

    def __init__(self, wanted: Sequence[Projection]) -> None:
        self._of_table = {t.name: 0 for p in wanted for t in p.tables}
        self.parked = {p.name: 0 for p in wanted}

    def add(self, part: Part) -> None:
        for name, number in part.digests.items():
            self._of_table[name] = (self._of_table[name] + number) % 2**256
        for name, events in part.parked.items():
            self.parked[name] += events

    @property
    def digests(self) -> dict[str, str]:
        """By table, the digest of its rows."""
        return {name: f"{number:064x}" for name, number in self._of_table.items()}

    def digest(self, projection: Projection) -> str:
        """The digest of a projection: the sum over its tables."""
        return f"{sum(self._of_table[t.name] for t in projection.tables) % 2**256:064x}"


def _cut(conn: Connection[Any], asked: Asked, wanted: Sequence[Projection], head: Head) -> Cut:
    upto = asked.to_position
    if upto is None:
        live = {live_position(conn, projection) for projection in wanted}
        upto = (live.pop() if len(live) == 1 else None) or head.position
    if upto > head.position:
        raise BeyondLog(f"The log ends at position {head.position}")
    return Cut(upto, asked.as_of, asked.known_at, asked.knowledge)


def _cutoff(conn: Connection[Any], cut: Cut) -> datetime:
    """The earlier of T and K; without either, when the last event was recorded, so that it does not depend on today."""
    given = [moment for moment in (cut.as_of, cut.known_at) if moment is not None]
    if given:
        return min(given)
    last = read_at(conn, [cut.upto])
    return last[0].recorded_at if last else datetime(1970, 1, 1, tzinfo=UTC)


def _compared(conn: Connection[Any], projection: Projection, cut: Cut, sums: _Sums) -> ReplayedProjection:
    name, made = projection.name, sums.digest(projection)
    answers = projection.name in shown(conn, [projection])
    if not (cut.whole and answers and live_position(conn, projection) == cut.upto):
        return ReplayedProjection(name, projection.version, made, None, None, sums.parked[name])
    live = digest(conn, projection)
    return ReplayedProjection(name, projection.version, made, live, live == made, sums.parked[name])


def _root(conn: Connection[Any], upto: int, progress: Progress) -> str:
    return log_root(conn, upto, progress=lambda at: progress("Reading the log for its root", at, upto)).root
