"""The engine's connections: each statement commits by itself or in its `transaction()`, and times come in UTC."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool


def connect(app_url: str) -> Connection[Any]:
    """A connection of the application for projecting."""
    return psycopg.connect(
        app_url,
        autocommit=True,
        application_name="dealtrace projections",
        options="-c TimeZone=UTC",
        connect_timeout=5,
    )


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
