"""Which of 100 k open deals stay in their stage longer than its norm, beside the ages and means by SQL over the raw log."""

from typing import Any

import psycopg

from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from projections.dwell_alerts import overdue_deals
from projections.engine.rebuilding import rebuild
from tests.benchmarks import history, selling
from tests.benchmarks.pairs import console, percentiles, times

_RAW = """
WITH moves AS (
  SELECT originator_id AS deal, originator_version AS version, topic,
    convert_from(state, 'UTF8')::jsonb -> 'data' AS data,
    (convert_from(state, 'UTF8')::jsonb -> 'meta' ->> 'occurred_at')::timestamptz AS at
  FROM dealtrace.events WHERE topic IN ('deal.opened', 'deal.stage_advanced', 'deal.won', 'deal.lost')
), visits AS (
  SELECT deal, coalesce(data ->> 'to_stage', data ->> 'stage') AS stage, topic, at,
    lead(at) OVER (PARTITION BY deal ORDER BY version) AS left_at
  FROM moves
), norms AS (
  SELECT stage, avg(left_at - at) AS norm FROM visits
  WHERE topic NOT IN ('deal.won', 'deal.lost') AND left_at > %(at)s - interval '365 days' GROUP BY stage
)
SELECT count(*) FROM visits JOIN norms USING (stage)
WHERE topic NOT IN ('deal.won', 'deal.lost') AND left_at IS NULL AND %(at)s - at > norm"""


def run(server: Server, scale: float) -> None:
    """Print p50 and p99 of each."""
    deals = int(100_000 * scale)
    with scratch_database(server) as database:
        migrate(database.owner_url)
        history.write(database.owner_url, selling.rows(deals))
        rebuild(database.app_url)
        with psycopg.connect(database.owner_url, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
        with psycopg.connect(database.app_url, autocommit=True) as conn:
            found = len(overdue_deals(conn, "tas_plus", as_of=selling.END, full=True)[1])
            assert found == _raw(conn), "the peer says the same"
            console.print(
                f"dwell alerts of {deals:,} open deals: {found:,} stay longer than the norm of their stage"
            )
            figures = {
                "the default list": times(lambda: overdue_deals(conn, "tas_plus", as_of=selling.END), 20),
                "SQL over the raw log": times(lambda: _raw(conn), 3),
            }
    for name, seconds in figures.items():
        console.print(f"  {name:<22} {percentiles(seconds)}")
    console.print("no aim was set\n")


def _raw(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute(_RAW, {"at": selling.END}).fetchone()
    assert row is not None
    return int(row[0])
