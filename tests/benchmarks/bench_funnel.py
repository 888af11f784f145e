"""The funnel now and as of a moment at 100 k deals, beside the same answer by SQL over the raw log."""

from datetime import timedelta

import psycopg

from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from projections.engine.rebuilding import rebuild
from projections.funnel import snapshot
from tests.benchmarks import history
from tests.benchmarks.pairs import console, percentiles, times

EVENTS_PER_DEAL = 10.6

_RAW = """
WITH facts AS (
  SELECT originator_id AS deal, originator_version AS version, topic,
    convert_from(state, 'UTF8')::jsonb -> 'data' AS data
  FROM dealtrace.events
  WHERE topic LIKE 'deal.%%' AND topic <> 'deal.activity_logged'
    AND (convert_from(state, 'UTF8')::jsonb -> 'meta' ->> 'occurred_at')::timestamptz <= %s
), deals AS (
  SELECT deal,
    (array_agg(coalesce(data ->> 'to_stage', data ->> 'stage') ORDER BY version DESC)
      FILTER (WHERE data ? 'to_stage' OR data ? 'stage'))[1] AS stage,
    (array_agg(coalesce(data -> 'to_amount' ->> 'amount', data -> 'amount' ->> 'amount')::numeric
      ORDER BY version DESC) FILTER (WHERE topic IN ('deal.opened', 'deal.amount_revised')))[1] AS amount,
    (array_agg(data ->> 'account_id' ORDER BY version) FILTER (WHERE topic = 'deal.opened'))[1] AS account,
    bool_or(topic IN ('deal.won', 'deal.lost', 'deal.abandoned')) AS closed
  FROM facts GROUP BY deal
)
SELECT stage, count(*), count(DISTINCT account), sum(amount) FROM deals WHERE NOT closed GROUP BY stage"""


def run(server: Server, scale: float) -> None:
    """Print p50 and p99 of each."""
    deals = int(100_000 * scale)
    with scratch_database(server) as database:
        migrate(database.owner_url)
        history.fill(database.owner_url, int(deals * EVENTS_PER_DEAL))
        rebuild(database.app_url)
        with psycopg.connect(database.app_url, autocommit=True) as conn:
            end = history.START + timedelta(days=8 * 365)
            middle = history.START + timedelta(days=900)
            total = snapshot(conn, "tas_plus", as_of=end).total
            console.print(f"funnel of {deals:,} deals, {total.deals:,} of them open")
            raw = times(lambda: conn.execute(_RAW, [middle]).fetchall(), 3)
            now = times(lambda: snapshot(conn, "tas_plus", as_of=end), 200)
            known = times(lambda: snapshot(conn, "tas_plus", as_of=middle), 50)
            both = times(lambda: snapshot(conn, "tas_plus", as_of=middle, known_at=middle), 50)
    for name, seconds in (
        ("now", now),
        ("as of", known),
        ("as of, as known at", both),
        ("SQL over the raw log", raw),
    ):
        console.print(f"  {name:<22} {percentiles(seconds)}")
    console.print("aim: now p99 under 20 ms\n")
