"""Stale deals (S1): open ones whose amount or expected close nobody stood by this week."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.calendar import Period, week_of
from domain.money import plain
from projections.clocks import happened, in_force, position_of
from projections.filters import NO_FILTERS, Filters
from projections.funnel import PROJECTION as FUNNEL
from projections.playbook import funnel_at, stages_at
from projections.process import PROJECTION as PROCESS
from projections.rules import zone_at

FORMULA = "stale/1"


class StaleDeal(msgspec.Struct, frozen=True):
    """An open deal whose amount or expected close was not revised or confirmed in the week that holds T.

    Where the funnel has no dates, only its amount counts. `last_confirmed_at` is the older of the two that count.
    """

    deal_id: UUID
    name: str | None
    stage: str
    owner: str | None
    amount: str | None
    expected_close: date | None
    amount_confirmed_at: datetime
    close_confirmed_at: datetime
    last_confirmed_at: datetime


def stale(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
) -> tuple[int, int, Period, list[StaleDeal]]:
    """The position, the number of open deals, the week that holds T, and the stale deals at (T, K), without names.

    The one confirmed longest ago comes first. Raises UnknownFunnel.
    """
    stages_at(conn, funnel, as_of, known_at)  # refuses a funnel that nobody knows
    definition = funnel_at(conn, funnel, as_of, known_at)
    week = week_of(as_of, zone_at(conn, as_of, known_at))
    query = sql.SQL(
        "WITH open_deals AS MATERIALIZED (SELECT s.deal_id, s.stage, s.owner, s.amount, s.expected_close,"
        " c.amount_at, c.close_at, CASE WHEN %(dated)s THEN least(c.amount_at, c.close_at) ELSE c.amount_at END"
        " AS last_at FROM {states} s JOIN (SELECT c.deal_id, max(c.occurred_at) FILTER (WHERE c.amount) AS amount_at,"
        " max(c.occurred_at) FILTER (WHERE c.expected_close) AS close_at FROM {confirmations} c WHERE {confirmed}"
        " GROUP BY c.deal_id) c ON c.deal_id = s.deal_id"
        " WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {then}{filters})"
        " SELECT {position}, (SELECT count(*) FROM open_deals), found.* FROM (SELECT 1) one"
        " LEFT JOIN open_deals found ON found.last_at < %(week)s ORDER BY found.last_at, found.deal_id"
    ).format(
        position=position_of(FUNNEL, PROCESS),
        states=FUNNEL.view("deal_states"),
        confirmations=PROCESS.view("deal_confirmations"),
        confirmed=happened("c", known_at),
        then=in_force("s", known_at),
        filters=filters.where("s"),
    )
    parameters = {
        **filters.parameters(),
        "funnel": funnel,
        "as_of": as_of,
        "known_at": known_at,
        "week": week.start,
        "dated": definition is not None and definition.dated,
    }
    rows = conn.execute(query, parameters).fetchall()
    found = [
        StaleDeal(deal_id, None, stage, owner, None if amount is None else plain(amount), *rest)
        for _, _, deal_id, stage, owner, amount, *rest in rows
        if deal_id is not None
    ]
    return rows[0][0], rows[0][1], week, found
