"""A release beside another one: its versions of projections are filled, then all of them answer at once, or no more.

Each release touches only its own versions' tables, so the other one goes on serving and projecting its own. What is
filled follows the log (`ready`) and answers nobody until the switch, and again after a rollback.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from threading import Event as Flag
from typing import Any

import msgspec
from psycopg import Connection

from infra.event_store import read_head
from projections.engine.catalogue import chosen
from projections.engine.checkpoints import Checkpoint, checkpoints, ensure, refuse_foreign
from projections.engine.comparing import Disagreement, disagreements
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.rebuild_plan import forget, make_plan, open_plan
from projections.engine.rebuilding import RANGE_EVENTS, Progress, advance, catch_up, load, only_one
from projections.engine.running import run_to_head
from projections.engine.status import status
from projections.engine.tables import drop_unused, show

PATIENCE_SECONDS = 10.0
"""For so long a switch or rollback waits until the version that is to answer has the position of the other one."""
_POLL_SECONDS = 0.02


class NotReady(Exception):
    """The versions of this release are not filled, or the ones to go back to are not up to date."""


class NothingToDo(Exception):
    """There is no version to take this one's place, or none that this one could take."""


class Moved(msgspec.Struct, frozen=True):
    """A projection that answers in another version than before, since a position of the log."""

    projection: str
    from_version: int | None
    to_version: int
    position: int


class Switch(msgspec.Struct, frozen=True):
    """That a version was let answer, taken back (`rollback`) or retired, at a position of the log.

    `reason` is what was given for doing it despite the `findings`.
    """

    at: datetime
    what: str
    projection: str
    from_version: int | None
    to_version: int | None
    position: int
    reason: str | None
    findings: list[str]


def switches(conn: Connection[Any]) -> list[Switch]:
    """Every switch, rollback and retirement here, the first one first."""
    rows = conn.execute(
        "SELECT at, what, projection, from_version, to_version, position, reason, findings"
        " FROM projection.switches ORDER BY number"
    ).fetchall()
    return [Switch(*row) for row in rows]


def unfilled(conn: Connection[Any], wanted: Sequence[Projection]) -> list[Projection]:
    """Those projections of which another version answers, and this one is neither answering nor ready to."""
    rows = conn.execute("SELECT DISTINCT projection, version, state FROM projection.checkpoints").fetchall()
    own = {(p.name, p.version) for p in wanted}
    done = {(name, version) for name, version, state in rows if state in ("ready", "live")}
    begun = {(name, version) for name, version, _ in rows} - done
    served = {name for name, version, state in rows if state == "live" and (name, version) not in own}
    return [
        p
        for p in wanted
        if (p.name, p.version) in begun or (p.name in served and (p.name, p.version) not in done)
    ]


def waiting(conn: Connection[Any], projections: Sequence[Projection] | None = None) -> list[str]:
    """Which projections of this release do not answer because another release's do, and why: each a sentence."""
    wanted = list(projections or chosen())
    empty = {p.name: p for p in unfilled(conn, wanted)}
    ready = {c.projection: c for c in checkpoints(conn, wanted, "ready")}
    if not empty and not ready:
        return []
    filled = {(s.projection, s.version): s.percent for s in status(conn, wanted) if s.state == "building"}
    sentences = []
    for projection in wanted:
        named = f"{projection.name} v{projection.version}"
        if projection.name in ready:
            sentences.append(f"{named} is filled and waits for dealtrace projections switch.")
        elif projection.name in empty:
            percent = filled.get((projection.name, projection.version), 0.0)
            sentences.append(f"{named} is filled to {percent:g} %: dealtrace projections prepare goes on.")
    return sentences


