"""What the processes of a rebuild do: fold ranges of partition keys into COPY."""

import multiprocessing
import pkgutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from threading import Event as Flag
from typing import Any, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import astuple
from psycopg import Connection

import projections
from domain.event import Recorded
from infra.failpoints import failpoint
from projections.engine.apart import Late, write_apart
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.folding import Folded, Rows, fold_key
from projections.engine.parking import park
from projections.engine.partitions import slice_of
from projections.engine.ranges import Groups, hand_out, read_keys
from projections.engine.rebuild_plan import Plan
from projections.engine.records import copy_in, copy_rows
from projections.engine.tables import STREAMS
from projections.engine.uncollected import uncollected


class _Stop(Protocol):
    def is_set(self) -> bool: ...


_CLAIM = """
SELECT number, first_key, last_key FROM projection.rebuild_ranges
WHERE rebuild = %s AND counts IS NULL ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED"""
_POLL_SECONDS = 0.2
_NEEDED = [__name__, *(f"projections.{module.name}" for module in pkgutil.iter_modules(projections.__path__))]
"""The modules that a process needs: this one, and every projection."""
_halt: Any = None
"""In a child process: set when it is to stop."""


def run_tasks(
    task: Callable[..., None],
    arguments: Sequence[tuple[Any, ...]],
    processes: int,
    stop: Flag,
    while_waiting: Callable[[], None],
) -> None:
    """Run `task(*arguments, stop)` for each tuple of arguments, in at most so many processes.

    With one process everything is done in this one. Raises what a task raises.
    """
    if processes == 1 or len(arguments) == 1:
        for one in arguments:
            task(*one, stop)
            while_waiting()
        return
    # The program has threads, so it can not be forked; a process that has imported what is needed can, many times.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *_NEEDED])
    halt = context.Event()
    with ProcessPoolExecutor(processes, context, _start_child, (halt,)) as pool:
        waiting = {pool.submit(_in_child, task, one) for one in arguments}
        try:
            while waiting:
                done, waiting = wait(waiting, _POLL_SECONDS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if stop.is_set():
                    halt.set()
                while_waiting()
        finally:
            halt.set()


def _start_child(halt: Any) -> None:
    global _halt  # noqa: PLW0603 -- a pool gives its processes things only so
    _halt = halt


def _in_child(task: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    task(*arguments, _halt)


def work_ranges(app_url: str, plan: Plan, wanted: list[Projection], throttle: float, stop: _Stop) -> None:
    """Do one range after the other, until none is left or `stop` is set."""
    with connect(app_url) as conn:
        conn.execute("SET synchronous_commit = off")
        while not stop.is_set():
            began = time.monotonic()
            with conn.transaction(), uncollected():
                claimed = conn.execute(_CLAIM, [plan.id]).fetchone()
                if claimed is None:
                    return
                number, first, last = claimed
                counts = _do_range(conn, plan, wanted, first, last)
                conn.execute(
                    "UPDATE projection.rebuild_ranges SET counts = %s::text::json WHERE (rebuild, number) = (%s, %s)",
                    [msgspec.json.encode(counts).decode(), plan.id, number],
                )
                failpoint("rebuild.before_commit", conn)
            failpoint("rebuild.after_commit", conn)
            if throttle:
                time.sleep((time.monotonic() - began) * throttle)


def _do_range(
    conn: Connection[Any], plan: Plan, wanted: list[Projection], first: UUID, last: UUID
) -> dict[str, list[list[int]]]:
    groups = read_keys(conn, first, last, plan.position)
    shares = hand_out(groups, wanted)
    return {
        p.name: _fold_range(conn, p, plan, groups, handled) for p, handled in zip(wanted, shares, strict=True)
    }


def _fold_range(
    conn: Connection[Any], projection: Projection, plan: Plan, groups: Groups, handled: Groups
) -> list[list[int]]:
    generation, slices = plan.generations[projection.name], plan.slices[projection.name]
    late = _write_range(conn, projection, generation, handled)
    park(conn, projection, generation, late)
    counts = [[0, 0, 0] for _ in range(slices)]
    for key, events in groups.items():
        own, count = len(handled.get(key, ())), counts[slice_of(key, slices)]
        count[0] += own
        count[1] += len(events) - own
    for event, _ in late:
        count = counts[slice_of(event.meta.partition_key, slices)]
        count[0] -= 1
        count[2] += 1
    return counts


def _write_range(conn: Connection[Any], projection: Projection, generation: int, handled: Groups) -> Late:
    """Fold keys from their beginning and write what came of it; what parks."""

    def fold(_key: UUID, events: Sequence[Recorded]) -> Folded:
        return fold_key(projection, None, {}, events)

    folded = {key: fold(key, events) for key, events in handled.items()}
    return write_apart(conn, folded, handled, fold, lambda part: _copy(conn, projection, generation, part))


def _copy(conn: Connection[Any], projection: Projection, generation: int, folded: dict[UUID, Folded]) -> None:
    rows = Rows(projection)
    for result in folded.values():
        rows.add(result.written)
    if projection.head:
        heads = [(*astuple(f.head), f.streams) for f in folded.values() if f.head is not None]
        copy_in(conn, projection, projection.head, generation, heads, [(STREAMS, "json")])
    copy_rows(conn, projection, generation, rows)
