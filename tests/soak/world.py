"""One run: PostgreSQL, two APIs, projectors, an import, a rebuild, clients; and the faults of a schedule among them."""

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.conftest import url
from tests.importer.conftest import MAPPING
from tests.soak.cluster import Cluster
from tests.soak.forks import Forks
from tests.soak.history import history
from tests.soak.programs import Program
from tests.soak.schedule import APIS, Schedule
from tests.soak.writers import Writer
from tests.store.proxy import Proxy

SECONDS = 420.0
"""A run that takes longer hangs. One takes seconds; on a machine that others keep busy it has taken minutes."""
GRACE = 60.0
"""After so much more whoever waits gives up; `witness` has looked before."""


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


def ended(thread: threading.Thread, deadline: float) -> None:
    """Return when it has ended. Raises Hanging when it does not."""
    thread.join(max(0.0, deadline - time.monotonic()))
    if thread.is_alive():
        raise Hanging(f"{thread.name} has not ended in time")


def projectors(schedule: Schedule) -> list[str]:
    """The names of its projectors."""
    return [f"projector {n}" for n in range(schedule.projectors)]


@contextmanager
def world(schedule: Schedule, cluster: Cluster, forks: Forks, folder: Path) -> Iterator[World]:
    """Everything in place and nothing started; nothing is left of it after the block."""
    ports = [_port(schedule.seed, n) for n in range(len(APIS))]
    proxies: dict[str, Proxy] = {}
    programs: dict[str, Program] = {}
    with ExitStack() as stack:
        for name, arguments in _verbs(schedule, folder).items():
            sockets = cluster.sockets / str(len(proxies))
            sockets.mkdir()
            proxies[name] = stack.enter_context(Proxy(cluster.server.app_url, sockets).running())
            settings = {"DATABASE_URL": url(proxies[name].url), "DEALTRACE_HOME": str(folder / "home")}
            if name in APIS:
                settings["DEALTRACE_PORT"] = str(ports[APIS.index(name)])
            programs[name] = Program(forks, name, arguments, settings, folder / f"{name}.log", schedule.arms)
        head = int(cluster.query("SELECT position FROM dealtrace.log_head")[0][0])
        try:
            yield World(schedule, cluster, programs, proxies, ports, folder, head)
        finally:
            for program in programs.values():
                program.end()


def _verbs(schedule: Schedule, folder: Path) -> dict[str, list[str]]:
    """What each process is started with."""
    file, mapping = folder / "export.csv", folder / "mapping.toml"
    file.write_text(history(schedule.seed))
    mapping.write_text(MAPPING)
    return {
        **{name: ["serve"] for name in APIS},
        **{name: ["projector"] for name in projectors(schedule)},
        "import": ["import", "history", str(file), "--mapping", str(mapping)],
        "rebuild": ["projections", "rebuild", "--processes", "1"],
    }


def _port(seed: int, number: int) -> int:
    """A free port that no outgoing connection of this machine is given, so that a killed API gets it again."""
    chance = random.Random(f"{os.getpid()} {seed} {number}")
    while True:
        port = chance.randint(15_000, 32_000)
        with suppress(OSError):  # somebody has it
            socket.create_server(("127.0.0.1", port)).close()
            return port
