"""A process may die or hang at any moment around its commit: resumed, it has done everything once."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from domain.deal import OpenDeal
from infra.connection import SILENCE
from infra.failpoints import VARIABLE
from tests.store.log import Log, ask, done, wait_until
from tests.store.writer import SHARED

ROOT = Path(__file__).parents[2]
COMMANDS = 40


def start_writer(log: Log, failpoints: str = "", count: int = COMMANDS) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", log.app_url, "the writer", str(count)],
        cwd=ROOT,
        env={**os.environ, VARIABLE: failpoints},
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=60)
    return out.splitlines()


def prepare(log: Log) -> None:
    log.empty()
    executor = log.start()
    for deal in SHARED:
        done(executor.execute([ask(OpenDeal(deal_id=deal, funnel="tas_plus"))])[0])


def texts(log: Log) -> Counter[str]:
    return Counter(text for (text,) in log.query("SELECT text FROM dealtrace.vault"))


@pytest.mark.slow
def test_killed_at_any_failpoint_and_resumed_it_has_done_what_an_undisturbed_run_does(log: Log) -> None:
    prepare(log)
    undisturbed = start_writer(log)
    assert len(lines(undisturbed)) == COMMANDS
    expected, expected_texts, events = log.business(), texts(log), len(log.rows())
    for failpoint in ("append.before_commit", "append.after_commit"):
        for nth in (1, 2, 17):
            prepare(log)
            killed = start_writer(log, f"{failpoint}=kill@{nth}")
            acknowledged = lines(killed)
            assert killed.returncode == -signal.SIGKILL
            assert len(acknowledged) < COMMANDS
            resumed = start_writer(log)
            answers = lines(resumed)
            assert resumed.returncode == 0
            assert answers[: len(acknowledged)] == acknowledged  # the first answers came back
            assert (log.business(), texts(log), len(log.rows())) == (expected, expected_texts, events)
            log.assert_whole()


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", ["append.before_commit", "append.after_commit"])
def test_a_connection_cut_at_a_failpoint_is_no_matter(log: Log, failpoint: str) -> None:
    prepare(log)
    lines(start_writer(log))
    expected, events = log.business(), len(log.rows())
    prepare(log)
    cut = start_writer(log, f"{failpoint}=cut@5")
    assert len(lines(cut)) == COMMANDS
    assert cut.returncode == 0
    assert (log.business(), len(log.rows())) == (expected, events)
    log.assert_whole()


@pytest.mark.slow
def test_a_writer_that_hangs_with_the_head_in_its_hands_holds_the_others_up_for_seconds_only(log: Log) -> None:
    prepare(log)
    hanging = start_writer(log, "append.before_commit=stop@5")
    try:
        wait_until(lambda: "T" in Path(f"/proc/{hanging.pid}/stat").read_text().rpartition(")")[2].split()[0])
        (answer,) = log.executor().execute([ask(OpenDeal(funnel="tas_plus"))])
        done(answer)
        (waited,) = log.query(
            "SELECT extract(epoch FROM a.recorded_at - max(b.recorded_at))::float8"
            " FROM dealtrace.events a JOIN dealtrace.events b ON b.notification_id < a.notification_id"
            " WHERE a.notification_id = %s GROUP BY a.recorded_at",
            answer.position,
        )
        assert waited[0] < SILENCE + 5
        os.kill(hanging.pid, signal.SIGCONT)  # it finds its connection gone, and goes on on another
        assert len(lines(hanging)) == COMMANDS
        assert hanging.returncode == 0
    finally:
        hanging.kill()
        hanging.wait()
    disturbed = log.business()
    del disturbed[answer.items[0].stream_id]
    prepare(log)
    lines(start_writer(log))
    assert log.business() == disturbed
