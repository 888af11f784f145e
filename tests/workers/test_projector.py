"""The projector keeps up by itself, beside another one, and after the database was away."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid5

import psycopg
import pytest

from domain.deal import AmountRevised, DealOpened
from domain.event import Recorded
from infra.failpoints import VARIABLE
from infra.postgres import Server
from projections.engine.catalogue import catalogue
from projections.engine.digests import digest, replay
from projections.engine.status import status, wait_for
from tests.cli.conftest import PROGRAM, url
from tests.projections.written_log import LONG_AGO, SPACE, Fact, playbook, recorded, stage, write_log
from tests.store.log import wait_until
from workers.projector import Projector

DEALS = [uuid5(SPACE, str(n)) for n in range(40)]


def a_log() -> list[Recorded]:
    now = LONG_AGO + timedelta(days=1)
    opened = [Fact(deal, DealOpened("sales", "lead"), now, now) for deal in DEALS]
    revised = [Fact(deal, AmountRevised(None, None), now, now) for deal in DEALS]
    return recorded([*playbook("sales", [stage("lead")]), *opened, *revised])


@contextmanager
def running(server: Server, count: int = 1, batch_events: int = 5) -> Iterator[list[threading.Thread]]:
    stop = threading.Event()
    work: Callable[[threading.Event], None] = Projector(server.app_url, batch_events=batch_events).run
    threads = [threading.Thread(target=work, args=(stop,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def reaches(server: Server, position: int) -> bool:
    with psycopg.connect(server.app_url, autocommit=True) as conn:
        return wait_for(conn, position, timeout=60)


def digests(server: Server) -> dict[str, str]:
    with psycopg.connect(server.app_url, autocommit=True) as conn:
        return {name: digest(conn, projection) for name, projection in catalogue().items()}


def test_it_follows_the_log_while_it_runs(database: Server) -> None:
    log = a_log()
    with running(database):
        for piece in (log[:10], log[10:50], log[50:]):
            write_log(database.owner_url, piece)
            assert reaches(database, piece[-1].position)
    assert digests(database) == replay(log)


@pytest.mark.parametrize("count", [2, 3])
def test_several_at_once_do_no_harm(database: Server, count: int) -> None:
    log = a_log()
    write_log(database.owner_url, log)
    with running(database, count, batch_events=1):
        assert reaches(database, len(log))
    assert digests(database) == replay(log)
    with psycopg.connect(database.app_url) as conn:
        assert all(s.complete for s in status(conn))


def test_it_comes_back_when_its_connections_are_cut(database: Server) -> None:
    log = a_log()
    with running(database):
        for piece in (log[:20], log[20:60], log[60:]):
            write_log(database.owner_url, piece)
            cut_every_connection(database)
            assert reaches(database, piece[-1].position)
    assert digests(database) == replay(log)


def cut_every_connection(server: Server) -> None:
    with psycopg.connect(server.owner_url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.slow
def test_one_that_hangs_in_the_middle_of_a_batch_holds_the_others_up_for_seconds_only(
    database: Server, tmp_path: Path
) -> None:
    log = a_log()
    write_log(database.owner_url, log[:60])
    settings = {"DATABASE_URL": url(database.app_url), "DEALTRACE_HOME": str(tmp_path)}
    hanging = subprocess.Popen(
        [*PROGRAM, "projector"],
        env={**os.environ, **settings, VARIABLE: "projection.before_commit=stop@3"},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: "T" in Path(f"/proc/{hanging.pid}/stat").read_text().rpartition(")")[2].split()[0])
        with running(database):
            assert reaches(database, 60)
        write_log(database.owner_url, log[60:])
        hanging.send_signal(signal.SIGCONT)  # it finds its connection gone, and goes on on another
        assert reaches(database, len(log))
        hanging.terminate()
        assert hanging.wait(60) == 0
    finally:
        hanging.kill()
        hanging.wait()
    assert digests(database) == replay(log)


def test_what_only_an_operator_can_mend_is_logged_and_skips_nothing(
    database: Server, caplog: pytest.LogCaptureFixture
) -> None:
    log = a_log()
    write_log(database.owner_url, log)
    with psycopg.connect(database.owner_url, autocommit=True) as conn:
        conn.execute("UPDATE dealtrace.events SET topic = 'deal.of_tomorrow' WHERE notification_id = 30")
        with running(database):
            assert reaches(database, 25)
            assert not reaches_soon(database, 30)
            conn.execute("UPDATE dealtrace.events SET topic = 'deal.opened' WHERE notification_id = 30")
            assert reaches(database, len(log))
    assert "no release of this program knows the topic 'deal.of_tomorrow'" in caplog.text
    assert digests(database) == replay(log)


def reaches_soon(server: Server, position: int) -> bool:
    with psycopg.connect(server.app_url, autocommit=True) as conn:
        return wait_for(conn, position, timeout=0.3)


def test_it_forgets_the_results_of_commands_of_long_ago(database: Server) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as conn:
        for command, age in (("old", "31 days"), ("young", "29 days")):
            conn.execute(
                "INSERT INTO dealtrace.command_results VALUES ('anna', %s, '', '', now() - %s::interval)",
                [command, age],
            )
        with running(database):
            deadline = time.monotonic() + 60
            while (
                len(kept := conn.execute("SELECT command_id FROM dealtrace.command_results").fetchall()) > 1
            ):
                assert time.monotonic() < deadline
                time.sleep(0.02)
    assert kept == [("young",)]
