"""The weekly win-rate curve of one deal, and of a team of 5,000 deals over a year, beside one week of it by SQL over the raw log."""

from typing import Any
from uuid import UUID

import psycopg

from infra.postgres import Server
from projections.filters import Filters
from projections.win_rate_weeks import curve, weekly
from tests.benchmarks import selling
from tests.benchmarks.asking import asking, tell
from tests.benchmarks.pairs import console

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
    deals, now = int(5_000 * scale), selling.END
    team = Filters(region=selling.COMPARED)
    with asking(
        server, selling.rows(deals * 4, compared=deals), "funnel", "win_rates", "playbook"
    ) as session:
        one = _some_deal(session)
        told = weekly(session, "tas_plus", as_of=now, filters=team, weeks=WEEKS).weeks[-1]
        assert (told.deals, told.mean) == _raw(session), "the peer says the same"
        console.print(f"win rates of {deals:,} deals, {told.with_number:,} of them with a number at the end")
        tell(session, "curve of one deal", lambda conn: curve(conn, one, as_of=now), 300, "10 ms")
        tell(
            session,
            f"team, {WEEKS} weeks",
            lambda conn: weekly(conn, "tas_plus", as_of=now, filters=team, weeks=WEEKS),
            100,
            "300 ms",
        )
        tell(session, "SQL over the raw log, one week", _raw, 1)
    console.print()


def _raw(conn: psycopg.Connection[Any]) -> tuple[Any, ...]:
    row = conn.execute(_RAW, [selling.END, selling.COMPARED]).fetchone()
    assert row is not None
    return row


def _some_deal(conn: psycopg.Connection[Any]) -> UUID:
    query = "SELECT originator_id FROM dealtrace.events WHERE topic = 'deal.our_position_assessed' LIMIT 1"
    row = conn.execute(query).fetchone()
    assert row is not None
    return UUID(str(row[0]))
