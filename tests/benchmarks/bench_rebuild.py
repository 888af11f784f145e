"""Rebuilding all projections, beside the library's ProjectionRunner; and whether it stays flat and small.

The library as it comes: a projection for each view, as ours are and as its runner takes them, in as many processes as
a rebuild has. Then with two things done for it that it does not do: the database told not to wait for the disk (ours
waits for it at the end of a rebuild, not at every event); and all views put into one projection, with one transaction
for all of them.
"""

import multiprocessing
import os
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
from eventsourcing.projection import ProjectionRunner
from psycopg import sql

from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from projections.engine.rebuilding import rebuild
from tests.benchmarks import history
from tests.benchmarks.pairs import console, interleaved, report
from tests.benchmarks.stock import environment
from tests.benchmarks.stock_history import StockHistory, stock_history
from tests.benchmarks.stock_projection import VIEWS, projection_of

SIZES = (100_000, 1_000_000)
PEER_EVENTS = 5_000


def run(server: Server, scale: float) -> None:
    """Print the comparisons at the smaller size, what both sides keep, then rate and memory at both sizes."""
    small, large = (int(size * scale) for size in SIZES)
    kept: dict[str, str] = {}
    with (
        scratch_database(server) as ours,
        stock_history(server, max(int(PEER_EVENTS * scale), 500)) as (peer_events, env),
    ):
        migrate(ours.owner_url)
        history.fill(ours.owner_url, small)

        def rebuilt() -> float:
            return _rebuild(ours.app_url, small)[0]

        processes = os.cpu_count() or 1
        each = f"a ProjectionRunner for each of eight views, {processes} processes"
        for peer, way, durable in (
            (each, _one_each, True),
            (f"{each}, not waiting for the disk", _one_each, False),
            ("one ProjectionRunner, eight views in one projection, not waiting", _all_in_one, False),
        ):

            def stock(peer: str = peer, way: _Way = way, durable: bool = durable) -> float:
                with _views(server, peer, kept, durable=durable) as views:
                    return peer_events / way(env | views)

            report(
                "rebuilding all projections", "events/s", peer, interleaved(rebuilt, stock, rounds=3), "60x"
            )
        kept[f"of {small:,} events dealtrace"] = _kept(ours.app_url, "_v[0-9]+_g[0-9]+$")
    for name, rows in kept.items():
        console.print(f"{name} keeps: {rows}")
    for size in (small, large):
        with scratch_database(server) as database:
            migrate(database.owner_url)
            history.fill(database.owner_url, size)
            results = [_rebuild(database.app_url, size) for _ in range(3)]
        rate, memory = statistics.median(r for r, _ in results), max(m for _, m in results)
        console.print(
            f"{size:>9,} events: {rate:,.0f} events/s; all processes of the rebuild at most {memory:,.0f} MB"
        )
    console.print("aim: flat from 100 k to 1 M events, memory bounded\n")


def _kept(url: str, tables: str) -> str:
    """The tables that hold anything, with their rows."""
    with psycopg.connect(url) as conn:
        names = conn.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE tablename ~ %s ORDER BY 2", [tables]
        ).fetchall()
        rows = {}
        for schema, name in names:
            counted = conn.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
            ).fetchone()
            rows[re.sub("_v[0-9]+_g[0-9]+$", "", name)] = counted[0] if counted else 0
    return ", ".join(f"{name} {number:,}" for name, number in rows.items() if number)


def _rebuild(app_url: str, events: int) -> tuple[float, float]:
    """Events per second, and the peak resident memory of this process and its children in MB."""
    with _Memory() as memory:
        started = time.perf_counter()
        rebuild(app_url)
        seconds = time.perf_counter() - started
    return events / seconds, memory.peak_mb


class _Memory:
    """Looks at the resident memory of this process and its children, ten times a second."""

    def __enter__(self) -> "_Memory":
        self.peak_mb, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.peak_mb = max(self.peak_mb, sum(map(_resident_mb, _family(os.getpid()))))


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
    return [pid, *(p for child in children for p in _family(int(child)))]


def _resident_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = [line.split() for line in lines if line.startswith(("VmRSS", "Name"))]
    if found and found[0][1] == "postgres":
        return 0.0
    return next((int(parts[1]) / 1024 for parts in found if parts[0] == "VmRSS:"), 0.0)


_Way = Callable[[dict[str, str]], float]
"""From the library's settings to the seconds it took."""


@contextmanager
def _views(server: Server, peer: str, kept: dict[str, str], *, durable: bool) -> Iterator[dict[str, str]]:
    """The library's settings for views in a new database of their own."""
    with scratch_database(server) as views:
        with psycopg.connect(views.owner_url, autocommit=True) as conn:
            conn.execute(
                sql.SQL("ALTER DATABASE {} SET synchronous_commit = {}").format(
                    sql.Identifier(views.database), "on" if durable else "off"
                )
            )
        settings = {
            f"{name.upper()}_{k}": v for name in (*VIEWS, "all") for k, v in environment(views).items()
        }
        # The log has its tables; of two processes that look after them at once, the library lets one fail.
        yield settings | {"STOCKHISTORY_CREATE_TABLE": "no"}
        kept[peer] = _kept(views.owner_url, f"^({'|'.join(VIEWS)}|all)_(?!tracking)")


def _all_in_one(env: dict[str, str]) -> float:
    return _run("all", VIEWS, env)


def _one_each(env: dict[str, str]) -> float:
    """As long as the process takes that is done last."""
    processes = os.cpu_count() or 1
    shares = [(VIEWS[first::processes], env) for first in range(processes)]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("forkserver")) as pool:
        return max(pool.map(_run_share, *zip(*shares, strict=True)))


def _run_share(views: Sequence[str], env: dict[str, str]) -> float:
    return sum(_run(view, [view], env) for view in views)


def _run(name: str, views: Sequence[str], env: dict[str, str]) -> float:
    projection_class, view_class = projection_of(name, views)
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=StockHistory, projection_class=projection_class, view_class=view_class, env=env
    ) as runner:
        runner.wait(_last(runner.app, projection_class.topics), timeout=600)
        return time.perf_counter() - started


def _last(application: StockHistory, topics: Sequence[str]) -> int:
    """The position of the last event with one of the topics."""
    log = application.recorder.select_notifications
    position, last = 0, 0
    while found := log(start=position + 1, limit=1_000, topics=topics):
        position = last = found[-1].id
    return last
