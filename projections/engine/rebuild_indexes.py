"""The second half of a rebuild: keys and indexes for the tables that were loaded."""

from typing import Any, Protocol

from psycopg import Connection, sql

from projections.engine.connecting import connect
from projections.engine.description import Projection, Table
from projections.engine.rebuild_plan import Plan
from projections.engine.tables import index_statements

_LARGEST_FIRST = (
    "SELECT n FROM unnest(%s::regclass[]) WITH ORDINALITY AS t(oid, n) ORDER BY pg_relation_size(oid) DESC"
)
_CLAIM = f"SELECT pg_try_advisory_xact_lock({0x696E6478}, %s::regclass::oid::int)"  # "indx": any constant
_DONE = "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = %s::regclass AND indisprimary)"
_INDEXING = """
SET LOCAL maintenance_work_mem = '128MB';
SET LOCAL max_parallel_maintenance_workers = 0"""  # several tables are done at the same time as it is
_SAMPLE = "SET default_statistics_target = 30"
"""For the planner's first look at a table: 9,000 rows. Autovacuum takes its usual sample once the table has grown."""


class _Stop(Protocol):
    def is_set(self) -> bool: ...


def index_tables(app_url: str, plan: Plan, wanted: list[Projection], stop: _Stop) -> None:
    """Give one table after the other its key and indexes, but those that have them or that another process is at."""
    tables = [(p, table) for p in wanted for table in p.tables]
    with connect(app_url) as conn:
        if not conn.pooled:  # there it would be somebody else's setting next
            conn.execute(_SAMPLE)
        names = [p.physical(table, plan.generations[p.name]).as_string(conn) for p, table in tables]
        for (number,) in conn.execute(_LARGEST_FIRST, [names]).fetchall():
            if stop.is_set():
                return
            projection, table = tables[number - 1]
            if _index(conn, projection, table, plan.generations[projection.name], names[number - 1]):
                # So that queries may answer from the indexes alone. The indexes' transaction waited for the disk, and
                # with it those that loaded the rows: before, VACUUM would not take them as visible to all.
                conn.execute(
                    sql.SQL("VACUUM (ANALYZE) {}").format(
                        projection.physical(table, plan.generations[projection.name])
                    )
                )


def _index(conn: Connection[Any], projection: Projection, table: Table, generation: int, name: str) -> bool:
    with conn.transaction():
        # One after the other: what is done is seen as it is once the table is ours.
        if conn.execute(_CLAIM, [name]).fetchone() != (True,) or conn.execute(_DONE, [name]).fetchone() == (
            True,
        ):
            return False
        conn.execute(
            sql.SQL("; ").join([sql.SQL(_INDEXING), *index_statements(projection, table, generation)])
        )
    return True
