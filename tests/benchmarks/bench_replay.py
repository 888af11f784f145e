"""Folding the log again in one process, beside the library reading and decoding its own; and in several."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from rich.table import Table

from domain.forecast_sight import Sight
from domain.playbook import StageRate
from domain.win_rate import Variant
from infra.log_reader import plan_ranges
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from projections.engine.catalogue import chosen
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.replaying import RANGE_EVENTS, Cut, replay_range
from projections.engine.running import run_to_head
from projections.engine.uncollected import uncollected
from projections.forecast_rows import horizon, then
from projections.what_if import Tried, TriedRates, what_if
from tests.benchmarks import history
from tests.benchmarks.pairs import console, interleaved, peak_megabytes, percentiles, report
from tests.benchmarks.stock import Deals, stock_application
from workers.replay.running import Asked, run_replay

EVENTS = 200_000
ONE = "visits"
WEEK = datetime(2023, 6, 4, 23, 59, 59, 999_999, tzinfo=UTC)
"""The end of a week in the middle of the history."""


def run(server: Server, scale: float) -> None:
    """Print events/s of one process for one projection and for all, then of whole replays by several processes."""
    events = int(EVENTS * scale)
    with scratch_database(server) as ours, stock_application(server) as (stock, _):
        migrate(ours.owner_url)
        history.fill(ours.owner_url, events)
        read = _stock(stock, int(1_000 * max(scale, 0.2)))
        for names, aim in (([ONE], "150,000 events/s"), ([], "60,000 events/s")):
            wanted = chosen(names)
            title = f"replaying {names[0] if names else f'all {len(wanted)} projections'}, decode and fold"
            pairs = interleaved(lambda w=wanted: _fold(ours.app_url, events, w), read, rounds=3)  # type: ignore[misc]
            report(title, "events/s", "the library, reading and decoding alone", pairs, aim)
        _print_processes(ours.app_url, events)
        _print_memory(ours.app_url, events)
        _print_what_if(ours.app_url)


def _fold(app_url: str, events: int, wanted: Sequence[Projection]) -> float:
    """Events per second of one process: read, decoded, folded into rows."""
    with connect(app_url) as conn:
        ranges = plan_ranges(conn, events, RANGE_EVENTS)
        started = time.perf_counter()
        for first, last, _ in ranges:
            with uncollected():
                replay_range(conn, first, last, Cut(events), wanted)
        return events / (time.perf_counter() - started)


def _stock(stock: Deals, deals: int) -> Callable[[], float]:
    """What reads the library's own log, as much of it as there is."""
    ids: list[UUID] = [stock.open_deal() for _ in range(10)]
    for deal in ids:
        for number in range(deals // 10):
            stock.revise_amount(deal, str(number))

    def read() -> float:
        started, found, first = time.perf_counter(), 0, 1
        while batch := stock.recorder.select_notifications(first, 1_000):
            for notification in batch:
                stock.mapper.to_domain_event(notification)
            found, first = found + len(batch), int(batch[-1].id) + 1
        return found / (time.perf_counter() - started)

    return read


def _print_processes(app_url: str, events: int) -> None:
    """Whole replays, digests and files included, by more and more processes."""
    table = Table(title="whole replays of all projections", title_justify="left")
    for column in ("processes", "files", "events/s", "events per CPU-second"):
        table.add_column(column, justify="right")
    digests = set()
    for processes in sorted({1, 2, os.cpu_count() or 1}):
        for files in (False, True):
            rates = []
            for _ in range(3):
                with TemporaryDirectory() as folder:
                    cpu, started = _cpu_seconds(), time.perf_counter()
                    found = run_replay(
                        app_url,
                        Asked(events, processes=processes, out=Path(folder) if files else None),
                    )
                    rates.append((events / (time.perf_counter() - started), events / (_cpu_seconds() - cpu)))
                digests.add(tuple(p.digest for p in found.projections))
            per_second, per_cpu = (statistics.median(column) for column in zip(*rates, strict=True))
            table.add_row(
                str(processes), "written" if files else "none", f"{per_second:,.0f}", f"{per_cpu:,.0f}"
            )
    console.print(table)
    console.print("the same digests in every run\n" if len(digests) == 1 else "DIGESTS DIFFER\n")


def _print_memory(app_url: str, events: int) -> None:
    """What a process of a replay holds at most, at a quarter of the log and at all of it."""
    found = []
    for upto in (events // 4, events):
        measured = f"from {__name__} import measure; measure({app_url!r}, {upto})"
        done = subprocess.run([sys.executable, "-c", measured], stdout=subprocess.PIPE, check=True)
        found.append(f"{float(done.stdout):,.0f} MB for {upto:,} events")
    console.print(f"one process folding all projections holds at most {' and '.join(found)}\n")


def measure(app_url: str, events: int) -> None:
    """Print the peak resident memory of a replay in this process, in MB."""
    run_replay(app_url, Asked(events, processes=1))
    print(peak_megabytes())


def _print_what_if(app_url: str) -> None:
    """A past week of the funnel under other rates, days and win rates, on tables that are folded already."""
    run_to_head(app_url)
    with connect(app_url) as conn:
        at = then(conn, "tas_plus", WEEK, WEEK)
        tried = Tried(
            TriedRates(tuple(StageRate(stage, None, Decimal("0.4")) for stage in at.stall_after_days)),
            dict.fromkeys(at.stall_after_days, 10),
            variant=Variant(factor=Decimal("0.5")),
        )
        seconds, deals = [], 0
        for _ in range(5):
            started = time.perf_counter()
            deals = what_if(conn, at, "", horizon(at), Sight(any=True, owners=None), tried).total.deals
            seconds.append(time.perf_counter() - started)
    console.print(
        f"what-if of a past week, {deals:,} open deals: {percentiles(seconds)}\naim: under a second\n"
    )


def _cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
