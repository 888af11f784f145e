"""A few read-only connections for queries, each with a thread of its own, so that no query blocks the event loop."""

import asyncio
import threading
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

READERS = 4
MAX_WAITING = 512
STATEMENT_SECONDS = 20


class Readers:
    """Runs queries, each in a read-only transaction that sees one snapshot of the database."""

    def __init__(self, url: str, *, readers: int = READERS, max_waiting: int = MAX_WAITING) -> None:
        self._url = url
        self._max_waiting = max_waiting
        self._waiting = 0
        self._own = threading.local()
        self._open: set[psycopg.Connection[Any]] = set()
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="reader")

    async def run(self, query: Callable[[psycopg.Connection[Any]], T]) -> T:
        """The query's result. Raises Overloaded when too many wait, DatabaseError when the database does not answer."""
        if self._waiting >= self._max_waiting:
            raise Overloaded("Too many queries wait already.", accepted="the same query in a second")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what runs, refuse the rest, and let go of the connections."""
        self._threads.shutdown(cancel_futures=True)
        for conn in self._open:
            conn.close()

    def _run(self, query: Callable[[psycopg.Connection[Any]], T]) -> T:
        conn, fresh = self._connection()
        try:
            with conn.transaction():
                return query(conn)
        except psycopg.OperationalError:
            if fresh or not conn.broken:
                raise
        conn, _ = (
            self._connection()
        )  # the server was restarted since the last query; reading twice is harmless
        with conn.transaction():
            return query(conn)

    def _connection(self) -> tuple[Session, bool]:
        conn: Session | None = getattr(self._own, "conn", None)
        if conn is not None and not conn.closed:
            return conn, False
        if conn is not None:
            self._open.discard(conn)
        conn = Session.open(self._url, "dealtrace query", statement_timeout=f"{STATEMENT_SECONDS}s")
        conn.read_only = True
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._own.conn = conn
        self._open.add(conn)
        return conn, True
