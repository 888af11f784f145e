"""What was switched to, taken back and retired, and why: the memory of the releases of this database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import Connection

from projections.engine.catalogue import chosen
from projections.engine.checkpoints import checkpoints
from projections.engine.description import Projection


class Switch(msgspec.Struct, frozen=True):
    """That a version was let answer, taken back (`rollback`) or retired, at a position of the log; or that it answers since
    a backup was restored (`restored`).

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
        " FROM dealtrace.switches ORDER BY number"
    ).fetchall()
    return [Switch(*row) for row in rows]


def remember_restored(conn: Connection[Any], projections: Sequence[Projection]) -> None:
    """Remember that these versions answer on a restored log where, by what is remembered, others would."""
    conn.execute(
        "INSERT INTO dealtrace.switches (what, projection, from_version, to_version, position)"
        " SELECT 'restored', last.projection, last.to_version, w.version, h.position"
        " FROM (SELECT DISTINCT ON (projection) projection, to_version FROM dealtrace.switches"
        "       WHERE what <> 'retire' ORDER BY projection, number DESC) last"
        " JOIN unnest(%s::text[], %s::int[]) AS w(projection, version) USING (projection), dealtrace.log_head h"
        " WHERE last.to_version <> w.version",
        [[p.name for p in projections], [p.version for p in projections]],
    )


def taken_back(conn: Connection[Any], projections: Sequence[Projection] | None = None) -> list[str]:
    """The projections whose version of this release was rolled back and is not to answer until somebody says so."""
    rows = conn.execute(
        "SELECT DISTINCT ON (projection) projection, what, from_version FROM dealtrace.switches"
        " WHERE what <> 'retire' ORDER BY projection, number DESC"
    ).fetchall()
    last = {(name, version) for name, what, version in rows if what == "rollback"}
    ready = checkpoints(conn, projections or chosen(), "ready")
    return sorted({c.projection for c in ready if (c.projection, c.version) in last})
