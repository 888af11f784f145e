"""A small log with one of everything that a backup must not lose, and databases to restore it into."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain.deal import AdvanceStage, LogActivity, OpenDeal
from domain.playbook import SetCurrency
from domain.templates import TAS_PLUS
from infra import recalibration_jobs as jobs
from infra.connection import LogConnection
from infra.event_store import LedgerRow
from infra.executor import Executor
from infra.ids import new_id
from infra.postgres import Server, scratch_database
from infra.recalibration_records import add_record
from infra.requests import Request, Result
from projections.engine.catalogue import catalogue
from projections.engine.digests import digest
from tests.store.log import ADMIN, ask, done

SECRET = "Ms Example of the dairy"
DEALS = [UUID(int=0x0195A000000070008000000000000001 + n) for n in range(6)]
DATA = (
    "events", "command_results", "import_ledger", "vault",
    "recalibration_records", "recalibration_jobs", "switches",
)  # fmt: skip
"""The tables that an empty database has without a row."""
EMPTY: dict[str, list[Any]] = {table: [] for table in DATA}
"""The contents of an empty database."""


def the_command(deal: UUID) -> Request:
    """A command whose result is remembered."""
    return ask(
        OpenDeal(deal_id=deal, funnel="tas_plus", name=SECRET, owner="anna"),
        command_id=f"open {deal}",
        digest=b"the request",
    )


def the_row() -> Request:
    """A row of another system's export."""
    return Request(
        commands=(LogActivity(deal_id=DEALS[0], kind="visit", occurred_at="2026-03-02T09:30:00Z"),),
        actor=ADMIN,
        command_id=str(new_id()),
        origin="import",
        row=LedgerRow(UUID(int=7).bytes, "a crm"),
    )


def stand_beside(server: Server) -> None:
    """What a recalibration and a switch that was taken back leave beside the log, and a job that waits."""
    until, deals = datetime(2026, 3, 1, tzinfo=UTC), catalogue()["deals"]
    with psycopg.connect(server.app_url, autocommit=True) as conn:
        done = jobs.ask(conn, jobs.Wanted("tas_plus", until, None, 1, 10, "alice", "admin")).job
        jobs.take(conn)
        add_record(conn, done.id, "ab" * 32, "tas_plus", until, b"{}")
        assert jobs.finish(conn, done.id, attempt=1)
        jobs.ask(
            conn,
            jobs.Wanted("tas_plus", until, None, 2, 10, "alice", "admin"),
            jobs.Key("again", b"the request"),
        )
        for what, before, after in (("switch", 0, 1), ("rollback", 1, 0)):
            conn.execute(
                "INSERT INTO dealtrace.switches (what, projection, from_version, to_version, position)"
                " VALUES (%s, 'deals', %s, %s, 3)",
                [what, deals.version + before, deals.version + after],
            )


def told(server: Server, *requests: Request) -> list[Result]:
    """What became of some requests."""
    with closing(LogConnection(server.app_url)) as connection:
        return [done(answer) for answer in Executor(connection).execute(list(requests))]


def rows(server: Server, query: str, *parameters: Any) -> list[Any]:
    """What the owner sees, or does."""
    with psycopg.connect(server.owner_url, autocommit=True, options="-c TimeZone=UTC") as conn:
        cursor = conn.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []


def contents(server: Server) -> dict[str, list[Any]]:
    """Every row that can not be made again."""
    return {table: rows(server, f"SELECT * FROM dealtrace.{table} ORDER BY 1, 2") for table in DATA}


def digests(server: Server) -> dict[str, str]:
    """What every projection holds."""
    with psycopg.connect(server.app_url, autocommit=True) as conn:
        return {name: digest(conn, projection) for name, projection in catalogue().items()}


def tell_more(server: Server) -> None:
    """More of the story."""
    told(server, *(ask(AdvanceStage(deal_id=deal, to_stage="initiation")) for deal in DEALS[:3]))


@contextmanager
def as_owner(server: Server) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the owner, who may do what the application may not."""
    with psycopg.connect(server.owner_url, autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="session")
def told_once(server: Server, template_database: str) -> Iterator[Server]:
    """A database with a log that no test changes."""
    with scratch_database(server, template=template_database) as database:
        told(database, ask(TAS_PLUS), ask(SetCurrency(currency="EUR")))
        told(database, *(the_command(deal) for deal in DEALS))
        told(database, the_row())
        stand_beside(database)
        yield database


@pytest.fixture
def told_log(server: Server, told_once: Server) -> Iterator[Server]:
    """A database with the same log, to be written to or broken."""
    with scratch_database(server, template=told_once.database) as database:
        yield database


@pytest.fixture(scope="session")
def untouched(server: Server, template_database: str) -> Iterator[Server]:
    """A database with tables and nothing in them, as every test leaves it."""
    with scratch_database(server, template=template_database) as database:
        yield database


@pytest.fixture
def bare(server: Server, template_database: str) -> Iterator[Server]:
    """A database without any table, on a server that has our roles."""
    with scratch_database(server) as database:
        yield database


@pytest.fixture
def migrated(server: Server, template_database: str) -> Iterator[Server]:
    """Another database with tables and nothing in them."""
    with scratch_database(server, template=template_database) as database:
        yield database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where to write a backup."""
    return tmp_path / "friday.dealtrace"
