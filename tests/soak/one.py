"""One schedule from beginning to end."""

import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.soak.forks import Forks
from tests.soak.run import run
from tests.soak.schedule import schedule
from tests.soak.template import own_cluster
from tests.soak.verdict import judge
from tests.soak.witness import watched, witness
from tests.soak.world import world


@dataclass(frozen=True)
class Outcome:
    """What became of one schedule."""

    seed: int
    faults: list[str]
    commands: int
    events: int
    retries: int
    seconds: float
    problems: list[str]
    witness: list[str]
    """Where everybody was when it went wrong in a way that ended the run."""

    @property
    def line(self) -> str:
        """The same for people."""
        verdict = "passed" if not self.problems else "FAILED"
        return (
            f"seed {self.seed:>4}  {verdict}  {len(self.faults):>2} faults  {self.commands:>4} commands "
            f" {self.retries:>4} retries  {self.events:>5} events  {self.seconds:>5.1f} s"
        )


@cache
def _forks() -> Forks:
    return Forks()


def in_peace() -> None:
    """Whoever is told to stop lets the schedules under way come to their end, and clean up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def run_schedule(seed: int, template: Path, keep: bool) -> Outcome:
    """One schedule from beginning to end."""
    began, plan = time.monotonic(), schedule(seed)
    folder = Path(tempfile.mkdtemp(prefix=f"dealtrace-soak-{seed}-"))
    problems: list[str] = []
    faults: list[str] = []
    seen: list[str] = []
    commands = retries = events = 0
    try:
        with own_cluster(template, folder) as cluster, world(plan, cluster, _forks(), folder) as it:
            try:
                with watched(it) as seen:
                    try:
                        run(it)
                        problems = list(dict.fromkeys(judge(it)))
                        events = int(cluster.query("SELECT position FROM dealtrace.log_head")[0][0])
                    except Exception:
                        problems = list(it.problems)
                        if not seen:
                            seen.extend(witness(it))
                        raise
            finally:
                told = [told for writer in it.writers for told in writer.told]
                commands = sum(len(one.asked.commands) for one in told)
                retries = sum(one.tries - 1 for one in told)
                faults = it.struck + [str(arm) for p in it.programs.values() for arm in p.fired]
    except Exception as error:  # noqa: BLE001 -- whatever it is, the schedule failed
        problems.append(f"{type(error).__name__}: {error}")
    if keep:
        print(f"seed {seed}: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(seed, faults, commands, events, retries, time.monotonic() - began, problems, seen)
