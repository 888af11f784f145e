"""Behind PgBouncer in transaction mode: everything works, and nothing of one client reaches another."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

from infra.connection import connect
from infra.postgres import Server
from infra.readers import Readers
from infra.sessions import Session, alone
from projections.engine.status import wait_for
from tests.operations.servers import PGBOUNCER, pgbouncer
from tests.operations.whole import do_everything
from tests.projections.written_log import playbook, recorded, stage, write_log
from workers.projector import Projector

LEND = 3


@pytest.fixture
def pooled(database: Server, tmp_path: Path) -> Iterator[Server]:
    """A migrated, empty database behind a PgBouncer in transaction mode that lends three sessions."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed")
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    with pgbouncer(database, folder, LEND) as behind:
        yield behind


def lent(server: Server, query: str) -> list[Any]:
    """What each of the sessions that PgBouncer lends answers, all of them held at once."""
    with ExitStack() as all_of_them:
        answers = []
        for _ in range(LEND):
            conn = all_of_them.enter_context(psycopg.connect(server.app_url, prepare_threshold=None))
            answers.append(conn.execute(query).fetchall())
        return answers


def test_a_pooler_is_noticed(pooled: Server, database: Server) -> None:
    with connect(pooled.app_url, "test") as through, connect(database.app_url, "test") as direct:
        assert (through.pooled, direct.pooled) == (True, False)
        assert through.prepare_threshold is None


@pytest.mark.slow
def test_everything_works_through_it(pooled: Server) -> None:
    do_everything(pooled)


def test_limits_hold_in_a_transaction_and_end_with_it(pooled: Server) -> None:
    shown = (
        "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
    )
    before = lent(pooled, shown)
    with connect(pooled.app_url, "test") as session:
        for _ in range(2 * LEND):
            with session.transaction():
                assert session.execute(shown).fetchone() == ("20s", "10s")
    assert lent(pooled, shown) == before


@pytest.mark.anyio
async def test_readers_can_not_write_and_leave_no_trace(pooled: Server) -> None:
    readers = Readers(pooled.app_url)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await readers.run(lambda conn: conn.execute("CREATE TABLE projection.t (a int)"))
    shown = "SELECT current_setting('transaction_isolation'), current_setting('statement_timeout')"
    assert await readers.run(lambda conn: conn.execute(shown).fetchone()) == ("repeatable read", "20s")
    readers.close()
    kept = "SELECT current_setting('default_transaction_read_only'), current_setting('transaction_isolation')"
    assert lent(pooled, kept) == [[("off", "read committed")]] * LEND


def test_times_come_in_utc_whoever_used_the_session_before(pooled: Server) -> None:
    with psycopg.connect(pooled.app_url, autocommit=True, prepare_threshold=None) as other:
        other.execute("SET TimeZone = 'Asia/Tokyo'")
        with Session.open(pooled.app_url, "test") as session:
            for _ in range(2 * LEND):
                assert other.execute("SHOW TimeZone").fetchone() == ("Asia/Tokyo",)
                assert session.execute("SHOW TimeZone").fetchone() == ("UTC",)


def test_nobody_listens_in_a_lent_session(pooled: Server) -> None:
    stop = Event()
    thread = Thread(target=Projector(pooled.app_url).run, args=(stop,))
    thread.start()
    log = recorded(playbook("sales", [stage("lead")]))
    write_log(pooled.owner_url, log)
    with connect(pooled.app_url, "test") as conn:
        assert wait_for(conn, len(log), timeout=60)
    stop.set()
    thread.join()
    assert lent(pooled, "SELECT count(*) FROM pg_listening_channels()") == [[(0,)]] * LEND


def test_a_lock_belongs_to_one_and_ends_with_it(pooled: Server) -> None:
    with alone(pooled.app_url, 1) as first, alone(pooled.app_url, 1) as second:
        assert (first, second) == (True, False)
    with alone(pooled.app_url, 1) as again:
        assert again
    assert lent(pooled, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [[(0,)]] * LEND


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the test that is a coroutine."""
    return "asyncio"
