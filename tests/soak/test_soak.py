"""Twenty schedules of faults; `make soak` runs as many as one likes."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.soak.forks import ROOT, Forks
from tests.soak.requests import requests
from tests.soak.schedule import APPEND, FAULTS, PROJECTION, REBUILD, schedule
from tests.soak.template import make_template, own_cluster
from tests.soak.witness import watched
from tests.soak.world import world
from tests.store.log import wait_until

SEEDS = range(20)


def test_a_schedule_and_its_requests_are_a_function_of_the_seed() -> None:
    assert schedule(7) == schedule(7) != schedule(8)
    assert list(requests(7, 1)) == list(requests(7, 1)) != list(requests(8, 1))


def test_every_fault_and_every_failpoint_is_among_the_twenty() -> None:
    plans = [schedule(seed) for seed in SEEDS]
    assert {step.fault for plan in plans for step in plan.steps} == set(FAULTS)
    assert {arm.failpoint for plan in plans for arm in plan.arms} == {*APPEND, *PROJECTION, *REBUILD}
    assert {step.how for plan in plans for step in plan.steps if step.fault == "disk full"} == {
        "tables",
        "log",
    }
    assert {plan.projectors for plan in plans} == {1, 2}


@pytest.mark.slow
def test_a_run_that_hangs_says_where_everybody_is_and_comes_to_its_end(tmp_path: Path) -> None:
    make_template(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    with (
        closing(Forks()) as forks,
        own_cluster(tmp_path, folder) as cluster,
        world(schedule(1), cluster, forks, folder) as it,
        psycopg.connect(cluster.server.owner_url) as holder,
    ):
        holder.execute("LOCK TABLE projection.checkpoints")
        it.programs["projector 0"].start()
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        wait_until(lambda: cluster.query(waits) == [(True,)])
        with watched(it, 0.0) as found, pytest.raises(psycopg.OperationalError):
            wait_until(lambda: not cluster.query("SELECT 1"))  # as long as there is a server
        holder.close()
    said = "\n".join(found)
    assert "in test_a_run_that_hangs_says_where_everybody_is_and_comes_to_its_end" in said
    assert "s in wait for one" in said
    assert 'workers/projector.py", line' in said
    assert "AccessShareLock wanted on relation projection.checkpoints" in said
    assert "AccessExclusiveLock held on relation projection.checkpoints" in said


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_schedules_of_faults_lose_and_double_nothing() -> None:
    soak = [sys.executable, "-m", "tests.soak", "--seeds", f"{SEEDS[0]}-{SEEDS[-1]}"]
    done = subprocess.run(soak, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    wrong = [line for line in lines if "  passed  " not in line]  # what failed and why, and how to repeat it
    assert done.returncode == 0, "\n".join([*wrong, done.stderr])
    assert lines[-1] == "20 schedules: 20 passed, 0 failed."
