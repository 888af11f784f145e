"""Dropping what other releases keep here, once none of them is to serve again."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection, sql

from projections.engine.catalogue import chosen
from projections.engine.checkpoints import checkpoints
from projections.engine.connecting import connect
from projections.engine.description import SCHEMA, Projection, view_names

STILL_SECONDS = 60
"""A version whose checkpoint moved within this time is somebody's who still runs."""

_OTHERS = """
SELECT v.projection, v.version, v.tables,
       bool_or(coalesce(c.state IN ('live', 'ready') AND c.updated_at > clock_timestamp() - make_interval(secs => %s),
                        false))
FROM projection.versions v LEFT JOIN projection.checkpoints c USING (projection, version)
WHERE (v.projection, v.version) NOT IN (SELECT * FROM unnest(%s::text[], %s::int[]))
GROUP BY v.projection, v.version, v.tables ORDER BY 1, 2"""


class StillServing(Exception):
    """What is to be retired serves, or somebody follows the log with it."""


class Gone(msgspec.Struct, frozen=True):
    """A version whose tables were dropped."""

    projection: str
    version: int
    tables: int


def retire(
    app_url: str, projections: Sequence[Projection] | None = None, *, running_too: bool = False
) -> list[Gone]:
    """Drop every version that is not of this release, and remember that it is gone; what was dropped.

    Interrupted, the next call goes on. Raises StillServing when this release does not answer with all of its
    projections, when a later switch was to another one, or when another's projector still runs (`running_too` drops
    its tables all the same).
    """
    wanted = list(projections or chosen())
    with connect(app_url) as conn:
        _refuse_unless_ours(conn, wanted)
        others = conn.execute(
            _OTHERS, [STILL_SECONDS, [p.name for p in wanted], [p.version for p in wanted]]
        ).fetchall()
        if moving := [
            f"{name} v{version}" for name, version, _, moves in others if moves and not running_too
        ]:
            raise StillServing(
                f"Another release still follows the log, or did so within the last {STILL_SECONDS} s, with"
                f" {', '.join(moving)}."
            )
        return [
            _drop(conn, name, version, tables, {p.name: p.version for p in wanted}.get(name))
            for name, version, tables, _ in others
        ]


def _refuse_unless_ours(conn: Connection[Any], wanted: Sequence[Projection]) -> None:
    live = {c.projection for c in checkpoints(conn, wanted, "live")}
    if silent := [f"{p.name} v{p.version}" for p in wanted if p.name not in live]:
        raise StillServing(f"This release does not answer with {', '.join(silent)} yet.")
    last = conn.execute(
        "SELECT DISTINCT ON (projection) projection, to_version FROM dealtrace.switches"
        " WHERE what <> 'retire' ORDER BY projection, number DESC"
    ).fetchall()
    own = {p.name: p.version for p in wanted}
    if later := [f"{name} v{version}" for name, version in last if name in own and own[name] != version]:
        raise StillServing(f"The last switch was to another release, with {', '.join(later)}.")


def _drop(conn: Connection[Any], name: str, version: int, tables: list[str], ours: int | None) -> Gone:
    of_it = [name, version]
    with conn.transaction():
        (position,) = conn.execute(
            "SELECT coalesce(max(position), 0) FROM projection.checkpoints WHERE (projection, version) = (%s, %s)",
            of_it,
        ).fetchall()[0]
        conn.execute("DELETE FROM projection.parked WHERE (projection, version) = (%s, %s)", of_it)
        conn.execute(
            "DELETE FROM projection.rebuilds WHERE (targets -> %s::text ->> 'version')::int = %s::int", of_it
        )
        conn.execute(
            "DELETE FROM projection.checkpoints WHERE (projection, version) = (%s, %s) AND state = 'building'",
            of_it,
        )
        conn.execute(
            "UPDATE projection.checkpoints SET state = 'retired', position = 0, applied = 0, ignored = 0, parked = 0,"
            " elsewhere = 0, updated_at = clock_timestamp() WHERE (projection, version) = (%s, %s)",
            of_it,
        )
        conn.execute(
            "INSERT INTO dealtrace.switches (what, projection, from_version, to_version, position)"
            " VALUES ('retire', %s, %s, %s, %s)",
            [*of_it, ours, position],
        )
    # From here on nobody gets an answer out of these tables; whoever still reads them finishes first.
    for table in tables:
        for view in view_names(table, version):
            conn.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
        for (physical,) in conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ %s",
            [SCHEMA, f"^{table}_v{version}_g[0-9]+$"],
        ).fetchall():
            conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, physical)))
    conn.execute("DELETE FROM projection.versions WHERE (projection, version) = (%s, %s)", of_it)
    return Gone(name, version, len(tables))
