"""One connection to the log that comes back after a cut, and the database's clock."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg

from infra.sessions import Session

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = 30.0
"""Seconds for which work waits for the database to come back."""
SILENCE = 10
"""Seconds for which a writer may say nothing inside a transaction."""
LONGEST = 20
"""Seconds that a writer's transaction, or a statement of it, may take: a writer that hangs must let go of the head."""


def connect(url: str, application_name: str) -> Session:
    """A session that the server cuts when it falls silent in the middle of a transaction, or does not come to an
    end: a writer that hangs or vanishes must not keep the head of the log locked for long.
    """
    return Session.open(
        url,
        application_name,
        idle_in_transaction_session_timeout=f"{SILENCE}s",
        statement_timeout=f"{LONGEST}s",
        # Between two messages of a pipeline a writer does not count as silent; this limits that too.
        transaction_timeout=f"{LONGEST}s",
    )


CLOCK_SECONDS = 60.0
"""Seconds for which a reading of the database's clock is carried on."""


class LogConnection:
    """Runs work on one connection; work that lost its connection runs again on a new one.

    Such work must say itself what an unknown outcome of the run before means.
    """

    Raw = psycopg.Connection[Any]

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        self._url = url
        self._patience = patience
        self._conn: LogConnection.Raw | None = None
        self._others: list[LogConnection] = []
        self._clock = (datetime.min.replace(tzinfo=UTC), -CLOCK_SECONDS)

    def __reduce__(self) -> tuple[type["LogConnection"], tuple[str], dict[str, float]]:
        """What another process gets: a connection of its own to the same log."""
        return type(self), (self._url,), {"_patience": self._patience}

    def run(self, work: Callable[[Raw], T]) -> T:
        """The result of the work. Raises psycopg.OperationalError when the database stays away too long."""
        give_up_at = time.monotonic() + self._patience
        pause = 0.02
        while True:
            try:
                return work(self._connected())
            except psycopg.Error as error:
                lost = self._conn is None or self._conn.closed  # whatever the error is called
                if not lost and not isinstance(error, psycopg.OperationalError):
                    raise
                self._drop()
                if time.monotonic() + pause > give_up_at:
                    raise
                log.warning("the connection to the log was lost, trying again: %s", str(error).strip())
                time.sleep(pause)
                pause = min(pause * 2, 1.0)

    def another(self) -> "LogConnection":
        """A second connection to the same log, opened when it is first used and closed with this one."""
        other = type(self)(self._url, patience=self._patience)
        self._others.append(other)
        return other

    def now(self) -> datetime:
        """The database's clock: as last read, and the time that has passed since; this machine's does not count."""
        read, at = self._clock
        return read + timedelta(seconds=time.monotonic() - at)

    def close(self) -> None:
        """Let go of the connection, and of those made from it; the next work opens them again."""
        for other in self._others:
            other.close()
        self._drop()

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _connected(self) -> Raw:
        if self._conn is None or self._conn.closed:
            self._conn = connect(self._url, "dealtrace log")
            self._read_clock(self._conn)
        elif time.monotonic() - self._clock[1] > CLOCK_SECONDS:
            self._read_clock(self._conn)
        return self._conn

    def _read_clock(self, conn: Raw) -> None:
        theirs = conn.execute("SELECT clock_timestamp()").fetchall()[0][0]
        self._clock = theirs.astimezone(UTC), time.monotonic()
