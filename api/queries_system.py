"""Questions about the machinery: the log, the projections, and whether everything can be served."""

import msgspec

from api import params as p
from api.asked import Connection, position_of
from api.roles import OPERATORS, require_role
from domain.event import Actor
from infra.event_store import Head, read_head
from infra.migrations import not_applied
from projections.engine.catalogue import catalogue
from projections.engine.readiness import not_ready
from projections.engine.status import ProjectionStatus, status


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
    return Readiness(read_head(conn).position, not_ready(conn))


class Reflected(msgspec.Struct, frozen=True):
    """Up to where every answer reflects the log (the position of the slowest projection), and where the log ends."""

    position: int
    head: int


def reflected(conn: Connection) -> Reflected:
    """How far the answers have come."""
    return Reflected(position_of(conn, *catalogue().values()), read_head(conn).position)
