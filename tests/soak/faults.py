"""What the faults of a schedule do to a world, and how they are healed."""

import signal
import threading
import time
from collections.abc import Callable

from tests.soak.schedule import Step
from tests.soak.template import may_mount
from tests.soak.world import SECONDS, Hanging, World, ended

IMPORT_AT, REBUILD_AT = 30, 90
"""How many requests were answered when these begin."""


def strike(world: World, deadline: float) -> None:
    """Let the faults strike when their time has come, and wait until the last one is healed."""
    begins = [(IMPORT_AT, world.programs["import"].start), (REBUILD_AT, world.programs["rebuild"].start)]
    faults = [(step.after, lambda step=step: _fault(world, step)) for step in world.schedule.steps]
    total, healing = sum(len(writer._asked) for writer in world.writers), []
    for after, what in sorted([*begins, *faults], key=lambda one: one[0]):
        while world.answered < min(after, total):
            if time.monotonic() > deadline:
                raise Hanging(f"{world.answered} of {total} requests were answered in {SECONDS:g} s")
            time.sleep(0.005)
        if (heal := what()) is not None:
            healing.append(heal)
    for thread in healing:
        ended(thread, deadline)


def _fault(world: World, step: Step) -> threading.Thread | None:
    """Let one fault strike; the thread that heals it."""
    if step.fault == "disk full" and not may_mount():
        return None  # a disk that can be filled takes root
    world.struck.append(str(step))
    thread = threading.Thread(target=_guarded, args=(world, step), name=str(step), daemon=True)
    thread.start()
    return thread


def _guarded(world: World, step: Step) -> None:
    try:
        _DO[step.fault](world, step)
    except Exception as error:  # noqa: BLE001 -- said in the verdict
        world.problems.append(f"{step} could not be done: {error!r}")


def _frozen(world: World, step: Step) -> None:
    program = world.programs[step.whom]
    program.signal(signal.SIGSTOP)
    time.sleep(step.seconds)
    program.signal(signal.SIGCONT)


def _lose(world: World, step: Step) -> None:
    world.proxies[step.whom].lose = step.how


def _full(world: World, step: Step) -> None:
    world.cluster.fill(step.how)
    time.sleep(step.seconds)
    world.cluster.make_room()


def _slow(world: World, step: Step) -> None:
    world.cluster.slow(int(step.how.split()[0]) * 1000)
    time.sleep(step.seconds)
    world.cluster.slow(0)


_DO: dict[str, Callable[[World, Step], None]] = {
    "killed": lambda world, step: world.programs[step.whom].kill(),
    "frozen": _frozen,
    "connections cut": lambda world, step: world.proxies[step.whom].cut(),
    "commit lost": _lose,
    "PostgreSQL restarted": lambda world, step: world.cluster.restart(step.how, step.seconds),
    "disk full": _full,
    "clock back": lambda world, step: world.cluster.set_back(step.how),
    "disk slow": _slow,
    "disk hangs": lambda world, step: world.cluster.hang(step.seconds),
}
