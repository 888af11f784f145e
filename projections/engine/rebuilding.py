"""Making a projection again from the whole log: a new generation in its own tables, then one switch.

Range by range of partition keys up to a fixed position, heads in memory for one range only, rows streamed out by
COPY, indexes afterwards, in several processes. A range and its counts are one transaction, so a killed rebuild goes
on where it was. Then the normal engine catches up.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event as Flag
from typing import Any

from psycopg import Connection, errors

from infra.event_store import read_head
from infra.log_reader import read_window
from infra.sessions import alone
from infra.snapshot import one_snapshot
from projections.engine.applying import Batch, apply_batch
from projections.engine.catalogue import chosen
from projections.engine.checkpoints import Checkpoint, Moved, checkpoints, ensure
from projections.engine.comparing import Disagreement
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.digests import digest
from projections.engine.rebuild_indexes import index_tables
from projections.engine.rebuild_plan import Plan, forget, load_counted, make_plan, open_plan
from projections.engine.rebuild_work import run_tasks, work_ranges
from projections.engine.tables import drop_tables, drop_unused, show

_LOCK = 0x72656275  # "rebu": any constant, the same in every release
RANGE_EVENTS = 8_000
BATCH_EVENTS = 5_000
LOCK_WAIT = "100ms"
"""For so long a switch waits for those who read, and whoever comes after them waits too; then it lets all of them by."""
_LONGEST_PAUSE = 1.0

Progress = Callable[[int, int], None]
"""Called with (events done, events in all)."""


class RebuildRunning(Exception):
    """Another process is rebuilding this database's projections."""


class NotServing(Exception):
    """A projection is to be rebuilt that does not answer yet."""


class Cancelled(Exception):
    """The rebuild was stopped; the next one goes on from there."""


def rebuild(
    app_url: str,
    names: Sequence[str] | None = None,
    *,
    processes: int | None = None,
    range_events: int = RANGE_EVENTS,
    throttle: float = 0.0,
    progress: Progress | None = None,
    stop: Flag | None = None,
    projections: Sequence[Projection] | None = None,
    compare: bool = False,
) -> None:
    """Rebuild the named projections (default: all) and switch to the new generation.

    `processes` defaults to the number of CPUs. `throttle` makes every process rest that many times as long as it
    worked. Goes on with an interrupted rebuild of the same projections. The live tables serve until the switch and
    are dropped after it. `compare` refuses the switch unless the new rows are those of the old tables, digest for
    digest.

    Raises RebuildRunning, NotServing, Disagreement, Cancelled (`stop` was set), BrokenLog, UnknownTopic, ForeignLog, Retired.
    """
    wanted = list(projections or chosen(list(names or ())))
    with only_one(app_url) as conn:
        ensure(conn, wanted)
        live = {c.projection for c in checkpoints(conn, wanted, "live")}
        if waiting := [f"{p.name} v{p.version}" for p in wanted if p.name not in live]:
            raise NotServing(f"{', '.join(waiting)} can not be rebuilt: this version does not answer yet.")
        plan = open_plan(conn, wanted) or make_plan(conn, wanted, range_events)
        load(conn, app_url, plan, wanted, processes, throttle, progress, stop)
        for projection in wanted:
            generation = plan.generations[projection.name]
            if compare:
                catch_up(conn, projection, generation)
                _refuse_other_rows(conn, app_url, projection, generation)
            _switch(conn, projection, generation)
        forget(conn, plan)
        drop_unused(conn, wanted)


@contextmanager
def only_one(app_url: str) -> Iterator[Connection[Any]]:
    """A connection of the only process that makes projections in this database. Raises RebuildRunning."""
    with alone(app_url, _LOCK) as free, connect(app_url) as conn:
        if not free:
            raise RebuildRunning("The projections are being rebuilt already.")
        yield conn


