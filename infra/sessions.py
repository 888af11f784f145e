"""Sessions with the database, direct or through a pooler that lends a server session for one transaction at a time.

A pooler gives itself away: the process id that it told us is not that of the server process that answers. There
nothing may outlive a transaction, since the next one to get the server session is somebody else: no prepared
statements, no LISTEN, no session locks, and limits are set again in each transaction. The time zone alone is
safe, because poolers follow it for each client.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg import Connection, Transaction, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_OURS = "connect_timeout=5 keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=25000"
"""How long to wait for a server that says nothing; what the connection string says goes before it."""
_WHO = "SELECT pg_backend_pid(), set_config('TimeZone', 'UTC', false)"
_SINCE = {"transaction_timeout": 170000}
"""The first server version that knows a limit."""


class Session(Connection[Any]):
    """A connection in autocommit mode, whose times come in UTC and whose transactions have limits."""

    pooled = False
    """Whether a pooler stands between us and the server."""
    _each_time: sql.Composed | None = None

    @classmethod
    def open(cls, url: str, application_name: str, **limits: str) -> Self:
        """Connect. The limits are settings such as `statement_timeout="20s"`.

        Raises psycopg.OperationalError.
        """
        conninfo = make_conninfo(_OURS, **conninfo_to_dict(url))
        session = cls.connect(conninfo, autocommit=True, application_name=application_name)
        try:
            session.limit(limits)
        except psycopg.Error:
            session.close()
            raise
        return session

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[Transaction]:
        """A transaction as psycopg knows it, with the limits of the connection."""
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if self._each_time is not None:
                self.execute(self._each_time)
            yield transaction

    def limit(self, limits: dict[str, str]) -> None:
        """Apply the limits, in the way that whoever answers allows."""
        pid = self.execute(_WHO).fetchall()[0][0]
        self.pooled = pid != self.info.backend_pid
        version = self.info.server_version
        known = {name: value for name, value in limits.items() if version >= _SINCE.get(name, 0)}
        if self.pooled:
            self.prepare_threshold = None
            self._each_time = _settings(known, local=True) if known else None
        elif known:
            self.execute(_settings(known, local=False))


def _settings(limits: dict[str, str], *, local: bool) -> sql.Composed:
    one = sql.SQL("set_config({}, {}, {})")
    return sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(one.format(name, value, local) for name, value in limits.items())
    )


@contextmanager
def alone(url: str, key: int) -> Iterator[bool]:
    """Hold an advisory lock for the length of the block; whether we got it.

    It is the lock of an open transaction on a session of its own, so it is safe behind a pooler too.
    """
    with (
        Session.open(url, "dealtrace lock", idle_in_transaction_session_timeout="0") as session,
        session.transaction(),
    ):
        # The key is written into the statement: one with parameters keeps its snapshot as long as the transaction
        # lasts, and VACUUM would find nothing that all can see.
        lock = sql.SQL("SELECT pg_try_advisory_xact_lock({})").format(key)
        yield bool(session.execute(lock).fetchall()[0][0])
