"""The figures of now are read from indexes alone: how long the history is does not matter to them."""

import psycopg
import pytest

from infra.postgres import Server
from projections.engine.rebuilding import rebuild
from projections.filters import NO_FILTERS, Filters
from projections.funnel import snapshot
from tests.benchmarks import history, selling

DEALS = 1_000
A_LOOK = 8
"""Pages that planning may look at, to learn where a column ends."""


@pytest.mark.parametrize("filters", [NO_FILTERS, Filters(owner=selling.owner(1))])
def test_the_funnel_now_does_not_touch_the_history_of_deals(database: Server, filters: Filters) -> None:
    history.write(database.owner_url, selling.rows(DEALS))
    rebuild(database.app_url, ["funnel", "playbook"])
    with psycopg.connect(database.app_url, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE)")
        before = touched(conn)
        shown = snapshot(conn, "tas_plus", as_of=selling.END, filters=filters)
        assert touched(conn) - before <= A_LOOK
        assert 0 < shown.total.deals <= DEALS


def touched(conn: psycopg.Connection) -> int:
    """How many pages of the history were looked at so far."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    ((pages,),) = conn.execute(
        "SELECT sum(heap_blks_hit + heap_blks_read) FROM pg_statio_user_tables WHERE relname ~ '^deal_states_'"
    ).fetchall()
    return int(pages)
