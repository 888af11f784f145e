"""`make soak`: runs schedules of faults, one per seed, and says what became of each.

    make soak                          seeds 0 to 499, as many side by side as there are CPUs
    make soak SEEDS=0-19               these
    make soak SEEDS=17 ARGS=--keep     this one again, and its logs stay
    make soak SEEDS=17 ARGS=--plan     only what it would do

Stopped, it goes on where it was as long as the code is the same.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from tests.soak.forks import ROOT
from tests.soak.one import Outcome, in_peace, run_schedule
from tests.soak.schedule import schedule
from tests.soak.template import make_template, may_mount

SHOWN = 12
"""Problems of one schedule that are printed; the results file has them all."""


def main() -> int:
    """Run what was asked for; 1 when a schedule failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Seeded schedules of faults.")
    parser.add_argument("--seeds", default="0-499", help="such as 0-19 or 3,17 (default: 0-499)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="schedules side by side")
    parser.add_argument("--keep", action="store_true", help="leave the logs of each run, and say where")
    parser.add_argument("--results", type=Path, help="keep outcomes here, and leave out what passed before")
    parser.add_argument("--plan", action="store_true", help="only say what would be done")
    arguments = parser.parse_args()
    seeds = _seeds(arguments.seeds)
    if arguments.plan:
        for seed in seeds:
            _tell(seed)
        return 0
    if not may_mount():
        print("A disk that can be filled takes root: the fault `disk full` is left out.", flush=True)
    earlier = _passed(arguments.results) & set(seeds)
    if earlier:
        print(f"{len(earlier)} of {len(seeds)} have passed before, with the same code.", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    outcomes = list(_run_all([seed for seed in seeds if seed not in earlier], arguments))
    failed = [outcome.seed for outcome in outcomes if outcome.problems]
    print(f"{len(seeds)} schedules: {len(seeds) - len(failed)} passed, {len(failed)} failed.")
    for seed in failed:
        print(f"Again: make soak SEEDS={seed} ARGS=--keep")
    return 1 if failed else 0


def _run_all(seeds: list[int], arguments: argparse.Namespace) -> Iterator[Outcome]:
    with (
        tempfile.TemporaryDirectory(prefix="dealtrace-soak-") as folder,
        ProcessPoolExecutor(arguments.workers, get_context("spawn"), in_peace) as pool,
    ):
        make_template(Path(folder))
        waiting = [pool.submit(run_schedule, seed, Path(folder), arguments.keep) for seed in seeds]
        try:
            for done in as_completed(waiting):
                yield _told(done.result(), arguments.results)
        finally:
            pool.shutdown(cancel_futures=True)


def _told(outcome: Outcome, results: Path | None) -> Outcome:
    print(outcome.line, flush=True)
    for problem in outcome.problems[:SHOWN]:
        print(f"    {problem[:2000]}", flush=True)
    for one in outcome.witness:
        print(f"    --- {one}", flush=True)
    if results is not None:
        with results.open("a") as file:
            file.write(json.dumps({"code": _code(), **asdict(outcome)}) + "\n")
    return outcome


def _passed(results: Path | None) -> set[int]:
    """The seeds that passed with the present code, according to a results file."""
    if results is None or not results.exists():
        return set()
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    return {line["seed"] for line in lines if line["code"] == _code() and not line["problems"]}


@cache
def _code() -> str:
    """A digest of the program and of this."""
    digest = hashlib.sha256()
    for room in ("domain", "infra", "projections", "workers", "api", "tests/soak"):
        for file in sorted((ROOT / room).rglob("*")):
            if file.suffix in (".py", ".sql"):
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _tell(seed: int) -> None:
    plan = schedule(seed)
    print(f"seed {seed}: {plan.projectors} projectors")
    for arm in plan.arms:
        print(f"    {arm}")
    for step in plan.steps:
        print(f"    after {step.after} requests: {step}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped.")
