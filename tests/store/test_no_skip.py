"""A reader that only ever asks for positions after its last one misses nothing, whatever the writers suffer."""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from domain.deal import LogActivity, OpenDeal
from tests.store.log import Log, Running, ask, done, wait_until
from tests.store.writer import SHARED, rollbacks, work

ROOT = Path(__file__).parents[2]

WAITS_BEFORE_COMMIT = """
CREATE FUNCTION {schema}.waits_before_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER waits_before_commit AFTER INSERT ON {table}
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({slow}) EXECUTE FUNCTION {schema}.waits_before_commit();
"""


class Tail:
    """A reader on its own connection that remembers only where it stands."""

    def __init__(self, url: str, table: str, position: str) -> None:
        self._conn = psycopg.connect(url, autocommit=True, application_name="tail")
        self._query = sql.SQL("SELECT {p} FROM {t} WHERE {p} > %s ORDER BY {p} LIMIT 100").format(
            p=sql.Identifier(position),
            t=sql.SQL(table),  # type: ignore[arg-type]
        )
        self.seen: list[int] = []

    def read(self) -> list[int]:
        """What is new."""
        last = self.seen[-1] if self.seen else 0
        new = [position for (position,) in self._conn.execute(self._query, [last])]
        self.seen += new
        return new

    def close(self) -> None:
        self._conn.close()


@contextmanager
def slow_before_commit(log: Log, schema: str, table: str, slow: str) -> Iterator[None]:
    """Transactions that insert a row of this kind wait just before their commit, until the block ends."""
    create = WAITS_BEFORE_COMMIT.format(schema=schema, table=table, slow=slow)
    with psycopg.connect(log.owner_url, autocommit=True) as conn:
        conn.execute(create.encode())
        conn.execute("SELECT pg_advisory_lock(4711)")
        try:
            yield
        finally:
            conn.execute("SELECT pg_advisory_unlock_all()")


def waiting_before_commit(log: Log) -> bool:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
    return log.query(waiting) == [(1,)]


def test_a_slow_commit_does_not_let_a_later_position_become_visible_first(log: Log) -> None:
    executor = log.start()
    tail = Tail(log.app_url, "dealtrace.events", "notification_id")
    assert tail.read() == [1, 2]
    try:
        with slow_before_commit(log, "dealtrace", "dealtrace.events", "NEW.topic = 'deal.opened'"):
            slow = Running(lambda: executor.execute([ask(OpenDeal(deal_id=SHARED[0], funnel="tas_plus"))]))
            wait_until(lambda: waiting_before_commit(log))
            fast = Running(lambda: log.executor().execute([ask(OpenDeal(funnel="tas_plus"))]))
            log.wait_for_appenders(2)
            assert tail.read() == []  # neither: the second waits for the first
        assert done(slow.result()[0]).position == 3
        assert done(fast.result()[0]).position == 4
        tail.read()
        assert tail.seen == [1, 2, 3, 4]
    finally:
        log.query("DROP FUNCTION dealtrace.waits_before_commit CASCADE")
        tail.close()


def test_the_same_with_a_sequence_would_be_missed_so_the_test_can_see_it(log: Log) -> None:
    log.query("CREATE SCHEMA naive")
    log.query("CREATE TABLE naive.events (id bigserial PRIMARY KEY, slow boolean)")
    tail = Tail(log.owner_url, "naive.events", "id")
    try:
        with slow_before_commit(log, "naive", "naive.events", "NEW.slow"):
            slow = Running(lambda: log.query("INSERT INTO naive.events (slow) VALUES (true)"))
            wait_until(lambda: waiting_before_commit(log))
            log.query("INSERT INTO naive.events (slow) VALUES (false)")
            assert tail.read() == [2]
        slow.result()
        assert tail.read() == []
        assert log.query("SELECT id FROM naive.events ORDER BY id") == [
            (1,),
            (2,),
        ]  # 1 is there and was never read
    finally:
        tail.close()
        log.query("DROP SCHEMA naive CASCADE")


@pytest.mark.slow
def test_many_writers_with_rollbacks_conflicts_and_killed_connections_hide_nothing_from_a_reader(
    log: Log,
) -> None:
    chance = random.Random(4711)
    executor = log.start()
    for deal in SHARED:
        done(executor.execute([ask(OpenDeal(deal_id=deal, funnel="tas_plus"))])[0])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.writer", log.app_url, f"process {n}", "250"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        for n in range(2)
    ]
    threads = [Running(lambda n=n: list(work(log.app_url, f"thread {n}", 150))) for n in range(4)]
    threads += [Running(lambda: rollbacks(log.app_url, 60)) for _ in range(2)]
    finished = threading.Event()

    def kill_connections() -> int:
        """One after every few events, however slow the machine is: they come to their end all the same."""
        killed, after = 0, 0
        with psycopg.connect(log.owner_url, autocommit=True) as conn:
            while not finished.wait(0.002):
                ((head,),) = conn.execute("SELECT position FROM dealtrace.log_head").fetchall()
                if head < after:
                    continue
                found = conn.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND usename = 'dealtrace_app' AND application_name <> 'tail'"
                ).fetchall()
                if found:
                    conn.execute("SELECT pg_terminate_backend(%s)", chance.choice(found))
                    killed, after = killed + 1, head + chance.randint(2, 12)
        return killed

    killer = Running(kill_connections)
    tail = Tail(log.app_url, "dealtrace.events", "notification_id")

    def follow() -> None:
        while not finished.is_set():
            tail.read()

    following = Running(follow)
    try:
        for process in processes:
            assert process.wait(250) == 0
        for thread in threads:
            thread.result(250)
    finally:
        finished.set()
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
    following.result()
    while tail.read():
        pass
    tail.close()
    assert killer.result() > 30
    assert tail.seen == list(range(1, len(log.rows()) + 1))
    assert len(tail.seen) > 1000
    log.assert_whole()
    (answer,) = executor.execute([ask(LogActivity(deal_id=SHARED[0], kind="call"))])
    assert done(answer).position == len(tail.seen) + 1
