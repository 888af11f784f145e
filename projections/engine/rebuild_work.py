"""What the processes of a rebuild do: fold ranges of partition keys into COPY, then make keys and indexes."""

import gc
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from threading import Event as Flag
from typing import Any, Protocol
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Recorded
from infra.failpoints import failpoint
from infra.log_reader import read_range, read_streams
from projections.engine.apart import Late, write_apart
from projections.engine.connecting import connect
from projections.engine.description import Projection, Table
from projections.engine.folding import Folded, Rows, by_key, fold_key
from projections.engine.parking import park
from projections.engine.partitions import companions_of, slice_of
from projections.engine.rebuild_plan import Plan
from projections.engine.records import copy_in, head_record, record
from projections.engine.tables import index_statements


class _Stop(Protocol):
    def is_set(self) -> bool: ...


_CLAIM = """
SELECT number, first_key, last_key FROM projection.rebuild_ranges
WHERE rebuild = %s AND counts IS NULL ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED"""
_POLL_SECONDS = 0.2

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
    context = multiprocessing.get_context("spawn")
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
    gc.freeze()
    gc.set_threshold(100_000, 5, 5)  # rows and events hold no cycles


def _in_child(task: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    task(*arguments, _halt)


def work_ranges(app_url: str, plan: Plan, wanted: list[Projection], throttle: float, stop: _Stop) -> None:
    """Do one range after the other, until none is left or `stop` is set."""
    with connect(app_url) as conn:
        conn.execute("SET synchronous_commit = off")
        while not stop.is_set():
            began = time.monotonic()
            with conn.transaction():
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
    groups = _groups(conn, first, last, plan.position)
    return {p.name: _fold_range(conn, p, plan, groups) for p in wanted}


def _groups(conn: Connection[Any], first: UUID, last: UUID, upto: int) -> dict[UUID, list[Recorded]]:
    """The events of the partition keys in the range: those of their own streams, and of their companions."""
    events = [e for e in read_range(conn, first, last, upto) if e.stream_id == e.meta.partition_key]
    groups = by_key(events)
    if companions := companions_of(list(groups)):
        theirs = (e for e in read_streams(conn, companions, upto) if e.stream_id != e.meta.partition_key)
        for key, more in by_key(theirs).items():
            groups[key] = sorted([*groups[key], *more], key=lambda e: e.position)
    return groups


def _fold_range(
    conn: Connection[Any], projection: Projection, plan: Plan, groups: dict[UUID, list[Recorded]]
) -> list[list[int]]:
    generation, slices = plan.generations[projection.name], plan.slices[projection.name]
    topics = projection.topics
    counts = [[0, 0, 0] for _ in range(slices)]
    handled: dict[UUID, list[Recorded]] = {}
    for key, events in groups.items():
        own = [e for e in events if e.topic in topics]
        count = counts[slice_of(key, slices)]
        count[0] += len(own)
        count[1] += len(events) - len(own)
        if own:
            handled[key] = own
    late = _write_range(conn, projection, generation, handled)
    for event, _ in late:
        count = counts[slice_of(event.meta.partition_key, slices)]
        count[0] -= 1
        count[2] += 1
    park(conn, projection, generation, late)
    return counts


def _write_range(
    conn: Connection[Any], projection: Projection, generation: int, handled: dict[UUID, list[Recorded]]
) -> Late:
    """Fold keys from their beginning and write what came of it; what parks."""

    def fold(_key: UUID, events: Sequence[Recorded]) -> Folded:
        return fold_key(projection, None, {}, events)

    folded = {key: fold(key, events) for key, events in handled.items()}
    return write_apart(conn, folded, handled, fold, lambda part: _copy(conn, projection, generation, part))


def _copy(conn: Connection[Any], projection: Projection, generation: int, folded: dict[UUID, Folded]) -> None:
    rows = Rows(projection)
    for result in folded.values():
        rows.add(result.written)
    heads = [(result.head, result.streams) for result in folded.values() if result.head is not None]
    if projection.head and heads:
        as_record = head_record(projection.head)
        copy_in(conn, projection, projection.head, generation, (as_record(*h) for h in heads))
    for table in projection.histories:
        if inserted := rows.inserted[table.row]:
            copy_in(conn, projection, table, generation, map(record(table), inserted.values()))


def index_table(app_url: str, projection: Projection, table: Table, generation: int, stop: _Stop) -> None:
    """Give a loaded table its key and indexes, unless it has them already."""
    with connect(app_url) as conn:
        physical = projection.physical(table, generation).as_string(conn)
        with conn.transaction():
            done = conn.execute(
                "SELECT FROM pg_index WHERE indrelid = %s::regclass AND indisprimary", [physical]
            ).fetchone()
            if done is not None or stop.is_set():
                return
            conn.execute("SET LOCAL synchronous_commit = off")
            for statement in index_statements(projection, table, generation):
                conn.execute(statement)
        conn.execute(f"VACUUM (ANALYZE) {physical}")  # so that queries may answer from the indexes alone