def prepare(
    app_url: str,
    projections: Sequence[Projection] | None = None,
    *,
    processes: int | None = None,
    range_events: int = RANGE_EVENTS,
    throttle: float = 0.0,
    progress: Progress | None = None,
    stop: Flag | None = None,
) -> list[str]:
    """Fill this release's versions beside those that answer; the names of the projections that were filled now.

    As `rebuilding.rebuild` does it, and resumable, throttled and cancellable like that. Nobody who reads or projects
    another release's versions notices. Brings back what was retired.

    Raises RebuildRunning, Cancelled, BrokenLog, UnknownTopic.
    """
    wanted = list(projections or chosen())
    with connect(app_url) as conn:
        if not unfilled(conn, wanted):
            ensure(conn, wanted)
            return []
    with only_one(app_url) as conn:
        if not (filling := unfilled(conn, wanted)):
            return []
        plan = open_plan(conn, filling) or make_plan(conn, filling, range_events)
        load(conn, app_url, plan, filling, processes, throttle, progress, stop)
        for projection in filling:
            catch_up(conn, projection, plan.generations[projection.name])
        with conn.transaction():
            for projection in filling:
                show(conn, projection, plan.generations[projection.name])
                _set_state(conn, projection, "building", "ready")
            forget(conn, plan)
        drop_unused(conn, filling)
        ensure(conn, wanted)
        return [p.name for p in filling]


def switch(
    app_url: str,
    projections: Sequence[Projection] | None = None,
    *,
    despite: str | None = None,
    patience: float = PATIENCE_SECONDS,
) -> list[Moved]:
    """Let this release's versions answer, all in one transaction; those that did not before.

    No answer goes back behind what the other version has answered: its projector waits during the switch, and the new
    version is brought to its position first. Then the two are compared. `despite` is the reason for which what
    disagrees is set aside; it is recorded with it. Raises NotReady, Disagreement, ForeignLog.
    """
    wanted = list(projections or chosen())
    with connect(app_url) as conn:
        if missing := unfilled(conn, wanted):
            raise NotReady(f"{_named(missing)} is not filled yet.")
        ready = _of(wanted, checkpoints(conn, wanted, "ready"))
    if not ready:
        return []
    run_to_head(app_url, projections=ready)  # so that hardly anything is left for the transaction
    with connect(app_url) as conn, conn.transaction():
        own = checkpoints(conn, ready, "ready", locked=True)
        ready = _of(ready, own)  # somebody else may have been quicker
        head = read_head(conn)
        for checkpoint in own:
            refuse_foreign(checkpoint, head)
        compared = {p.name for p in ready if p.invariants}
        others = _hold(
            conn, _serving_beside(conn, ready), [c for c in own if c.projection in compared], patience
        )
        for projection in ready:
            reach = max((c.position for c in others if c.projection == projection.name), default=0)
            advance(conn, projection, [c for c in own if c.projection == projection.name], reach)
        own = checkpoints(conn, ready, "ready")
        findings = disagreements(conn, ready, own, others)
        if findings and not despite:
            raise Disagreement(findings)
        moved = [_moved(p.name, _version(others, p.name), p.version, own) for p in ready]
        for projection in ready:
            _set_state(conn, projection, "ready", "live")
        _record(conn, "switch", moved, despite, findings)
        return moved


def roll_back(
    app_url: str,
    projections: Sequence[Projection] | None = None,
    *,
    despite: str | None = None,
    patience: float = PATIENCE_SECONDS,
) -> list[Moved]:
    """Take back the switch to this release: its versions answer no more, and go on following the log.

    The other release never stopped serving its own. Raises NothingToDo; and NotReady when the other versions do not
    come to the position of these, which `despite` sets aside for the reason that it gives.
    """
    wanted = list(projections or chosen())
    with connect(app_url) as conn, conn.transaction():
        live = checkpoints(conn, wanted, "live")
        beside = _serving_beside(conn, _of(wanted, live))
        leaving = [p for p in wanted if p.name in {c.projection for c in beside}]
        own = checkpoints(conn, leaving, "live", locked=True)
        if not leaving:
            raise NothingToDo("There is no other version of any projection to go back to.")
        others = _hold(conn, beside, own, patience)
        late = [f"{c.projection} v{c.version} at position {c.position:,}" for c in _behind(others, own)]
        if late and not despite:
            raise NotReady(f"The versions to go back to are not up to date: {', '.join(late)}.")
        moved = [_moved(p.name, p.version, _version(others, p.name) or 0, others) for p in leaving]
        for projection in leaving:
            _set_state(conn, projection, "live", "ready")
        _record(conn, "rollback", moved, despite, tuple(late))
        return moved


