"""What everybody in a run is at: for a run that hangs, which is not to be seen again by running it again."""

import faulthandler
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.soak.cluster import Cluster
from tests.soak.programs import Program
from tests.soak.world import SECONDS, World

_SESSIONS = """
SELECT concat_ws(' ', pid, application_name, state, 'in', wait_event_type, wait_event,
  'transaction since ' || clock_timestamp() - xact_start, 'behind ' || nullif(pg_blocking_pids(pid), '{}')::text,
  regexp_replace(left(query, 300), '\\s+', ' ', 'g'))
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start"""
_LOCKS = """
SELECT concat_ws(' ', pid, mode, CASE WHEN granted THEN 'held on' ELSE 'wanted on' END, locktype, relation::regclass)
FROM pg_locks l WHERE pid IN (SELECT pid FROM pg_locks WHERE NOT granted)
  OR EXISTS (SELECT FROM pg_locks w WHERE NOT w.granted AND l.pid = ANY(pg_blocking_pids(w.pid)))
ORDER BY pid, granted"""


def witness(world: World) -> list[str]:
    """The stacks of this process and of the program's, how long each had no CPU, and who waits for whom in PostgreSQL."""
    alive = [program for program in world.programs.values() if program.pid]
    before = {p.name: p.said.stat().st_size if p.said.exists() else 0 for p in alive}
    for program in alive:
        program.signal(signal.SIGUSR1)  # `forks` has them answer with their stacks
    time.sleep(2)
    return [
        f"this process, {_times(os.getpid())}\n{_own_stacks()}",
        *[f"{p.name}, {_times(p.pid)}\n{_said_since(p, before[p.name])}" for p in alive],
        f"PostgreSQL\n{_server(world.cluster)}",
    ]


@contextmanager
def watched(world: World, seconds: float = SECONDS) -> Iterator[list[str]]:
    """After so many seconds gather what everybody is at and end everything, so that whoever waits waits no more."""
    found: list[str] = []
    done = threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            found.append(f"it was not over after {seconds:g} s")
            try:
                found.extend(witness(world))
            finally:
                for program in world.programs.values():
                    program.end()
                world.cluster.kill()

    thread = threading.Thread(target=watch, name="watch", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _times(pid: int) -> str:
    """The state of a process, and how its threads came by their time: who had to wait for a CPU does not hang."""
    ran = waited = 0
    state = "gone"
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        for thread in Path(f"/proc/{pid}/task").iterdir():
            one, other, _ = map(int, (thread / "schedstat").read_text().split())
            ran, waited = ran + one, waited + other
    return f"process {pid} in state {state}: {ran / 1e9:.1f} s on a CPU, {waited / 1e9:.1f} s in wait for one"


def _own_stacks() -> str:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read().decode()


def _said_since(program: Program, size: int) -> str:
    return program.said.read_bytes()[size:].decode(errors="replace")


def _server(cluster: Cluster) -> str:
    try:
        options = "-c statement_timeout=20s"
        with psycopg.connect(cluster.server.owner_url, connect_timeout=10, options=options) as conn:
            return "\n".join(line for sql in (_SESSIONS, _LOCKS) for (line,) in conn.execute(sql).fetchall())
    except psycopg.Error as error:
        log = (cluster.folder / "server.log").read_text(errors="replace").splitlines()
        said = [line for line in log if "FATAL" not in line][
            -40:
        ]  # each of these is somebody who came in vain
        return "\n".join([f"does not answer: {error}", *map(_at_work, cluster.processes()), *said])


def _at_work(pid: int) -> str:
    """A process of PostgreSQL: its title says what it is at."""
    with suppress(OSError):
        process = Path(f"/proc/{pid}")
        title = (process / "cmdline").read_text().rstrip(" \0")
        return f"{title}: {_times(pid)}, {(process / 'wchan').read_text()}"
    return f"process {pid} is gone"
