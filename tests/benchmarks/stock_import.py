"""The peer of an import that keeps what ours keeps: when, who and which row; it may be repeated and continued.

As somebody would write it who knows the library well: ids from names, every deal kept in memory once it was touched,
500 rows saved at a time, and one look through the log at the start for the rows that are there already.
"""

import csv
import time
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from infra.postgres import Server, scratch_database
from tests.benchmarks.stock import environment

BATCH = 500


class ImportedDeal(Aggregate):
    """A deal whose events say when, by whom, and from which row."""

    @staticmethod
    def create_id(name: str) -> UUID:
        """The id that the deal has in every import."""
        return uuid5(NAMESPACE_URL, name)

    @event("Opened")
    def __init__(self, name: str, funnel: str, stage: str, at: datetime, by: str, row: str) -> None:
        self.name, self.funnel, self.stage = name, funnel, stage
        self.amount, self.status = "0", "open"

    @event("AmountRevised")
    def revise_amount(self, amount: str, at: datetime, by: str, row: str) -> None:
        """Set the amount."""
        self.amount = amount

    @event("StageMoved")
    def move(self, stage: str, at: datetime, by: str, row: str) -> None:
        """Set the stage."""
        self.stage = stage

    @event("Closed")
    def close(self, status: str, at: datetime, by: str, row: str) -> None:
        """Set the outcome."""
        self.status = status


class ImportedDeals(Application[UUID]):
    """The application of these deals."""


def repeatable_import(server: Server, file: Path) -> float:
    """Rows per second of an import into an empty database; tables are made before the clock runs."""
    with scratch_database(server) as database, ImportedDeals(environment(database)) as application:
        started = time.perf_counter()
        rows = _import(application, file)
        return rows / (time.perf_counter() - started)


def _import(application: ImportedDeals, file: Path) -> int:
    taken, there = _in_the_log(application)
    deals: dict[str, ImportedDeal] = {}
    touched: dict[str, ImportedDeal] = {}
    rows = 0
    with file.open(newline="") as stream:
        lines = csv.reader(stream)
        next(lines)
        for rows, line in enumerate(lines, 1):
            key = blake2b("\0".join(line).encode(), digest_size=16).hexdigest()
            if key in taken:
                continue
            name, changed_at, by, field, _, new = line
            at = datetime.fromisoformat(changed_at)
            if name not in deals and (deal_id := ImportedDeal.create_id(name)) in there:
                deals[name] = application.repository.get(deal_id)
            match field:
                case "created":
                    deals[name] = ImportedDeal(name, "loan", new, at, by, key)
                case "Amount":
                    deals[name].revise_amount(str(Decimal(new)), at, by, key)
                case _ if new.startswith("closed_"):
                    deals[name].close(new, at, by, key)
                case _:
                    deals[name].move(new, at, by, key)
            touched[name] = deals[name]
            if rows % BATCH == 0:
                application.save(*touched.values())
                touched.clear()
    application.save(*touched.values())
    return rows


def _in_the_log(application: ImportedDeals) -> tuple[set[str], set[UUID]]:
    """The rows and the deals that are in the log already."""
    taken, there, start = set[str](), set[UUID](), 1
    while notifications := application.recorder.select_notifications(start, limit=1000):
        for notification in notifications:
            told = application.mapper.to_domain_event(notification)
            taken.add(told.row)  # type: ignore[attr-defined]
            there.add(notification.originator_id)
        start = notifications[-1].id + 1
    return taken, there
