"""One run: PostgreSQL, two APIs, projectors, an import, a rebuild, clients; and the faults of a schedule among them."""

import errno
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.cli.conftest import url
from tests.importer.conftest import HEADERS, MAPPING
from tests.soak.cluster import Cluster, may_mount
from tests.soak.forks import Forks
from tests.soak.programs import Program
from tests.soak.readers import AUDITOR, REP, Follower, Looker
from tests.soak.requests import opening, shared_deals
from tests.soak.schedule import APIS, WRITERS, Schedule, Step
from tests.soak.writers import Writer
from tests.store.log import wait_until
from tests.store.proxy import Proxy

IMPORT_AT, REBUILD_AT = 30, 90
"""How many requests were answered when these begin."""
SECONDS = 150.0
"""A run that takes longer hangs."""


class Hanging(Exception):
    """The run does not come to its end."""


@dataclass
class World:
    """What there is in a run, and what was found wrong so far."""

    schedule: Schedule
    cluster: Cluster
    programs: dict[str, Program]
    proxies: dict[str, Proxy]
    ports: list[int]
    folder: Path
    after: int
    """The position of the log before the run."""
    opener: Writer = field(init=False)
    writers: list[Writer] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def all_writers(self) -> list[Writer]:
        """Whoever asked for anything."""
        return [self.opener, *self.writers]

    @property
    def answered(self) -> int:
        """How many requests are behind the writers."""
        return sum(writer.answered for writer in self.writers)


def run(world: World) -> None:
    """Everything from the first request to the last process that has stopped."""
    seed, deadline = world.schedule.seed, time.monotonic() + SECONDS
    for name in (*APIS, *_projectors(world.schedule)):
        world.programs[name].start()
    wait_until(lambda: all(_ready(port) for port in world.ports), 60)
    world.opener = Writer(seed, 1000, world.ports, opening(seed))
    world.opener.thread.start()
    world.opener.thread.join()
    world.writers = [Writer(seed, n, world.ports) for n in range(WRITERS)]
    looker = Looker(seed, world.ports, shared_deals(seed))
    followers = [Follower(world.ports, n, world.after, who) for n, who in enumerate((AUDITOR, REP))]
    for one in (*world.writers, looker, *followers):
        one.thread.start()
    _strike(world, deadline)
    for writer in world.writers:
        _ended(writer.thread, deadline)
    for name in ("import", "rebuild"):
        if not world.programs[name].finish(deadline - time.monotonic()):
            world.problems.append(f"{name} ended with {world.programs[name].codes}: {_last_words(world, name)}")
    head = _caught_up(world, deadline)
    wait_until(lambda: followers[0].position >= head, 20)
    for one in (looker, *followers):
        one.stop()
    expected = list(range(world.after + 1, head + 1))
    if followers[0].seen != expected:
        world.problems.append(f"the stream told {len(followers[0].seen)} positions of {len(expected)}")
    for reader in (*world.all_writers, looker, *followers):
        world.problems += reader.problems
    for name in (*APIS, *_projectors(world.schedule)):
        if wrong := world.programs[name].stop():
            world.problems.append(f"{wrong}: {_last_words(world, name)}")


def _projectors(schedule: Schedule) -> list[str]:
    return [f"projector {n}" for n in range(schedule.projectors)]


def _last_words(world: World, name: str) -> str:
    return "\n".join(world.programs[name].said.read_text(errors="replace").splitlines()[-12:])


def _ready(port: int) -> bool:
    conn = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        conn.request("GET", "/ready")
        return conn.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        conn.close()


def _ended(thread: threading.Thread, deadline: float) -> None:
    thread.join(max(0.0, deadline - time.monotonic()))
    if thread.is_alive():
        raise Hanging(f"{thread.name} has not ended in {SECONDS:g} s")


def _caught_up(world: World, deadline: float) -> int:
    """The head of the log, when every projection has come there."""
    head = int(world.cluster.query("SELECT position FROM dealtrace.log_head")[0][0])
    behind = "SELECT count(*) FROM projection.checkpoints WHERE state = 'live' AND position < %s"
    while world.cluster.query(behind, head)[0][0]:
        if time.monotonic() > deadline:
            raise Hanging("the projections did not catch up")
        time.sleep(0.02)
    return head


# --- faults


def _strike(world: World, deadline: float) -> None:
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
        _ended(thread, deadline)


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
    world.proxies[step.whom].lose = step.how  # type: ignore[assignment]


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


# --- making it


@contextmanager
def world(schedule: Schedule, cluster: Cluster, forks: Forks, folder: Path) -> Iterator[World]:
    """Everything in place and nothing started; nothing is left of it after the block."""
    ports = [_port(schedule.seed, n) for n in range(len(APIS))]
    file, mapping = folder / "export.csv", folder / "mapping.toml"
    file.write_text(HEADERS["history"] + _history(schedule.seed))
    mapping.write_text(MAPPING)
    verbs = {name: (["serve"], {"DEALTRACE_PORT": str(port)}) for name, port in zip(APIS, ports, strict=True)}
    verbs |= {name: (["projector"], {}) for name in _projectors(schedule)}
    verbs["import"] = (["import", "history", str(file), "--mapping", str(mapping)], {})
    verbs["rebuild"] = (["projections", "rebuild", "--processes", "1"], {})
    proxies: dict[str, Proxy] = {}
    programs: dict[str, Program] = {}
    with ExitStack() as stack:
        for number, (name, (arguments, more)) in enumerate(verbs.items()):
            sockets = cluster.sockets / f"p{number}"
            sockets.mkdir()
            proxies[name] = stack.enter_context(Proxy(cluster.server.app_url, sockets).running())
            settings = {"DATABASE_URL": _through(proxies[name]), "DEALTRACE_HOME": str(folder / "home"), **more}
            said = folder / f"{name}.log"
            serves = name in APIS or name.startswith("projector")
            programs[name] = Program(forks, name, arguments, settings, said, schedule.arms, serves=serves)
        head = int(cluster.query("SELECT position FROM dealtrace.log_head")[0][0])
        try:
            yield World(schedule, cluster, programs, proxies, ports, folder, head)
        finally:
            for program in programs.values():
                program.end()


def _through(proxy: Proxy) -> str:
    return url(proxy.url)


def _port(seed: int, number: int) -> int:
    """A free port that no outgoing connection of this machine is given, so that a killed API gets it again."""
    chance = random.Random(f"{os.getpid()} {seed} {number}")
    while True:
        port = chance.randint(15_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            assert error.errno == errno.EADDRINUSE, error
            continue
        return port


def _history(seed: int) -> str:
    """Fields of some deals as another system recorded them, in the order of time."""
    chance = random.Random(f"soak {seed} history")
    lines: list[Any] = []
    for n in range(30):
        stages = ["First", "Second", "Third"]
        moves = [("created", "", "First"), ("Amount", "", str(chance.randint(1, 10**6)))]
        moves += [("Stage", a, b) for a, b in zip(stages, stages[1:], strict=False)]
        moves += [("Owner", "", f"u{n % 7}"), ("Stage", "Third", chance.choice(["Won", "Lost", "Dropped"]))]
        for i, (name, old, new) in enumerate(moves):
            at = f"2026-01-{1 + i:02}T{n // 60:02}:{n % 60:02}:00Z"
            lines.append((at, f"d{n},{at},u{n % 5},{name},{old},{new}\n"))
    return "".join(line for _, line in sorted(lines))
