"""Which of 100 k open deals stay in their stage longer than its norm, beside the ages and means by SQL over the raw log."""

from typing import Any

import psycopg

from infra.postgres import Server
from projections.dwell_alerts import overdue_deals
from tests.benchmarks import selling
from tests.benchmarks.asking import asking, tell
from tests.benchmarks.pairs import console

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
    deals, now = int(100_000 * scale), selling.END
    with asking(server, selling.rows(deals), "funnel", "visits", "playbook") as session:
        found = overdue_deals(session, "tas_plus", as_of=now, full=True, limit=0)[1]
        assert found == _raw(session), "the peer says the same"
        console.print(
            f"dwell alerts of {deals:,} open deals: {found:,} stay longer than the norm of their stage"
        )
        tell(
            session,
            "the default list, a page",
            lambda conn: overdue_deals(conn, "tas_plus", as_of=now, limit=50),
            50,
        )
        tell(
            session,
            "all alerts, a page",
            lambda conn: overdue_deals(conn, "tas_plus", as_of=now, full=True, limit=50),
            50,
        )
        tell(session, "SQL over the raw log", _raw, 1)
    console.print("no aim was set\n")


def _raw(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute(_RAW, {"at": selling.END}).fetchone()
    assert row is not None
    return int(row[0])
