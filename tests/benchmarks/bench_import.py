"""Importing a field history, beside the library importing the same file: the rows parsed, saved 500 at a time.

Three importers with the library. One is as in the tutorial: it loads what it changes. Two do what the library leaves
to whoever uses it, and keep every deal in memory: one keeps besides what ours keeps, and so can be repeated; the other
forgets when, who and which row, can not be continued, and is the quickest there is. None of them checks anything.
"""

import csv
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from infra.connection import LogConnection
from infra.executor import Executor
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from tests.benchmarks.pairs import interleaved, report
from tests.benchmarks.stock import Deal, Deals, stock_application
from tests.benchmarks.stock_import import BATCH, repeatable_import
from workers.importer import load_mapping, run_import

MAPPING = Path(__file__).parents[2] / "examples" / "loan_funnel" / "mapping.toml"
STAGES = ["submitted", "preaccepted", "accepted", "offer_sent", "offer_returned"]
ROWS = (60_000, 240_000)


def run(server: Server, scale: float) -> None:
    """Print the comparisons, for a middling and for a large file."""
    title = "importing history, parsing and deciding included"
    mapping = load_mapping(MAPPING)
    with tempfile.TemporaryDirectory() as folder, stock_application(server) as (stock, _):
        file = Path(folder) / "history.csv"

        def ours() -> float:
            with scratch_database(server) as database:
                migrate(database.owner_url)
                log = LogConnection(database.app_url)
                started = time.perf_counter()
                summary = run_import(Executor(log), log, file, mapping, "history")
                seconds = time.perf_counter() - started
                log.close()
            assert summary.bad == 0, "the benchmark's own file has bad rows"
            return summary.rows / seconds

        def in_memory() -> float:
            return _rate(_InMemory(stock), file)

        def loading() -> float:
            return _rate(_Loading(stock), file)

        def repeatable() -> float:
            return repeatable_import(server, file)

        _write_history(file, rows := int(ROWS[0] * scale))
        pairs = interleaved(ours, loading, rounds=3)
        peer = f"get what changes and save, {BATCH} at a time"
        report(f"{title}: {rows:,} rows, the tutorial's way beside it", "rows/s", peer, pairs, "3x")
        for rows in (int(rows * scale) for rows in ROWS):
            _write_history(file, rows)
            pairs = interleaved(ours, repeatable, rounds=3)
            peer = f"save, {BATCH} at a time, all deals in memory, repeatable, with time, user and row"
            report(f"{title}: {rows:,} rows, beside one that keeps the same", "rows/s", peer, pairs, "3x")
            pairs = interleaved(ours, in_memory)
            peer = f"save, {BATCH} at a time, all deals in memory, not repeatable, without time, user and row"
            report(f"{title}: {rows:,} rows, beside one that keeps less", "rows/s", peer, pairs, "3x")


class _InMemory:
    """The library's deals by name, kept for ever."""

    def __init__(self, stock: Deals) -> None:
        self._stock = stock
        self._deals: dict[str, Deal] = {}
        self._touched: dict[str, Deal] = {}

    def deal(self, name: str) -> Deal:
        """A deal that is going to change."""
        self._touched[name] = self._deals[name]
        return self._deals[name]

    def add(self, name: str, deal: Deal) -> None:
        """A deal that is new."""
        self._deals[name] = self._touched[name] = deal

    def save(self) -> None:
        """Save what was touched since the last time."""
        self._stock.save(*self._touched.values())
        self._touched.clear()


class _Loading(_InMemory):
    """As in the tutorial: only the ids are kept, and a deal is loaded when it is going to change."""

    def __init__(self, stock: Deals) -> None:
        super().__init__(stock)
        self._ids: dict[str, UUID] = {}

    def deal(self, name: str) -> Deal:
        if name not in self._deals:
            self._deals[name] = self._stock.repository.get(self._ids[name])
        return super().deal(name)

    def save(self) -> None:
        self._ids |= {name: deal.id for name, deal in self._touched.items()}
        super().save()
        self._deals.clear()


def _rate(deals: _InMemory, file: Path) -> float:
    """Rows per second of an importer with the library: each row one method call, a save per 500 rows."""
    rows, started = 0, time.perf_counter()
    with file.open(newline="") as stream:
        for rows, row in enumerate(csv.DictReader(stream), 1):
            datetime.fromisoformat(row["changed_at"])
            name, new = row["deal_id"], row["new_value"]
            match row["field"]:
                case "created":
                    deals.add(name, Deal(funnel="loan", stage=new))
                case "Amount":
                    deals.deal(name).revise_amount(str(Decimal(new)))
                case _ if new.startswith("closed_"):
                    deals.deal(name).close(new)
                case _:
                    deals.deal(name).move(new)
            if rows % BATCH == 0:
                deals.save()
    deals.save()
    return rows / (time.perf_counter() - started)


def _write_history(file: Path, rows: int) -> None:
    """Deals of five rows each: created, amount, two moves, an outcome; in order of time over all deals."""
    rng, changes = random.Random(7), []
    for deal in range(rows // 5):
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**7))
        outcome = rng.choice(["closed_won", "closed_lost", "closed_abandoned"])
        life = [
            ("created", "", "submitted"),
            ("Amount", "", str(rng.randrange(1, 60) * 500)),
            ("StageName", "submitted", "preaccepted"),
            ("StageName", "preaccepted", "offer_sent"),
            ("StageName", "offer_sent", outcome),
        ]
        for field, old, new in life:
            changes.append((at, deal, field, old, new))
            if field != "created":
                at += timedelta(seconds=rng.randrange(1, 10**6))
    changes.sort(key=lambda change: change[0])
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["deal_id", "changed_at", "changed_by", "field", "old_value", "new_value"])
        for at, deal, field, old, new in changes:
            writer.writerow([deal, at.isoformat(timespec="milliseconds"), deal % 40, field, old, new])
