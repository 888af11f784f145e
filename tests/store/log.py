"""The log of one test: executors of its own, and eyes that look past them at the tables."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg

from domain.command import Command
from domain.deal import OpenDeal
from domain.event import Actor, Recorded
from domain.playbook import SetCurrency
from domain.templates import TAS_PLUS
from infra.connection import LogConnection
from infra.executor import Executor
from infra.ids import new_id
from infra.mapper import decode
from infra.postgres import Server
from infra.requests import Request, Result

T = TypeVar("T")

ADMIN = Actor("alice", "admin", "test")
REP = Actor("bob", "rep", "test")


def ask(*commands: Command, command_id: str | None = None, actor: Actor = ADMIN, **more: Any) -> Request:
    """A request with these commands, under a fresh command id unless one is given."""
    return Request(commands=commands, actor=actor, command_id=command_id or str(new_id()), **more)


def done(answer: Any) -> Result:
    """The result, which must not be a refusal."""
    assert isinstance(answer, Result), answer
    return answer


class Log:
    """A migrated, empty database and who works on it."""

    def __init__(self, database: Server) -> None:
        self.database = database
        self.app_url = database.app_url
        self.owner_url = database.owner_url
        self._open: list[LogConnection] = []

    def executor(self, url: str | None = None, *, patience: float = 30.0) -> Executor:
        """One more process, as it were: an executor with its own connection and its own idea of the streams."""
        self._open.append(LogConnection(url or self.app_url, patience=patience))
        return Executor(self._open[-1])

    def start(self) -> Executor:
        """An executor on a log that has TAS+ and euros already."""
        executor = self.executor()
        for answer in executor.execute([ask(TAS_PLUS), ask(SetCurrency(currency="EUR"))]):
            done(answer)
        return executor

    def open_deal(self, executor: Executor, **fields: Any) -> UUID:
        """A new deal."""
        return done(executor.execute([ask(OpenDeal(funnel="tas_plus", **fields))])[0]).items[0].stream_id

    def events(self, after: int = 0) -> list[Recorded]:
        """What stands in the log, in order."""
        return [decode(*row) for row in self.rows(after)]

    def rows(self, after: int = 0) -> list[tuple[int, UUID, int, str, datetime, bytes]]:
        """The rows of the log, in order of position."""
        return self.query(
            "SELECT notification_id, originator_id, originator_version, topic, recorded_at, state"
            " FROM dealtrace.events WHERE notification_id > %s ORDER BY notification_id",
            after,
        )

    def topics(self, after: int = 0) -> list[str]:
        """The topics in the log, in order."""
        return [event.topic for event in self.events(after)]

    def query(self, sql: str, *parameters: Any) -> list[Any]:
        """What the owner of the database sees."""
        with psycopg.connect(self.owner_url, autocommit=True, options="-c TimeZone=UTC") as conn:
            cursor = conn.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str) -> int:
        """How many rows the table has."""
        return int(self.query(f"SELECT count(*) FROM dealtrace.{table}")[0][0])

    @contextmanager
    def held(self) -> Iterator[psycopg.Connection[Any]]:
        """Nobody can append while the block runs; the connection that holds the head may."""
        with psycopg.connect(self.owner_url, autocommit=True) as conn, conn.transaction():
            conn.execute("SELECT FROM dealtrace.log_head FOR UPDATE")
            yield conn

    def wait_for_appenders(self, number: int) -> None:
        """Return when so many connections wait for the head."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'dealtrace log' AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: self.query(waiting)[0][0] == number)

    def assert_whole(self) -> None:
        """Positions are dense up to the head, streams have no gap, and the clock never ran backwards."""
        events = self.events()
        assert [e.position for e in events] == list(range(1, len(events) + 1))
        assert self.query("SELECT position FROM dealtrace.log_head") == [(len(events),)]
        assert all(a.recorded_at <= b.recorded_at for a, b in itertools.pairwise(events))
        versions: dict[UUID, int] = {}
        for event in events:
            assert event.version == versions.get(event.stream_id, 0) + 1
            versions[event.stream_id] = event.version
        assert len({e.meta.event_id for e in events}) == len(events)

    def empty(self) -> None:
        """Begin anew, as no application could."""
        for table in ("events", "command_results", "import_ledger", "vault"):
            self.query(f"DELETE FROM dealtrace.{table}")
        self.query("UPDATE dealtrace.log_head SET position = 0, recorded_at = clock_timestamp()")

    def business(self) -> dict[UUID, list[tuple[str, Any]]]:
        """What happened, stream by stream, without what differs from one run to the next."""
        streams: dict[UUID, list[tuple[str, Any]]] = {}
        for e in self.events():
            data = e.event
            for field in ("name", "note", "activity_id"):  # fresh ids and salts
                if hasattr(data, field):
                    data = msgspec.structs.replace(data, **{field: None})
            streams.setdefault(e.stream_id, []).append((e.topic, data))
        return streams

    def close(self) -> None:
        """Let go of all connections."""
        for connection in self._open:
            connection.close()


def wait_until(true: Callable[[], bool], seconds: float = 90.0) -> None:
    """Return as soon as it is so. Raises AssertionError when it does not come true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


class Running:
    """Something that runs in a thread of its own, whose result or exception can be asked for."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._answer: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._answer = work()
        except BaseException as error:  # noqa: BLE001 -- raised again where the result is asked for
            self._error = error

    def result(self, seconds: float = 60.0) -> Any:
        """What came out of it."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it did not finish"
        if self._error is not None:
            raise self._error
        return self._answer
