"""F1 and F2 of a month at 100 k open deals, now and as of a moment, beside the same sums by SQL over the raw log."""

from datetime import datetime, timedelta
from typing import Any

import psycopg

from domain.forecast_sight import Sight
from infra.postgres import Server
from projections.forecast_rows import horizon, then
from projections.forecasting import Forecast, forecast
from tests.benchmarks import selling
from tests.benchmarks.asking import asking, tell
from tests.benchmarks.pairs import console

DIRECTOR = Sight(any=True, own=frozenset({"director-1"}), owners=None)
MONTH = f"{selling.END + timedelta(days=75):%Y-%m}"

_RAW = """
WITH facts AS (
  SELECT originator_id AS stream, originator_version AS version, topic, convert_from(state, 'UTF8')::jsonb AS e
  FROM dealtrace.events WHERE topic LIKE 'deal.%%' OR topic LIKE 'forecast.%%'
), past AS (
  SELECT stream, version, topic, e -> 'data' AS data FROM facts WHERE (e -> 'meta' ->> 'occurred_at')::timestamptz <= %s
), deals AS (
  SELECT stream AS deal,
    (array_agg(coalesce(data -> 'to_amount' ->> 'amount', data -> 'amount' ->> 'amount')::numeric
      ORDER BY version DESC) FILTER (WHERE topic IN ('deal.opened', 'deal.amount_revised')))[1] AS amount,
    (array_agg(coalesce(data ->> 'to_date', data ->> 'expected_close')
      ORDER BY version DESC) FILTER (WHERE topic IN ('deal.opened', 'deal.expected_close_revised')))[1]::date AS close,
    bool_or(topic IN ('deal.won', 'deal.lost')) AS closed
  FROM past WHERE topic LIKE 'deal.%%' GROUP BY stream
), forecasts AS (
  SELECT DISTINCT ON (stream) (data ->> 'deal_id')::uuid AS deal, data -> 'forecast' ->> 'month' AS month,
    (data -> 'forecast' -> 'amount' ->> 'amount')::numeric AS amount
  FROM past WHERE topic = 'forecast.set' ORDER BY stream, version DESC
)
SELECT coalesce(sum(f.amount) FILTER (WHERE f.month = to_char(d.close, 'YYYY-MM')), 0), sum(d.amount * 0.25)
FROM deals d LEFT JOIN forecasts f USING (deal)
WHERE NOT d.closed AND to_char(d.close, 'YYYY-MM') = %s"""


def run(server: Server, scale: float) -> None:
    """Print p50 and p99 of each."""
    deals = int(100_000 * scale)
    now, before = selling.END, selling.END - timedelta(days=30)
    needed = ("funnel", "forecasts", "rate_sets", "organisation", "playbook", "deal_teams")
    with asking(server, selling.rows(deals), *needed) as session:
        for moment in (now, before):
            asked, raw = _forecast(session, moment).total, _raw(session, moment)
            assert (asked.f1_open, asked.f2_open) == (_plain(raw[0]), _plain(raw[1])), (
                "the peer says the same"
            )
        expected = _forecast(session, now).total.open_deals
        console.print(f"forecast of {MONTH} at {deals:,} open deals, {expected:,} of them expected in it")
        tell(session, "now", lambda conn: _forecast(conn, now), 200, "100 ms")
        tell(session, "as of 30 days ago", lambda conn: _forecast(conn, before), 200, "100 ms")
        tell(session, "as of, as known at", lambda conn: _forecast(conn, before, before), 200, "100 ms")
        tell(session, "SQL over the raw log", lambda conn: _raw(conn, now), 1)
    console.print()


def _forecast(conn: psycopg.Connection[Any], as_of: datetime, known_at: datetime | None = None) -> Forecast:
    """The whole answer: groups and lists, as a director opens it."""
    at = then(conn, "tas_plus", as_of, known_at)
    return forecast(conn, at, horizon(at, MONTH), DIRECTOR)


def _raw(conn: psycopg.Connection[Any], moment: datetime) -> tuple[Any, ...]:
    row = conn.execute(_RAW, [moment, MONTH]).fetchone()
    assert row is not None
    return row


def _plain(value: Any) -> str:
    return f"{value.normalize():f}"
