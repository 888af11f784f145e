"""One snapshot of the whole database, read for as long as it takes while writers go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, IsolationLevel

from infra.sessions import Session


@contextmanager
def one_snapshot(url: str, application_name: str) -> Iterator[Connection[Any]]:
    """A connection inside one read-only REPEATABLE READ transaction, without a time limit, whose times are UTC."""
    with Session.open(url, application_name) as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        with conn.transaction():
            conn.execute("SET LOCAL statement_timeout = 0")
            yield conn