def load(
    conn: Connection[Any],
    app_url: str,
    plan: Plan,
    wanted: list[Projection],
    processes: int | None,
    throttle: float,
    progress: Progress | None,
    stop: Flag | None,
) -> None:
    """Do what of a plan is not done yet, up to its position. Raises Cancelled."""
    processes = max(1, processes or os.cpu_count() or 1)

    def tell() -> None:
        if progress:
            progress(load_counted(conn, plan), plan.position)

    stop = stop or Flag()
    tell()
    workers = [(app_url, plan, wanted, throttle)] * min(processes, max(plan.ranges, 1))
    run_tasks(work_ranges, workers, processes, stop, tell)
    run_tasks(index_tables, [(app_url, plan, wanted)] * processes, processes, stop, tell)
    if stop.is_set():
        raise Cancelled(
            f"The rebuild was stopped after {load_counted(conn, plan)} of {plan.position} events."
        )
    plan.complete(conn, wanted)


def _switch(conn: Connection[Any], projection: Projection, generation: int) -> None:
    """Catch up with the live generation, then show the new one instead, in one transaction."""
    pause = 0.05
    while True:
        catch_up(conn, projection, generation)
        try:
            with conn.transaction():
                # The projector waits here until the switch is done.
                live = checkpoints(conn, [projection], "live", locked=True)
                building = _of(checkpoints(conn, [projection], "building"), generation)
                advance(conn, projection, building, max((c.position for c in live), default=0))
                _replace(conn, projection, generation, live)
            break
        except Moved:
            continue  # another projector was quicker; look again
        except errors.LockNotAvailable:  # somebody reads for long
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
    for old in {c.generation for c in live}:
        drop_tables(conn, projection, old)


def _refuse_other_rows(conn: Connection[Any], app_url: str, projection: Projection, generation: int) -> None:
    """Raise Disagreement unless both generations hold the same rows, in a snapshot of one position."""
    with ExitStack() as snapshot_of_both:
        while True:
            live = checkpoints(conn, [projection], "live")
            building = _of(checkpoints(conn, [projection], "building"), generation)
            advance(conn, projection, building, max(c.position for c in live))
            with conn.transaction():
                live = checkpoints(conn, [projection], "live", locked=True)
                building = _of(checkpoints(conn, [projection], "building"), generation)
                if [c.position for c in live] == [c.position for c in building]:
                    both = snapshot_of_both.enter_context(one_snapshot(app_url, "dealtrace projections"))
                    both.execute("SELECT 1")  # the snapshot is that of the first query
                    break
        old, new = (digest(both, projection, c.generation) for c in (live[0], building[0]))
    if old != new:
        raise Disagreement(
            [
                (
                    f"{projection.name} v{projection.version} made anew holds other rows than its live tables at"
                    f" position {live[0].position:,}: digests {new} and {old}."
                )
            ]
        )


def _replace(conn: Connection[Any], projection: Projection, generation: int, live: list[Checkpoint]) -> None:
    conn.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_WAIT])
    show(conn, projection, generation)
    version = [projection.name, projection.version]
    conn.execute(
        "DELETE FROM projection.parked WHERE (projection, version) = (%s, %s) AND generation = ANY(%s)",
        [*version, [c.generation for c in live]],
    )
    conn.execute(
        "DELETE FROM projection.checkpoints WHERE (projection, version) = (%s, %s) AND state = 'live'",
        version,
    )
    conn.execute(
        "UPDATE projection.checkpoints SET state = 'live', updated_at = clock_timestamp()"
        " WHERE (projection, version, generation) = (%s, %s, %s)",
        [*version, generation],
    )


def catch_up(conn: Connection[Any], projection: Projection, generation: int) -> None:
    """Apply what the log gained meanwhile, until hardly anything is left."""
    while True:
        building = _of(checkpoints(conn, [projection], "building"), generation)
        head = read_head(conn).position
        behind = head - min((c.position for c in building), default=head)
        if behind <= BATCH_EVENTS:
            return
        advance(conn, projection, building, head)


def advance(conn: Connection[Any], projection: Projection, building: list[Checkpoint], upto: int) -> None:
    """Apply the log to some checkpoints of a projection, up to a position."""
    for checkpoint in building:
        while checkpoint.position < upto:
            end = min(checkpoint.position + BATCH_EVENTS, upto)
            batch = Batch(checkpoint.position, end, read_window(conn, checkpoint.position, end))
            checkpoint = apply_batch(conn, projection, checkpoint, batch)  # noqa: PLW2901


def _of(found: list[Checkpoint], generation: int) -> list[Checkpoint]:
    return [c for c in found if c.generation == generation]
