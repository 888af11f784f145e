"""A few read-only connections for queries, each with a thread of its own, so that no query blocks the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg

from domain.errors import Overloaded
from infra.sessions import Session

T = TypeVar("T")

DatabaseError = psycopg.OperationalError
"""The database is away, or took too long."""

MissingTable = psycopg.errors.UndefinedTable
"""A projection has never run here."""

Switched = psycopg.errors.SerializationFailure
"""Other tables answer than those of the query's snapshot; for the second time in a row, none do."""

READERS = 4
MAX_WAITING = 512
STATEMENT_SECONDS = 20
_PLANS = {
    # A plan for any moment is the wrong one: how many rows lie behind a moment depends on how long ago that is.
    "plan_cache_mode": "force_custom_plan",
    # Compiling would take longer than any of these queries does.
    "jit": "off",
    # So that what is sorted and grouped at a hundred thousand deals stays in memory; a few of these at a time.
    "work_mem": "32MB",
}
PATIENCE = 5.0
"""Seconds for which a query waits for a reader; whoever asked would hardly wait for more."""


def open_reader(url: str) -> Session:
    """A session for queries: read-only transactions of one snapshot each, limited, and planned for what they ask.

    Raises psycopg.OperationalError.
    """
    session = Session.open(url, "dealtrace query", statement_timeout=f"{STATEMENT_SECONDS}s", **_PLANS)
    session.read_only = True
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return session


class Readers:
    """Runs queries, each in a read-only transaction that sees one snapshot of the database."""

    def __init__(
        self, url: str, *, readers: int = READERS, max_waiting: int = MAX_WAITING, patience: float = PATIENCE
    ) -> None:
        self._url = url
        self._max_waiting = max_waiting
        self._patience = patience
        self._waiting = 0
        self._watchers: list[Readers] = []
        self._own = threading.local()
        self._open: set[psycopg.Connection[Any]] = set()
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="reader")

    @property
    def url(self) -> str:
        """Where the database is, for who wants to listen there."""
        return self._url

    @property
    def waiting(self) -> int:
        """How many queries run or wait."""
        return self._waiting

    def watcher(self) -> "Readers":
        """One more reader for looking on, which no query delays; closed with this one."""
        watcher = Readers(self._url, readers=1, max_waiting=8)
        self._watchers.append(watcher)
        return watcher

    async def run(self, query: Callable[[psycopg.Connection[Any]], T]) -> T:
        """The query's result. Raises Overloaded when too many wait or it waits too long, DatabaseError when the database does not answer."""
        if self._waiting >= self._max_waiting:
            raise Overloaded("Too many queries wait already.", accepted="the same query in a second")
        self._waiting += 1
        since = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query, since)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what runs, refuse the rest, and let go of the connections."""
        for watcher in self._watchers:
            watcher.close()
        self._threads.shutdown(cancel_futures=True)
        for conn in self._open:
            conn.close()

    def _run(self, query: Callable[[psycopg.Connection[Any]], T], since: float) -> T:
        if time.monotonic() - since > self._patience:
            raise Overloaded("Queries wait too long.", accepted="the same query in a second")
        conn, fresh = self._connection()
        try:
            with conn.transaction():
                return query(conn)
        except Switched:
            pass  # a new generation took over while the query ran: it is there in the next snapshot
        except psycopg.OperationalError:
            if fresh or not conn.broken:
                raise
        # The server was restarted since the last query, or tables were switched; reading twice is harmless.
        conn, _ = self._connection()
        with conn.transaction():
            return query(conn)

    def _connection(self) -> tuple[Session, bool]:
        conn: Session | None = getattr(self._own, "conn", None)
        if conn is not None and not conn.closed:
            return conn, False
        if conn is not None:
            self._open.discard(conn)
        conn = open_reader(self._url)
        self._own.conn = conn
        self._open.add(conn)
        return conn, True
