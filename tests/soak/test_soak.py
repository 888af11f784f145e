"""Twenty schedules of faults; `make soak` runs as many as one likes."""

import subprocess
import sys

import pytest

from tests.soak.forks import ROOT
from tests.soak.requests import requests
from tests.soak.schedule import APPEND, FAULTS, PROJECTION, REBUILD, schedule

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
@pytest.mark.timeout(1800)
def test_twenty_schedules_of_faults_lose_and_double_nothing() -> None:
    soak = [sys.executable, "-m", "tests.soak", "--seeds", f"{SEEDS[0]}-{SEEDS[-1]}"]
    done = subprocess.run(soak, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    wrong = [line for line in lines if "  passed  " not in line]  # what failed and why, and how to repeat it
    assert done.returncode == 0, "\n".join([*wrong, done.stderr])
    assert lines[-1] == "20 schedules: 20 passed, 0 failed."
