"""Projections that stand on another log than the one that is here: found, kept from answering, and begun anew."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from infra.event_store import read_head
from projections.engine.catalogue import catalogue
from projections.engine.checkpoints import begin
from projections.engine.connecting import connect
from projections.engine.description import SCHEMA, Projection, view_names
from projections.engine.rebuilding import rebuild
from projections.engine.running import run_to_head
from projections.engine.switches import remember_restored
from projections.engine.tables import drop_tables

_FOREIGN = """
SELECT c.projection, c.version, max(c.position), c.log_id, c.epoch
FROM projection.checkpoints c, dealtrace.log_head h
WHERE ((c.log_id, c.epoch) <> (h.log_id, h.epoch) OR c.position > h.position) AND c.state <> 'retired'
GROUP BY c.projection, c.version, c.log_id, c.epoch
ORDER BY c.projection, c.version, c.epoch"""

SMALL = 20_000
"""Up to so many events, starting the processes of a rebuild takes longer than to apply them."""

Progress = Callable[[int, int], None]


class Foreign(msgspec.Struct, frozen=True):
    """A projection that stands at a position of another log, or of this one in another epoch."""

    projection: str
    version: int
    position: int
    log_id: UUID
    epoch: int


def foreign(conn: Connection[Any]) -> list[Foreign]:
    """The projections, of any release, that belong to another log or epoch than the one here, or are ahead of it."""
    return [Foreign(*row) for row in conn.execute(_FOREIGN).fetchall()]


def highest_epoch(conn: Connection[Any], log_id: UUID) -> int:
    """The highest epoch of a log that any projection here has seen; 0 for none, or where nothing was migrated."""
    if conn.execute("SELECT to_regclass('projection.checkpoints')").fetchone() == (None,):
        return 0
    row = conn.execute(
        "SELECT coalesce(max(epoch), 0) FROM projection.checkpoints WHERE log_id = %s", [log_id]
    ).fetchone()
    return int(row[0]) if row else 0


def turn_away(conn: Connection[Any]) -> None:
    """Keep projections of another log from answering: the views by which queries name their tables go.

    Done by the owner, in the transaction that puts another log here. Where no projection holds anything yet (all stand
    at position 0), all of them simply belong to the new log.
    """
    anything = "SELECT EXISTS (SELECT FROM projection.checkpoints WHERE position > 0 OR state <> 'live')"
    if conn.execute(anything).fetchone() == (False,):
        conn.execute(
            "UPDATE projection.checkpoints SET (log_id, epoch) = (SELECT log_id, epoch FROM dealtrace.log_head)"
        )
        return
    for (view,) in conn.execute("SELECT viewname FROM pg_views WHERE schemaname = %s", [SCHEMA]).fetchall():
        conn.execute(sql.SQL("DROP VIEW {}").format(sql.Identifier(SCHEMA, view)))


def adopt_log(app_url: str, *, progress: Progress | None = None) -> list[str]:
    """Let this release's projections of another log begin anew on the log that is here; the names of those that did.

    What they held is dropped. From then on they belong to this log, so an interruption leaves projections that are
    behind, and the projector or a rebuild brings them up.
    """
    with connect(app_url) as conn, conn.transaction():
        theirs = {(f.projection, f.version) for f in foreign(conn)}
        wanted = [p for p in catalogue().values() if (p.name, p.version) in theirs]
        for projection in wanted:
            begin(conn, projection, read_head(conn), _forget(conn, projection))
    if wanted:
        make_from_log(app_url, wanted, progress=progress)
    return [p.name for p in wanted]


def make_from_log(app_url: str, wanted: Sequence[Projection], *, progress: Progress | None = None) -> None:
    """Bring projections that hold nothing yet to the head of the log, by the shorter way."""
    with connect(app_url) as conn:
        events = read_head(conn).position
    if events > SMALL:
        rebuild(app_url, [p.name for p in wanted], progress=progress)
    run_to_head(app_url, projections=wanted, progress=progress)
    with connect(app_url) as conn:
        remember_restored(conn, wanted)


def _forget(conn: Connection[Any], projection: Projection) -> int:
    """Drop whatever this version of the projection has, of every generation; the number of its slices."""
    version = [projection.name, projection.version]
    gone = conn.execute(
        "DELETE FROM projection.checkpoints WHERE (projection, version) = (%s, %s) RETURNING generation, slices",
        version,
    ).fetchall()
    conn.execute("DELETE FROM projection.parked WHERE (projection, version) = (%s, %s)", version)
    conn.execute(
        "DELETE FROM projection.rebuilds WHERE (targets -> %s::text ->> 'version')::int = %s::int", version
    )
    for table in projection.tables:
        for view in view_names(table.name, projection.version):
            conn.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
    for generation in {generation for generation, _ in gone}:
        drop_tables(conn, projection, generation)
    return max(int(slices) for _, slices in gone)
