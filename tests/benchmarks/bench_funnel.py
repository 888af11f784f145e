"""The funnel now and as of a moment, beside the same answer by SQL over the raw log.

Of a company that had 100 k deals in all, of which some are still open, and of one that has 100 k open at once.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from infra.postgres import Server
from projections.funnel import snapshot
from tests.benchmarks import history, selling
from tests.benchmarks.asking import ask, asking, tell
from tests.benchmarks.pairs import console

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


EVENTS_PER_DEAL = 10.4
"""Of `history.rows`, in which two of five deals are never closed; the last of them ends within six years."""


def run(server: Server, scale: float) -> None:
    """Print p50 and p99 of each."""
    deals = int(100_000 * scale)
    _tell_of(
        server,
        f"{deals:,} deals in all",
        history.rows(int(deals * EVENTS_PER_DEAL)),
        history.START + timedelta(days=6 * 365),
    )
    _tell_of(server, f"{deals:,} open deals and {deals // 2:,} closed ones", selling.rows(deals), selling.END)


def _tell_of(server: Server, company: str, log: Iterable[history.Row], now: datetime) -> None:
    month, year = (now - timedelta(days=days) for days in (30, 365))
    with asking(server, log, "funnel", "playbook") as session:
        for moment in (now, month):
            assert ask(session, lambda conn, at=moment: _stages(conn, at)) == _raw(session, moment), (
                "the peer says the same"
            )
        still = ask(session, lambda conn: snapshot(conn, "tas_plus", as_of=now)).total.deals
        console.print(f"funnel of a company with {company}: {still:,} open now")
        tell(session, "now", lambda conn: snapshot(conn, "tas_plus", as_of=now), 300, "20 ms")
        tell(session, "as of 30 days ago", lambda conn: snapshot(conn, "tas_plus", as_of=month), 50)
        tell(session, "as of a year ago", lambda conn: snapshot(conn, "tas_plus", as_of=year), 50)
        tell(
            session,
            "as of, as known at",
            lambda conn: snapshot(conn, "tas_plus", as_of=year, known_at=year),
            50,
        )
        tell(session, "SQL over the raw log", lambda conn: _raw(conn, now), 1)
    console.print()


_Figures = dict[str, tuple[int, int, Decimal]]


def _stages(conn: psycopg.Connection[Any], moment: datetime) -> _Figures:
    stages = snapshot(conn, "tas_plus", as_of=moment).stages
    return {s.stage: (s.deals, s.customers, Decimal(s.amount)) for s in stages if s.deals}


def _raw(conn: psycopg.Connection[Any], moment: datetime) -> _Figures:
    rows = conn.execute(_RAW, [moment]).fetchall()
    return {stage: (deals, customers, amount) for stage, deals, customers, amount in rows}
