"""What goes wrong in one run, when, and to whom: nothing but a function of a seed."""

import random
from dataclasses import dataclass

APIS = ("api 0", "api 1")
WRITERS = 5
REQUESTS = 40
"""Requests of each writer."""

APPEND = ("append.head_locked", "append.before_commit", "append.after_commit")
PROJECTION = ("projection.before_commit", "projection.after_commit")
REBUILD = ("rebuild.before_commit", "rebuild.after_commit")


@dataclass(frozen=True)
class Arm:
    """When a process comes to the failpoint for the `nth` time in a life it is killed."""

    whom: str
    failpoint: str
    nth: int

    def __str__(self) -> str:
        return f"killed {self.whom} at {self.failpoint} no. {self.nth}"


@dataclass(frozen=True)
class Step:
    """A fault strikes when so many requests were answered, and is healed after so many seconds."""

    after: int
    fault: str
    whom: str = ""
    how: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = (self.fault, self.whom, self.how, f"{self.seconds:g} s" if self.seconds else "")
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Schedule:
    """The faults of one run. `arms` come in the order of the process's lives: the first one for its first life."""

    seed: int
    projectors: int
    arms: tuple[Arm, ...]
    steps: tuple[Step, ...]


def schedule(seed: int) -> Schedule:
    """The schedule of a seed; the same on every machine."""
    chance = random.Random(f"dealtrace soak {seed}")
    projectors = chance.choice([1, 1, 2])
    faults = chance.sample(sorted(_FAULTS), chance.randint(3, 5))
    steps = [_FAULTS[fault](chance) for fault in faults]
    return Schedule(seed, projectors, tuple(_arms(chance)), tuple(sorted(steps, key=lambda s: s.after)))


def _arms(chance: random.Random) -> list[Arm]:
    lives = [Arm(api, chance.choice(APPEND), chance.randint(1, 25)) for api in APIS * 2]
    lives.append(Arm("projector 0", chance.choice(PROJECTION), chance.randint(1, 60)))
    lives.append(Arm("import", chance.choice(APPEND), chance.randint(1, 3)))
    lives.append(Arm("rebuild", chance.choice(REBUILD), chance.randint(1, 4)))
    return chance.sample(lives, chance.randint(2, 5))


def _when(chance: random.Random) -> int:
    return chance.randint(5, WRITERS * REQUESTS * 4 // 5)


def _killed(chance: random.Random) -> Step:
    return Step(_when(chance), "killed", chance.choice([*APIS, "projector 0"]))


def _frozen(chance: random.Random) -> Step:
    seconds = round(chance.uniform(0.2, 1.2), 2)
    return Step(_when(chance), "frozen", chance.choice([*APIS, "projector 0"]), seconds=seconds)


def _cut(chance: random.Random) -> Step:
    return Step(_when(chance), "connections cut", chance.choice([*APIS, "projector 0"]))


def _reply_lost(chance: random.Random) -> Step:
    how = chance.choice(["the reply", "the connection at once", "the request"])
    return Step(_when(chance), "commit lost", chance.choice(APIS), how)


def _restarted(chance: random.Random) -> Step:
    how = chance.choice(["immediate", "immediate", "fast", "backend killed"])
    return Step(_when(chance), "PostgreSQL restarted", how=how, seconds=round(chance.uniform(0.0, 0.8), 2))


def _disk_full(chance: random.Random) -> Step:
    how = chance.choice(["tables", "log"])
    return Step(_when(chance), "disk full", how=how, seconds=round(chance.uniform(0.4, 1.2), 2))


def _clock_back(chance: random.Random) -> Step:
    """For good: nobody sets it forward again."""
    return Step(_when(chance), "clock back", how=chance.choice(["3 seconds", "10 minutes", "2 hours"]))


def _disk_slow(chance: random.Random) -> Step:
    seconds = round(chance.uniform(0.3, 1.0), 2)
    return Step(_when(chance), "disk slow", how=f"{chance.randint(10, 100)} ms a commit", seconds=seconds)


def _disk_hangs(chance: random.Random) -> Step:
    return Step(_when(chance), "disk hangs", seconds=round(chance.uniform(0.2, 1.0), 2))


_FAULTS = {
    "killed": _killed,
    "frozen": _frozen,
    "connections cut": _cut,
    "commit lost": _reply_lost,
    "PostgreSQL restarted": _restarted,
    "disk full": _disk_full,
    "clock back": _clock_back,
    "disk slow": _disk_slow,
    "disk hangs": _disk_hangs,
}
FAULTS = tuple(sorted(_FAULTS))
"""The faults that strike from outside; failpoints strike from within."""
