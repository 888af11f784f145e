"""Questions about the machinery: the log, the projections, and whether everything can be served."""

import msgspec

from api import params as p
from api.asked import Connection, position_of
from api.roles import OPERATORS, require_role
from domain.event import Actor
from infra.event_store import Head, read_head
from infra.migrations import not_applied
from projections.engine.adopting import foreign
from projections.engine.catalogue import catalogue
from projections.engine.preparing import waiting
from projections.engine.status import ProjectionStatus, status

MOST_LAG_SECONDS = 60.0
"""Beyond that a projection does not keep up."""


class Projections(msgspec.Struct, frozen=True):
    """Where every projection stands."""

    position: int
    projections: list[ProjectionStatus]


def projections(conn: Connection, params: p.NoParams, viewer: Actor) -> Projections:  # noqa: ARG001 -- asked like all
    """How far each projection has come, whether it is complete, and whether anything is parked. Not for reps."""
    require_role(viewer, OPERATORS, "see how the projections stand")
    found = status(conn)
    return Projections(read_head(conn).position, found)


def log(conn: Connection, params: p.NoParams) -> Head:  # noqa: ARG001 -- asked like all
    """Where the log stands: its id, epoch, position and the time of its last event."""
    return read_head(conn)


class Readiness(msgspec.Struct, frozen=True):
    """Whether everything can be served; `missing` says in sentences what can not."""

    position: int
    missing: list[str]


def readiness(conn: Connection) -> Readiness:
    """The database answers, it is migrated, and the projections keep up."""
    if todo := not_applied(conn):
        return Readiness(0, [f"The database lacks the migrations {todo}: run dealtrace migrate."])
    versions = {projection.name: projection.version for projection in catalogue().values()}
    missing = [
        f"The projection {f.projection} stands on another log: run dealtrace projections adopt-log."
        for f in foreign(conn)
        if f.version == versions.get(f.projection)
    ]
    missing += (beside := waiting(conn))
    live = {
        s.projection: s for s in status(conn) if s.state == "live" and s.version == versions.get(s.projection)
    }
    for name in versions:
        if any(sentence.startswith(f"{name} v") for sentence in beside):
            continue
        if name not in live:
            missing.append(f"The projection {name} has not begun: is the projector running?")
        elif not live[name].complete:
            missing.append(f"The projection {name} has skipped events: rebuild it.")
        elif live[name].lag_seconds > MOST_LAG_SECONDS:
            missing.append(f"The projection {name} lies {live[name].lag_seconds:.0f} s behind the log.")
    return Readiness(read_head(conn).position, missing)


class Reflected(msgspec.Struct, frozen=True):
    """Up to where every answer reflects the log (the position of the slowest projection), and where the log ends."""

    position: int
    head: int


def reflected(conn: Connection) -> Reflected:
    """How far the answers have come."""
    return Reflected(position_of(conn, *catalogue().values()), read_head(conn).position)