def taken_back(conn: Connection[Any], projections: Sequence[Projection] | None = None) -> list[str]:
    """The projections whose version of this release was rolled back and is not to answer until somebody says so."""
    rows = conn.execute(
        "SELECT DISTINCT ON (projection) projection, what, from_version FROM projection.switches"
        " WHERE what <> 'retire' ORDER BY projection, number DESC"
    ).fetchall()
    last = {(name, version) for name, what, version in rows if what == "rollback"}
    ready = checkpoints(conn, projections or chosen(), "ready")
    return sorted({c.projection for c in ready if (c.projection, c.version) in last})


def _serving_beside(conn: Connection[Any], projections: Sequence[Projection]) -> list[Checkpoint]:
    """The checkpoints of the newest other version of each projection that answers."""
    rows = conn.execute(
        "SELECT projection, max(version) FROM projection.checkpoints WHERE state = 'live'"
        " AND projection = ANY(%s) AND (projection, version) NOT IN (SELECT * FROM unnest(%s::text[], %s::int[]))"
        " GROUP BY projection",
        [
            [p.name for p in projections],
            [p.name for p in projections],
            [p.version for p in projections],
        ],
    ).fetchall()
    others = dict(rows)
    versions = [msgspec.structs.replace(p, version=others[p.name]) for p in projections if p.name in others]
    return checkpoints(conn, versions, "live")


def _hold(
    conn: Connection[Any], others: Sequence[Checkpoint], own: Sequence[Checkpoint], patience: float
) -> list[Checkpoint]:
    """Wait until the others have the positions of our own, which are held, then hold them too."""
    versions = [_as_projection(c) for c in others]
    deadline = time.monotonic() + patience
    while _behind(checkpoints(conn, versions, "live"), own) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return checkpoints(conn, versions, "live", locked=True)


def _behind(others: Sequence[Checkpoint], own: Sequence[Checkpoint]) -> list[Checkpoint]:
    reached: dict[str, int] = {}
    for c in own:
        reached[c.projection] = max(reached.get(c.projection, 0), c.position)
    return [c for c in others if c.position < reached.get(c.projection, 0)]


def _as_projection(c: Checkpoint) -> Projection:
    """As much of another release's projection as names its checkpoints."""
    return Projection(c.projection, c.version, frozenset(), lambda head, _, __: head)


def _set_state(conn: Connection[Any], projection: Projection, before: str, after: str) -> None:
    conn.execute(
        "UPDATE projection.checkpoints SET state = %s, updated_at = clock_timestamp()"
        " WHERE (projection, version, state) = (%s, %s, %s)",
        [after, projection.name, projection.version, before],
    )


def _record(
    conn: Connection[Any],
    what: str,
    moved: Sequence[Moved],
    reason: str | None,
    findings: Sequence[str],
) -> None:
    for one in moved:
        conn.execute(
            "INSERT INTO projection.switches"
            " (what, projection, from_version, to_version, position, reason, findings)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                what, one.projection, one.from_version, one.to_version, one.position, reason,
                [f for f in findings if f.startswith(f"{one.projection} ")],
            ],
        )  # fmt: skip


def _moved(name: str, before: int | None, after: int, reached: Sequence[Checkpoint]) -> Moved:
    return Moved(name, before, after, min(c.position for c in reached if c.projection == name))


def _version(found: Sequence[Checkpoint], name: str) -> int | None:
    return next((c.version for c in found if c.projection == name), None)


def _of(projections: Sequence[Projection], found: Sequence[Checkpoint]) -> list[Projection]:
    names = {c.projection for c in found}
    return [p for p in projections if p.name in names]


def _named(projections: Sequence[Projection]) -> str:
    return ", ".join(f"{p.name} v{p.version}" for p in projections)
