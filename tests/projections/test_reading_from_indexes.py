"""The figures of now, and forecasts of any moment, are read from indexes alone: each deal's row lies on a page of its
own, so that looking it up costs more than all else."""

from datetime import timedelta

import psycopg
import pytest

from domain.forecast_sight import Sight
from infra.postgres import Server
from projections.engine.rebuilding import rebuild
from projections.filters import NO_FILTERS, Filters
from projections.forecast_rows import horizon, then
from projections.forecasting import forecast
from projections.funnel import snapshot
from tests.benchmarks import history, selling

DEALS = 1_000
LATER = f"{selling.END + timedelta(days=75):%Y-%m}"
"""A month in which nothing is won yet."""
ROWS_OF_A_DEAL = 8
"""At most."""
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


def test_a_forecast_of_any_moment_touches_only_what_is_expected_at_another_time_than_forecast(
    database: Server,
) -> None:
    """A history this short is as well read whole; of a long one it would be slow."""
    history.write(database.owner_url, selling.rows(DEALS))
    rebuild(database.app_url, ["funnel", "forecasts", "playbook", "organisation", "rate_sets", "deal_teams"])
    with psycopg.connect(database.app_url, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE)")
        conn.execute("SET enable_seqscan = off")
        conn.execute("SET enable_bitmapscan = off")
        for as_of in (selling.END - timedelta(days=ago) for ago in (0, 30, 200)):
            for known_at in (None, as_of):
                at, before = then(conn, "tas_plus", as_of, known_at), touched(conn)
                shown = forecast(conn, at, horizon(at, LATER), Sight(any=True, owners=None))
                pages, moved = touched(conn) - before, shown.lists.month_moved
                assert isinstance(moved, tuple)
                assert pages <= A_LOOK + ROWS_OF_A_DEAL * len(moved)
                assert min(shown.total.open_deals, len(shown.lists.undated)) > ROWS_OF_A_DEAL


def touched(conn: psycopg.Connection) -> int:
    """How many pages of the history were looked at so far."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    ((pages,),) = conn.execute(
        "SELECT sum(heap_blks_hit + heap_blks_read) FROM pg_statio_user_tables WHERE relname ~ '^deal_states_'"
    ).fetchall()
    return int(pages)
