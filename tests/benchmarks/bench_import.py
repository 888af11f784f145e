"""Importing a field history, beside the library importing the same file: the rows parsed, saved 500 at a time."""

import csv
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from infra.connection import LogConnection
from infra.executor import Executor
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from tests.benchmarks.pairs import interleaved, report
from tests.benchmarks.stock import Deal, Deals, stock_application
from workers.importer import load_mapping, run_import

MAPPING = Path(__file__).parents[2] / "examples" / "loan_funnel" / "mapping.toml"
STAGES = ["submitted", "preaccepted", "accepted", "offer_sent", "offer_returned"]
BATCH = 500


def run(server: Server, scale: float) -> None:
    """Print the comparison."""
    count = int(60_000 * scale)
    mapping = load_mapping(MAPPING)
    with tempfile.TemporaryDirectory() as folder, stock_application(server) as (stock, _):
        file = Path(folder) / "history.csv"
        _write_history(file, count)

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

        def peer() -> float:
            started = time.perf_counter()
            return _import_with_the_library(stock, file) / (time.perf_counter() - started)

        pairs = interleaved(ours, peer)
    report(
        "importing history, parsing and deciding included", "rows/s", f"save, {BATCH} at a time", pairs, "3x"
    )


def _import_with_the_library(stock: Deals, file: Path) -> int:
    """What a tutorial's importer does: deals kept in memory, each row one method call, a save per 500 rows."""
    deals: dict[str, Deal] = {}
    touched: dict[str, Deal] = {}
    rows = 0
    with file.open(newline="") as stream:
        for rows, row in enumerate(csv.DictReader(stream), 1):
            datetime.fromisoformat(row["changed_at"])
            name, new = row["deal_id"], row["new_value"]
            match row["field"]:
                case "created":
                    deals[name] = Deal(funnel="loan", stage=new)
                case "Amount":
                    deals[name].revise_amount(str(Decimal(new)))
                case _ if new.startswith("closed_"):
                    deals[name].close(new)
                case _:
                    deals[name].move(new)
            touched[name] = deals[name]
            if rows % BATCH == 0:
                stock.save(*touched.values())
                touched.clear()
    stock.save(*touched.values())
    return rows


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
