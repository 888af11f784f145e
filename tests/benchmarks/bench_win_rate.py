"""The weekly win-rate curve of one deal, and of a team of 5,000 deals over a year, beside one week of it by SQL over the raw log."""

from typing import Any
from uuid import UUID

import psycopg

from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from projections.engine.rebuilding import rebuild
from projections.filters import Filters
from projections.win_rate_weeks import curve, weekly
from tests.benchmarks import history, selling
from tests.benchmarks.pairs import console, percentiles, times

WEEKS = 52
_RAW = """
WITH facts AS (
  SELECT originator_id AS deal, originator_version AS version, topic,
    convert_from(state, 'UTF8')::jsonb -> 'data' AS data
  FROM dealtrace.events WHERE topic LIKE 'deal.%%'
    AND (convert_from(state, 'UTF8')::jsonb -> 'meta' ->> 'occurred_at')::timestamptz <= %s
), deals AS (
  SELECT deal,
    (array_agg(coalesce(data -> 'to_amount' ->> 'amount', data -> 'amount' ->> 'amount')::numeric
      ORDER BY version DESC) FILTER (WHERE topic IN ('deal.opened', 'deal.amount_revised')))[1] AS amount,
    (array_agg((data -> 'result' -> 'win_rate' ->> 'value')::numeric
      ORDER BY version DESC) FILTER (WHERE data ? 'result'))[1] AS rate,
    bool_or(data ->> 'region' = %s) AS ours, bool_or(topic IN ('deal.won', 'deal.lost')) AS closed
  FROM facts GROUP BY deal
)
SELECT count(*), round(sum(amount * rate) / sum(amount) FILTER (WHERE rate IS NOT NULL), 4)
FROM deals WHERE ours AND NOT closed"""


def run(server: Server, scale: float) -> None:
    """Print p50 and p99 of each."""
    deals = int(5_000 * scale)
    with scratch_database(server) as database:
        migrate(database.owner_url)
        history.write(database.owner_url, selling.rows(deals * 4, compared=deals))
        rebuild(database.app_url)
        with psycopg.connect(database.owner_url, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
        with psycopg.connect(database.app_url, autocommit=True) as conn:
            one = _some_deal(conn)
            team = Filters(region=selling.COMPARED)
            told = weekly(conn, "tas_plus", as_of=selling.END, filters=team, weeks=WEEKS).weeks[-1]
            assert (told.deals, told.mean) == _raw(conn), "the peer says the same"
            console.print(
                f"win rates of {deals:,} deals, {told.with_number:,} of them with a number at the end"
            )
            figures = {
                "curve of one deal": times(lambda: curve(conn, one, as_of=selling.END), 300),
                f"team, {WEEKS} weeks": times(
                    lambda: weekly(conn, "tas_plus", as_of=selling.END, filters=team, weeks=WEEKS), 50
                ),
                "SQL over the raw log, one week": times(lambda: _raw(conn), 3),
            }
    for name, seconds in figures.items():
        console.print(f"  {name:<30} {percentiles(seconds)}")
    console.print("aim: one deal under 10 ms, the team under 300 ms\n")


def _raw(conn: psycopg.Connection[Any]) -> tuple[Any, ...]:
    row = conn.execute(_RAW, [selling.END, selling.COMPARED]).fetchone()
    assert row is not None
    return row


def _some_deal(conn: psycopg.Connection[Any]) -> UUID:
    query = "SELECT originator_id FROM dealtrace.events WHERE topic = 'deal.our_position_assessed' LIMIT 1"
    row = conn.execute(query).fetchone()
    assert row is not None
    return UUID(str(row[0]))
