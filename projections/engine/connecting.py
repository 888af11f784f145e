"""The engine's connections: each statement commits by itself or in its `transaction()`, and times come in UTC."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool

from infra.sessions import Session

SILENCE = 30
"""Seconds for which a projector or a rebuild may say nothing inside a transaction: what it holds, others wait for."""


def connect(app_url: str) -> Session:
    """A connection of the application for projecting, which the server cuts when it falls silent in a transaction."""
    return Session.open(app_url, "dealtrace projections", idle_in_transaction_session_timeout=f"{SILENCE}s")


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
