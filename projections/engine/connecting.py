"""The engine's connections: each statement commits by itself or in its `transaction()`, and times come in UTC."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool

from infra.sessions import Session


def connect(app_url: str) -> Session:
    """A connection of the application for projecting."""
    return Session.open(app_url, "dealtrace projections")


@contextmanager
def connected(where: str | ConnectionPool) -> Iterator[Connection[Any]]:
    """A connection of its own, or one of a pool, which gets it back as it was."""
    if isinstance(where, str):
        with connect(where) as conn:
            yield conn
        return
    with where.connection() as conn:
        before = conn.autocommit
        conn.autocommit = True
        try:
            conn.execute("SET TIME ZONE 'UTC'")
            yield conn
        finally:
            if not conn.closed:
                conn.autocommit = before
