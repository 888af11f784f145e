"""What must hold when a run is over: nothing lost, nothing doubled, and what a clean run makes of it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from uuid import UUID

from domain.event import Recorded
from infra.connection import LogConnection
from infra.executor import Executor
from infra.ids import new_id
from infra.requests import Request, Result
from projections.engine.catalogue import catalogue
from projections.engine.connecting import connect
from projections.engine.digests import digest
from projections.engine.rebuilding import rebuild
from projections.engine.status import status
from tests.soak.world import World
from tests.soak.writers import Told
from tests.store.log import Log
from tests.store.replay import assert_every_event_was_rightly_decided
from workers.importer import load_mapping, run_import
from workers.verifier import prove


def judge(world: World) -> list[str]:
    """Every sentence that does not hold."""
    log = Log(world.cluster.server)
    events = log.events()
    told = [told for writer in world.all_writers for told in writer.told]
    return [
        *world.problems,
        *_commands(told, events),
        *_rightly_decided(events),
        *_remembered(log, told, events),
        *_log_and_projections(world),
        *_clean_run(world, log, told, events),
    ]


def _commands(told: list[Told], events: list[Recorded]) -> Iterator[str]:
    """Acknowledged: once. Refused: not at all. Unknown: once or not at all, and whole."""
    found: dict[str, list[Recorded]] = {}
    for e in events:
        found.setdefault(e.meta.command_id, []).append(e)
    for one in told:
        theirs = found.get(one.asked.key, [])
        ids = [e.meta.event_id for e in theirs]
        if one.done and Counter(ids) != Counter(one.event_ids):
            yield f"{one.asked.key!r} was acknowledged with {len(one.event_ids)} events, the log has {len(ids)}"
        if one.done and theirs and theirs[-1].position != one.position:
            yield f"{one.asked.key!r} was told position {one.position}, its last event has {theirs[-1].position}"
        if not one.done and not one.unknown and theirs:
            yield f"{one.asked.key!r} was refused ({one.code}), and the log has {len(theirs)} events of it"
        positions = [e.position for e in theirs]
        if positions and positions != list(range(positions[0], positions[0] + len(positions))):
            yield f"{one.asked.key!r} stands at the positions {positions}"
    for event_id, times in Counter(e.meta.event_id for e in events).items():
        if times > 1:
            yield f"event {event_id} is there {times} times"


def _rightly_decided(events: list[Recorded]) -> Iterator[str]:
    tas_plus = [e for e in events if e.meta.origin != "import"]
    try:
        assert_every_event_was_rightly_decided(tas_plus)
    except AssertionError as error:
        yield f"an event contradicts the history before it: {error}"


def _remembered(log: Log, told: list[Told], events: list[Recorded]) -> Iterator[str]:
    """The result of every acknowledged request is remembered; so is that of an unknown one which has events."""
    rows = Counter(key for (key,) in log.query("SELECT command_id FROM dealtrace.command_results"))
    happened = {e.meta.command_id for e in events}
    for one in told:
        least = one.done or (one.unknown and one.asked.key in happened)
        if not least <= rows[one.asked.key] <= (one.done or one.unknown):
            yield f"{one.asked.key!r} ({one.status} {one.code}) is remembered {rows[one.asked.key]} times"


def _log_and_projections(world: World) -> Iterator[str]:
    """The log is whole; live tables, rebuilt tables and a fold of the log in this process are the same."""
    server = world.cluster.server
    proof = prove(server.app_url, digests=True)
    yield from proof.problems
    before = {c.projection: c.live for c in proof.digests}
    rebuild(server.app_url, processes=1)
    with connect(server.app_url) as conn:
        for name, projection in catalogue().items():
            if digest(conn, projection) != before.get(name):
                yield f"{name} rebuilt is not what it was"
        for one in status(conn):
            if one.state == "live" and (one.lag or not one.complete or one.parked_events):
                yield f"{one.projection} is not where it should be: {one}"


def _clean_run(world: World, log: Log, told: list[Told], events: list[Recorded]) -> Iterator[str]:
    """The same requests, one after the other in the order of the log, without any fault, say the same."""
    clean = Log(world.cluster.clean)
    order = {e.meta.command_id: e.position for e in reversed(events)}
    happened = sorted((one for one in told if one.asked.key in order), key=lambda one: order[one.asked.key])
    asked = [
        Request(commands=o.asked.commands, actor=o.asked.actor, command_id=str(new_id())) for o in happened
    ]
    imported = next(
        e.position for e in events if e.topic == "playbook.funnel_defined" and e.event.funnel == "sales"
    )
    earlier = sum(order[one.asked.key] < imported for one in happened)
    with closing(LogConnection(world.cluster.clean.app_url)) as connection:
        executor = Executor(connection)
        answers = executor.execute(asked[:earlier])
        mapping = load_mapping(world.folder / "mapping.toml")
        run_import(executor, connection, world.folder / "export.csv", mapping, "history")
        answers += executor.execute(asked[earlier:])
    for one, answer in zip(happened, answers, strict=True):
        if not isinstance(answer, Result):
            yield f"{one.asked.key!r} is refused in a clean run: {answer!r}"
    ours, theirs = _business(log), _business(clean)
    for stream in ours.keys() | theirs.keys():
        if ours.get(stream) != theirs.get(stream):
            pair = zip_longest(ours.get(stream, []), theirs.get(stream, []))
            number, one, other = next((n, a, b) for n, (a, b) in enumerate(pair, 1) if a != b)
            yield f"event {number} of stream {stream} is {one}, and in a clean run {other}"
    texts = [
        Counter(text for (text,) in each.query("SELECT text FROM dealtrace.vault")) for each in (log, clean)
    ]
    if texts[0] != texts[1]:
        yield f"the vault differs from that of a clean run: {texts[0] - texts[1]} / {texts[1] - texts[0]}"


def _business(log: Log) -> dict[UUID, list[str]]:
    return {stream: list(map(str, events)) for stream, events in log.business().items()}
