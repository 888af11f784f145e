"""Measuring two ways of doing the same work, in turn, and the ratio pair by pair."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

console = Console()


class Pairs(NamedTuple):
    """Rates (units per second) of ours and the peer, measured alternately."""

    ours: list[float]
    peer: list[float]

    @property
    def ratio(self) -> float:
        """The median of the ratios pair by pair."""
        return statistics.median(a / b for a, b in zip(self.ours, self.peer, strict=True))


def interleaved(ours: Callable[[], float], peer: Callable[[], float], rounds: int = 5) -> Pairs:
    """Each function measures itself once and returns its rate; one uncounted pair goes first."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return Pairs([a for a, _ in pairs], [b for _, b in pairs])


def report(title: str, unit: str, peer_is: str, pairs: Pairs, aim: str) -> None:
    """Print one row: ours, the peer, and the median ratio, with the spread of both."""
    table = Table(title=title, title_justify="left")
    for column in ("", f"median {unit}", "min", "max"):
        table.add_column(column, justify="left" if not column else "right")
    for name, rates in (("dealtrace", pairs.ours), (peer_is, pairs.peer)):
        table.add_row(name, *(f"{v:,.0f}" for v in (statistics.median(rates), min(rates), max(rates))))
    table.add_row("ratio", f"{pairs.ratio:,.2f}x", "", "", style="bold")
    console.print(table)
    console.print(f"aim: {aim}\n")


def peak_megabytes() -> float:
    """The most memory that this process has held since it was started.

    What getrusage says begins with what its parent held.
    """
    status = Path("/proc/self/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s*([0-9]+) kB", status)
    return int(peak) / 1024


def percentiles(seconds: list[float]) -> str:
    """p50 and p99 (nearest rank) in milliseconds."""
    ordered = sorted(seconds)
    p50, p99 = (ordered[max(0, -(-len(ordered) * p // 100) - 1)] * 1000 for p in (50, 99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms over {len(ordered)}"


def times(work: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each round; one uncounted round goes first."""
    work()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return seconds
