"""PostgreSQL is killed and restarted under load: every acknowledged command is there exactly once."""

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from domain.deal import LogActivity
from infra.embedded_server import shared_server
from infra.group_commit import GroupCommit
from infra.migrations import migrate
from infra.postgres import Server, open_server
from infra.settings import Settings
from tests.store.log import Log, Running, ask, wait_until


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("restarted")


@pytest.fixture
def own_server(home: Path) -> Iterator[Server]:
    """An embedded server that this test may kill; whoever uses a server of somebody else's may not."""
    with open_server(replace(Settings.from_environment({}), home=home)) as server:
        migrate(server.owner_url)
        yield server


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def a_backend(log: Log) -> int:
    busy = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dealtrace log'"
    return int(log.query(busy)[0][0])


def back_again(log: Log) -> bool:
    try:
        log.query("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.slow
def test_postgresql_killed_under_load_loses_and_doubles_nothing(home: Path, own_server: Server) -> None:
    log, chance, finished = Log(own_server), random.Random(4711), threading.Event()
    executor = log.start()
    deals = [log.open_deal(executor) for _ in range(8)]
    before = len(log.rows())
    group = GroupCommit(executor)
    acknowledged: list[list[object]] = [[] for _ in deals]
    starts = {log.query("SELECT pg_postmaster_start_time()")[0][0]}

    def client(number: int) -> None:
        while not finished.is_set():
            result = group.run(ask(LogActivity(deal_id=deals[number], kind="call", note="x"), digest=b"1"))
            acknowledged[number].extend(result.items[0].event_ids)

    clients = [Running(lambda n=n: client(n)) for n in range(len(deals))]

    def wait_for_more() -> None:
        enough = sum(map(len, acknowledged)) + chance.randrange(50, 300)
        wait_until(lambda: sum(map(len, acknowledged)) > enough, 60)

    with ExitStack() as restarted:
        for target, how in [
            ("backend", signal.SIGKILL),  # PostgreSQL ends all others too and recovers
            ("postmaster", signal.SIGQUIT),  # what `pg_ctl -m immediate` does
            ("postmaster", signal.SIGKILL),
        ]:
            wait_for_more()
            os.kill(a_backend(log) if target == "backend" else postmaster(home), how)
            if target == "postmaster":
                wait_until(lambda: not back_again(log))
                restarted.enter_context(shared_server(home))
            wait_until(lambda: back_again(log), 60)
            if target == "postmaster":
                starts.add(log.query("SELECT pg_postmaster_start_time()")[0][0])
        wait_for_more()
        finished.set()
        for running in clients:
            running.result()
        group.close()
        assert len(starts) == 3
        answered = Counter(event_id for each in acknowledged for event_id in each)
        assert answered == Counter(e.meta.event_id for e in log.events(before))
        assert log.count("vault") == len(answered) == log.count("command_results")
        log.assert_whole()
        log.close()
