"""Making a projection again from the whole log: a new generation in its own tables, then one switch.

Range by range of partition keys up to a fixed position, heads in memory for one range only, rows streamed out by
COPY, indexes afterwards, in several processes. A range and its counts are one transaction, so a killed rebuild goes
on where it was. Then the normal engine catches up.
"""

import os
from collections.abc import Callable, Sequence
from threading import Event as Flag
from typing import Any

from psycopg import Connection

from infra.event_store import read_head
from infra.log_reader import read_window
from infra.sessions import alone
from projections.engine.applying import Batch, apply_batch
from projections.engine.catalogue import chosen
from projections.engine.checkpoints import Checkpoint, Moved, checkpoints, ensure, lock
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.rebuild_plan import Plan, forget, load_counted, make_plan, open_plan
from projections.engine.rebuild_work import index_table, run_tasks, work_ranges
from projections.engine.tables import drop_tables, show

_LOCK = 0x72656275  # "rebu": any constant, the same in every release
RANGE_EVENTS = 8_000
BATCH_EVENTS = 5_000

Progress = Callable[[int, int], None]
"""Called with (events done, events in all)."""


class RebuildRunning(Exception):
    """Another process is rebuilding this database's projections."""


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
) -> None:
    """Rebuild the named projections (default: all) and switch to the new generation.

    `processes` defaults to the number of CPUs. `throttle` makes every process rest that many times as long as it
    worked. Goes on with an interrupted rebuild of the same projections. The live tables serve until the switch and
    are dropped after it.

    Raises RebuildRunning, Cancelled (`stop` was set), BrokenLog, UnknownTopic, ForeignLog.
    """
    wanted = list(projections or chosen(list(names or ())))
    with alone(app_url, _LOCK) as free, connect(app_url) as conn:
        if not free:
            raise RebuildRunning("The projections are being rebuilt already.")
        ensure(conn, wanted)
        plan = open_plan(conn, wanted) or make_plan(conn, wanted, range_events)
        count = max(1, processes or os.cpu_count() or 1)
        _load(conn, app_url, plan, wanted, count, throttle, progress, stop)
        for projection in wanted:
            _switch(conn, projection, plan.generations[projection.name])
        forget(conn, plan)


def _load(
    conn: Connection[Any],
    app_url: str,
    plan: Plan,
    wanted: list[Projection],
    processes: int,
    throttle: float,
    progress: Progress | None,
    stop: Flag | None,
) -> None:
    def tell() -> None:
        if progress:
            progress(load_counted(conn, plan), plan.position)

    stop = stop or Flag()
    tell()
    workers = [(app_url, plan, wanted, throttle)] * min(processes, max(plan.ranges, 1))
    run_tasks(work_ranges, workers, processes, stop, tell)
    indexes = [(app_url, p, t, plan.generations[p.name]) for p in wanted for t in p.tables]
    run_tasks(index_table, indexes, processes, stop, tell)
    if stop.is_set():
        raise Cancelled(
            f"The rebuild was stopped after {load_counted(conn, plan)} of {plan.position} events."
        )
    plan.complete(conn, wanted)


def _switch(conn: Connection[Any], projection: Projection, generation: int) -> None:
    """Catch up with the live generation, then show the new one instead, in one transaction."""
    _catch_up(conn, projection, generation)
    while True:
        try:
            with conn.transaction():
                live = checkpoints(conn, [projection], "live")
                for checkpoint in live:
                    lock(conn, checkpoint)  # the projector waits here until the switch is done
                building = _of(checkpoints(conn, [projection], "building"), generation)
                reach = max((c.position for c in live), default=0)
                _advance(conn, projection, building, reach)
                _replace(conn, projection, generation, live)
            break
        except Moved:
            continue  # the projector was quicker; look again
    for old in {c.generation for c in live}:
        drop_tables(conn, projection, old)


def _replace(conn: Connection[Any], projection: Projection, generation: int, live: list[Checkpoint]) -> None:
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


def _catch_up(conn: Connection[Any], projection: Projection, generation: int) -> None:
    """Apply what the log gained meanwhile, until hardly anything is left."""
    while True:
        building = _of(checkpoints(conn, [projection], "building"), generation)
        head = read_head(conn).position
        behind = head - min((c.position for c in building), default=head)
        if behind <= BATCH_EVENTS:
            return
        _advance(conn, projection, building, head)


def _advance(conn: Connection[Any], projection: Projection, building: list[Checkpoint], upto: int) -> None:
    for checkpoint in building:
        while checkpoint.position < upto:
            end = min(checkpoint.position + BATCH_EVENTS, upto)
            batch = Batch(checkpoint.position, end, read_window(conn, checkpoint.position, end))
            checkpoint = apply_batch(conn, projection, checkpoint, batch)  # noqa: PLW2901


def _of(found: list[Checkpoint], generation: int) -> list[Checkpoint]:
    return [c for c in found if c.generation == generation]
