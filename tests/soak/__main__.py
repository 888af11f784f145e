"""`make soak`: runs schedules of faults, one per seed, and says what became of each.

    make soak                                500 schedules, from seed 0 on, two side by side
    make soak SEEDS=0-19                     these
    make soak SEEDS=17 ARGS=--keep           this one, and leave its logs
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from tests.soak.cluster import make_template, may_mount
from tests.soak.one import Outcome, run_schedule
from tests.soak.schedule import schedule


def main() -> int:
    """Run what was asked for; 1 when a schedule failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Seeded schedules of faults.")
    parser.add_argument("--seeds", default="0-499", help="such as 0-19 or 3,17 (default: 0-499)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="schedules side by side")
    parser.add_argument("--keep", action="store_true", help="leave the logs of each run, and say where")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep results here, leave out what passed")
    parser.add_argument("--plan", action="store_true", help="only say what would be done")
    arguments = parser.parse_args()
    seeds = _seeds(arguments.seeds)
    if arguments.plan:
        for seed in seeds:
            _tell(seed)
        return 0
    if not may_mount():
        print("A disk that can be filled takes root: the fault `disk full` is left out.", flush=True)
    passed = _passed(arguments.resume)
    outcomes = list(_run_all([s for s in seeds if s not in passed], arguments))
    failed = [outcome.seed for outcome in outcomes if outcome.problems]
    before = f", {len(passed & set(seeds))} of them earlier" if passed & set(seeds) else ""
    print(f"{len(seeds)} schedules: {len(seeds) - len(failed)} passed{before}, {len(failed)} failed.")
    for seed in failed:
        print(f"Again: {sys.executable} -m tests.soak --seeds {seed} --keep")
    return 1 if failed else 0


def _run_all(seeds: list[int], arguments: argparse.Namespace) -> Iterator[Outcome]:
    with (
        tempfile.TemporaryDirectory(prefix="dealtrace-soak-") as folder,
        ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool,
    ):
        make_template(Path(folder))
        waiting = [pool.submit(run_schedule, seed, Path(folder), arguments.keep) for seed in seeds]
        for done in as_completed(waiting):
            outcome = done.result()
            print(outcome.line, flush=True)
            for problem in outcome.problems:
                print(f"    {problem[:2000]}", flush=True)
            if arguments.resume is not None:
                with arguments.resume.open("a") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
            yield outcome


def _passed(results: Path | None) -> set[int]:
    """The seeds that passed according to a results file."""
    if results is None or not results.exists():
        return set()
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    return {line["seed"] for line in lines if not line["problems"]}


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
    sys.exit(main())
