"""One run in a world: from the first request to the last process that has stopped."""

import time
from http.client import HTTPConnection, HTTPException

from tests.soak.faults import strike
from tests.soak.readers import AUDITOR, REP, Follower, Looker
from tests.soak.requests import opening, shared_deals
from tests.soak.schedule import APIS, WRITERS
from tests.soak.world import GRACE, SECONDS, Hanging, World, ended, projectors
from tests.soak.writers import Writer
from tests.store.log import wait_until


def run(world: World) -> None:
    """Everything from the first request to the last process that has stopped."""
    seed, deadline = world.schedule.seed, time.monotonic() + SECONDS + GRACE
    for name in (*APIS, *projectors(world.schedule)):
        world.programs[name].start()
    wait_until(lambda: all(_ready(port) for port in world.ports), 180)
    world.opener = Writer(seed, 1000, world.ports, opening(seed))
    world.opener.thread.start()
    world.opener.thread.join()
    world.writers = [Writer(seed, n, world.ports) for n in range(WRITERS)]
    looker = Looker(seed, world.ports, shared_deals(seed), world.opener.told[0].position)
    followers = [Follower(world.ports, n, world.after, who) for n, who in enumerate((AUDITOR, REP))]
    for one in (*world.writers, looker, *followers):
        one.thread.start()
    strike(world, deadline)
    for writer in world.writers:
        ended(writer.thread, deadline)
    for name in ("import", "rebuild"):
        if not world.programs[name].finish(deadline - time.monotonic()):
            world.problems.append(
                f"{name} ended with {world.programs[name].codes}: {_last_words(world, name)}"
            )
    head = _caught_up(world, deadline)
    wait_until(lambda: followers[0].position >= head, 120)
    for one in (looker, *followers):
        one.stop()
    expected = list(range(world.after + 1, head + 1))
    if followers[0].seen != expected:
        world.problems.append(f"the stream told {len(followers[0].seen)} positions of {len(expected)}")
    for reader in (*world.all_writers, looker, *followers):
        world.problems += reader.problems
    for name in (*APIS, *projectors(world.schedule)):
        if wrong := world.programs[name].stop():
            world.problems.append(f"{wrong}: {_last_words(world, name)}")


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


def _caught_up(world: World, deadline: float) -> int:
    """The head of the log, when every projection has come there."""
    head = int(world.cluster.query("SELECT position FROM dealtrace.log_head")[0][0])
    behind = "SELECT count(*) FROM projection.checkpoints WHERE state = 'live' AND position < %s"
    while world.cluster.query(behind, head)[0][0]:
        if time.monotonic() > deadline:
            raise Hanging("the projections did not catch up")
        time.sleep(0.02)
    return head
