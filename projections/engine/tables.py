"""The physical tables of a generation, and the views by which queries name the live one."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import Connection, sql

from projections.engine.description import SCHEMA, Projection, Table, view_names

STREAMS = "streams"
"""The engine's own column of a head table: the last version applied of each stream of the key, as JSON."""


def create_tables(conn: Connection[Any], projection: Projection, generation: int) -> None:
    """Make the generation's empty tables, without keys and indexes and left alone by autovacuum: they load faster so."""
    for table in projection.tables:
        columns = [
            sql.SQL("{} {}{}").format(
                sql.Identifier(c.name), sql.SQL(c.type), sql.SQL("" if c.nullable else " NOT NULL")
            )
            for c in table.columns
        ]
        options = _OFTEN_VACUUMED
        if table is projection.head:
            columns.append(sql.SQL("{} json NOT NULL").format(sql.Identifier(STREAMS)))
            options = sql.SQL("fillfactor = 80")  # room for updates beside the old row
        else:
            columns += [sql.SQL("{} timestamptz").format(sql.Identifier(name)) for name in table.witnesses]
        conn.execute(
            sql.SQL("CREATE TABLE {} ({}) WITH (autovacuum_enabled = false, {})").format(
                projection.physical(table, generation), sql.SQL(", ").join(columns), options
            )
        )


_OFTEN_VACUUMED = sql.SQL(
    "autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05"
)
"""So that queries may answer from the indexes alone."""


def index_statements(projection: Projection, table: Table, generation: int) -> list[sql.Composed]:
    """What makes a table of the generation ready for use: its key and indexes, and autovacuum."""
    physical = projection.physical(table, generation)
    key = sql.SQL(", ").join(map(sql.Identifier, table.key))
    return [
        sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(physical, key),
        *(sql.SQL("CREATE INDEX ON {} {}").format(physical, sql.SQL(index)) for index in table.indexes),
        sql.SQL("ALTER TABLE {} RESET (autovacuum_enabled)").format(physical),
    ]


def show(conn: Connection[Any], projection: Projection, generation: int) -> None:
    """Let the views of this version show the generation.

    Each asks once whether it answers: a snapshot from before a switch fails (serialization_failure), for whoever reads
    to read again, where it would miss the newest rows of tables that were not the live ones yet.
    """
    answers = sql.SQL("(SELECT {}({}, {}, {}))").format(
        sql.Identifier(SCHEMA, "answers"), projection.name, projection.version, generation
    )
    for table in projection.tables:
        view, witnessed = view_names(table.name, projection.version)
        physical = projection.physical(table, generation)
        _show(conn, view, list(map(sql.Identifier, table.names)), physical, answers)
        if table is not projection.head:
            _show(conn, witnessed, _as_witnessed(table), physical, answers)


def _show(
    conn: Connection[Any],
    view: sql.Identifier,
    columns: Sequence[sql.Composable],
    physical: sql.Identifier,
    answers: sql.Composed,
) -> None:
    conn.execute(
        sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {} WHERE {}").format(
            view, sql.SQL(", ").join(columns), physical, answers
        )
    )


def _as_witnessed(table: Table) -> list[sql.Composable]:
    """The columns of a history table, where times of knowledge are those at which the log itself came to know."""
    return [
        sql.SQL("coalesce({}, {}) AS {}").format(*map(sql.Identifier, (witness, name, name)))
        if (witness := table.witnessed_by.get(name))
        else sql.Identifier(name)
        for name in table.names
    ]


def shown(conn: Connection[Any], projections: Iterable[Projection]) -> set[str]:
    """The names of those projections that have their views."""
    views = [(p.name, p.view(t.name).as_string(conn)) for p in projections for t in p.tables]
    missing = conn.execute(
        "SELECT projection FROM unnest(%s::text[], %s::text[]) AS w(projection, view) WHERE to_regclass(view) IS NULL",
        [[name for name, _ in views], [view for _, view in views]],
    ).fetchall()
    return {name for name, _ in views} - {name for (name,) in missing}


def drop_unused(conn: Connection[Any], projections: Iterable[Projection]) -> None:
    """Remove tables of generations that no checkpoint knows: a switch was interrupted before it could."""
    for projection in projections:
        kept = conn.execute(
            "SELECT generation FROM projection.checkpoints WHERE (projection, version) = (%s, %s)",
            [projection.name, projection.version],
        ).fetchall()
        for table in projection.tables:
            for (name,) in conn.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ %s",
                [SCHEMA, f"^{table.name}_v{projection.version}_g[0-9]+$"],
            ).fetchall():
                if (int(name.rpartition("g")[2]),) not in kept:
                    conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, name)))


def drop_tables(conn: Connection[Any], projection: Projection, generation: int) -> None:
    """Remove a generation's tables, which no view shows any more."""
    for table in projection.tables:
        conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(projection.physical(table, generation)))
