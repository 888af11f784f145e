"""A release beside another one: its versions of projections, once filled, answer all at once, or no more.

Each release touches only its own versions' tables, so the other one goes on serving and projecting its own. What is
filled (`preparing.prepare`) follows the log and answers nobody until the switch, and again after a rollback.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from infra.event_store import read_head
from projections.engine.catalogue import chosen
from projections.engine.checkpoints import Checkpoint, checkpoints, refuse_foreign, set_state
from projections.engine.comparing import Disagreement, disagreements
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.preparing import unfilled
from projections.engine.rebuilding import advance
from projections.engine.running import run_to_head

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
            set_state(conn, projection, "ready", "live")
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
            set_state(conn, projection, "live", "ready")
        _record(conn, "rollback", moved, despite, tuple(late))
        return moved


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


def _moved(name: str, before: int | None, after: int, reached: Sequence[Checkpoint]) -> Moved:
    return Moved(name, before, after, min(c.position for c in reached if c.projection == name))


def _version(found: Sequence[Checkpoint], name: str) -> int | None:
    return next((c.version for c in found if c.projection == name), None)


def _of(projections: Sequence[Projection], found: Sequence[Checkpoint]) -> list[Projection]:
    names = {c.projection for c in found}
    return [p for p in projections if p.name in names]


def _record(
    conn: Connection[Any],
    what: str,
    moved: Sequence[Moved],
    reason: str | None,
    findings: Sequence[str],
) -> None:
    for one in moved:
        conn.execute(
            "INSERT INTO dealtrace.switches"
            " (what, projection, from_version, to_version, position, reason, findings)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                what, one.projection, one.from_version, one.to_version, one.position, reason,
                [f for f in findings if f.startswith(f"{one.projection} ")],
            ],
        )  # fmt: skip


def _named(projections: Sequence[Projection]) -> str:
    return ", ".join(f"{p.name} v{p.version}" for p in projections)
