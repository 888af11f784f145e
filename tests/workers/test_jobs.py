"""Servers and processes that go away: no recalibration is lost, and no process is left."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from infra import recalibration_jobs as jobs
from infra.postgres import Server
from tests.api.conftest import Api, serve
from tests.api.recalibrating import LONG, UNTIL, asked, children_at_work, done, events, filled, running
from tests.cli.conftest import Program, program_on


@contextmanager
def listening(program: Program) -> Iterator[tuple[Any, Api]]:
    """The real server in a process of its own, and an analyst who asks it."""
    process = program.start("serve", DEALTRACE_PORT="0")
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "The API listens on " in line)
        address = line.split("The API listens on ")[1].split(";")[0]
        with httpx.Client(base_url=address, timeout=30) as client:
            yield process, Api(client, None, None, "anna", "analyst")  # type: ignore[arg-type]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.mark.slow
def test_a_killed_server_leaves_no_process_and_the_next_one_comes_to_the_same_digest(
    database: Server, tmp_path: Path
) -> None:
    filled(database)
    program, body = program_on(database, tmp_path), LONG | {"replicates": 1_500}
    with listening(program) as (process, service):
        told = running(service, body)
        (child,) = children_at_work(process.pid)
        process.kill()
        process.wait()
        assert child.gone_within(5)
    with listening(program) as (process, service):
        again = list(events(service, told["id"], after=told["change"]))
        assert again[-1]["attempt"] == 2
        assert again[0]["change"] > told["change"]
        found = done(service, told["id"])["result"]
    assert process.returncode == 0
    by_hand = program(
        "recalibrate", "--funnel", "small", "--until", UNTIL, "--replicates", "1500", "--format", "json"
    )
    assert found | {"record": by_hand.json["record"]} == by_hand.json


def test_a_server_that_stops_puts_its_recalibration_back(database: Server) -> None:
    filled(database)
    with serve(database) as first:
        told = running(first.as_role("admin"), LONG)
        (child,) = children_at_work()
    assert not child.exists()
    with psycopg.connect(database.app_url) as conn:
        left = jobs.jobs(conn)
    assert [(job.state, job.progress, str(job.id)) for job in left] == [("queued", 0.0, told["id"])]


def test_a_process_that_dies_again_and_again_fails_in_the_end(database: Server) -> None:
    filled(database)
    with serve(database) as api:
        service = api.as_role("analyst")
        for told in events(service, asked(service, LONG)["id"]):
            if told["phase"] == "Fitting":
                for child in children_at_work():
                    os.kill(child.pid, signal.SIGKILL)
    assert told["state"] == "failed"
    assert (told["attempt"], told["reason"]) == (3, "Its process ended with -9.")
