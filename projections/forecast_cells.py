"""What a forecast is made of, summed up by the database: one cell per stage, age and owner, and the lists beside it."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.calendar import Period
from domain.exact import weighted_total
from domain.forecast import Cell, Lists
from domain.forecast_sight import Sight
from projections.clocks import happened, in_force
from projections.forecast_rows import Horizon, Then, parameters_of
from projections.forecasts import PROJECTION as FORECASTS
from projections.funnel import PROJECTION as FUNNEL
from projections.rate_sets import Rates


class SeenCell(msgspec.Struct, frozen=True):
    """A cell of open deals, and whether the viewer may see the forecasts of all of them."""

    cell: Cell
    seen: bool


class OpenCells(msgspec.Struct, frozen=True):
    """The open deals of the months asked about, and the lists of all that matter to them."""

    cells: list[SeenCell]
    lists: Lists


def open_cells(
    conn: Connection[Any],
    at: Then,
    asked: Horizon,
    rates: Rates,
    sight: Sight,
    owners: AbstractSet[str] | None = None,
) -> OpenCells:
    """The sums of the open deals expected in the months, and the lists; of `owners` only, where they are given.

    The lists of forecasts leave out deals whose forecasts the viewer may not see.
    """
    rated = sorted(rates.known)
    parameters = parameters_of(at, owners) | {
        "months": sorted(asked.months),
        "first": asked.days[0] if asked.days else None,
        "end": asked.days[1] if asked.days else None,
        "one_month": next(iter(asked.months)) if len(asked.months) == 1 else None,
        "stages": list(at.stall_after_days),
        "stall_after": [timedelta(days=days) for days in at.stall_after_days.values()],
        "rated_stages": [stage for stage, _ in rated],
        "rated_stalled": [stalled for _, stalled in rated],
        "own": sorted(sight.own),
        "below": None if sight.owners is None else sorted(sight.owners),
        "worked_on": list(sight.worked_on(at.as_of, at.known_at)),
    }
    lists, *cells = conn.execute(_open_sql(at), parameters).fetchall()
    return OpenCells(
        [SeenCell(_open_cell(at, rates, row), row[3]) for row in cells],
        Lists(*(tuple(ids or ()) for ids in lists[-len(Lists.__struct_fields__) :])),
    )


def _open_cell(at: Then, rates: Rates, row: tuple[Any, ...]) -> Cell:
    owner, stage, stalled, _, deals, thousandths, weighed, f1, *_ = row
    rate = rates.of_age(stage, stalled=stalled)
    return Cell(
        stage,
        owner,
        at.team_of(owner),
        open_deals=deals,
        open_amount=_amount(thousandths),
        weighed=weighed if rate is not None else 0,
        f2=weighted_total([(_amount(thousandths), rate)]) if rate is not None else Decimal(0),
        f1=f1 or Decimal(0),
    )


_OPEN = """
WITH stall AS (SELECT * FROM unnest(%(stages)s::text[], %(stall_after)s::interval[]) AS x(stage, after)),
o AS MATERIALIZED (
  SELECT s.*, coalesce(%(as_of)s - s.entered_at > stall.after, false) AS stalled, {in_months} AS in_months
  FROM ({rows}) s LEFT JOIN stall USING (stage)
  WHERE (%(owners)s::text[] IS NULL OR s.owner = ANY(%(owners)s))
), own AS MATERIALIZED (
  SELECT h.deal_id FROM {heads} h WHERE h.owner = ANY(%(own)s)
), below AS MATERIALIZED (
  SELECT h.deal_id FROM {heads} h WHERE h.owner = ANY(%(below)s)
), c AS MATERIALIZED (
  SELECT o.*, f.month, f.amount AS expects, {counts} AS counts, {seen} AS seen
  FROM (SELECT * FROM o WHERE in_months) o LEFT JOIN {forecasts} f ON f.deal_id = o.deal_id AND f.closed_times = o.closed_times AND {f_then}
){elsewhere}
SELECT NULL, NULL, NULL::boolean, NULL::boolean, 0::bigint, 0::numeric, 0::bigint, 0::numeric,
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM c WHERE month IS NULL AND seen),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM ({moved}) m),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM o WHERE expected_close IS NULL AND %(dated)s),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM o WHERE expected_close < %(today)s AND %(dated)s),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM o WHERE in_months AND (stage, stalled) NOT IN
    (SELECT * FROM unnest(%(rated_stages)s::text[], %(rated_stalled)s::boolean[]))),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM o WHERE in_months AND amount IS NULL)
UNION ALL
SELECT owner, stage, stalled, seen, count(*), sum(amount_thousandths), count(amount),
  sum(expects) FILTER (WHERE counts), NULL, NULL, NULL, NULL, NULL, NULL
FROM c GROUP BY owner, stage, stalled, seen
"""

# Not by the owner then alone, but by that of today: of those who are looked for, so that nobody else's is looked up.
_SEEN = """(NOT coalesce(o.owner = ANY(%(own)s), false) AND o.deal_id NOT IN (SELECT deal_id FROM own)
  AND o.deal_id <> ALL(%(worked_on)s::uuid[])
  AND (%(below)s::text[] IS NULL OR o.deal_id IN (SELECT deal_id FROM below)))"""

_ROWS = """
SELECT s.deal_id, s.stage, s.owner, s.amount, s.amount_thousandths, s.expected_close, s.entered_at, s.closed_times
FROM {states} s WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {then} AND {when}"""

_MATTERS = """ AND (s.expected_close IS NULL OR s.expected_close < %(today)s
  OR (s.expected_close >= %(first)s AND s.expected_close < %(end)s))"""

# Forecasts for the months, of deals that are open but expected at another time: few, so each is looked up.
_ELSEWHERE = """, g AS MATERIALIZED (
  SELECT f.deal_id, f.closed_times FROM {forecasts} f
  WHERE f.month = ANY(%(months)s) AND {f_then} AND f.deal_id NOT IN (SELECT deal_id FROM c)
), e AS (
  SELECT o.deal_id FROM {elsewhere} o
  WHERE (%(owners)s::text[] IS NULL OR o.owner = ANY(%(owners)s)) AND {seen}
)"""


def _open_sql(at: Then) -> sql.Composed:
    dated = at.funnel.dated
    parts = {
        "forecasts": FORECASTS.view("set_forecasts"),
        "f_then": in_force("f", at.known_at),
        "seen": sql.SQL(_SEEN),
    }
    elsewhere = sql.SQL(
        "(SELECT r.* FROM g CROSS JOIN LATERAL ({}) r WHERE r.closed_times = g.closed_times)"
    ).format(_rows(at, sql.SQL(" AND s.deal_id = g.deal_id")))
    return sql.SQL(_OPEN).format(
        **parts,
        rows=_rows(at, sql.SQL(_MATTERS if dated else "")),
        in_months=sql.SQL(
            "coalesce(s.expected_close >= %(first)s AND s.expected_close < %(end)s, false)"
            if dated
            else "true"
        ),
        counts=sql.SQL("(f.month = coalesce(%(one_month)s::text, to_char(o.expected_close, 'YYYY-MM')))"),
        heads=FUNNEL.view("funnel_heads"),
        elsewhere=sql.SQL(_ELSEWHERE).format(**parts, elsewhere=elsewhere) if dated else sql.SQL(""),
        moved=sql.SQL("SELECT deal_id FROM c WHERE month IS NOT NULL AND NOT counts AND seen{}").format(
            sql.SQL(" UNION ALL SELECT deal_id FROM e" if dated else "")
        ),
    )


def _rows(at: Then, matters: sql.SQL) -> sql.Composed:
    """The open deals at (T, K): those whose row is still the last, those that another one followed, but after T, and
    those of which K did not know yet that one had: each kind is found by an index of its own order."""
    kinds = [sql.SQL("s.next_occurred_at IS NULL"), sql.SQL("s.next_occurred_at > %(as_of)s")]
    if at.known_at is not None:
        kinds.append(sql.SQL("s.next_occurred_at <= %(as_of)s AND s.next_known_at > %(known_at)s"))
    states, then = FUNNEL.view("deal_states"), happened("s", at.known_at)
    return sql.SQL(" UNION ALL ").join(
        sql.SQL(_ROWS).format(states=states, then=then, when=kind + matters) for kind in kinds
    )


class WonCells(msgspec.Struct, frozen=True):
    """The deals won in a period, and which of them have no amount."""

    cells: list[Cell]
    without_amount: Sequence[UUID]


def won_cells(
    conn: Connection[Any], at: Then, period: Period | None, owners: AbstractSet[str] | None = None
) -> WonCells:
    """The sums of the deals won in the period, or ever without one, and not reopened since."""
    query = sql.SQL(
        "SELECT s.owner, s.stage, count(*), sum(s.amount_thousandths),"
        " array_agg(s.deal_id) FILTER (WHERE s.amount IS NULL) FROM {} s"
        " WHERE s.funnel = %(funnel)s AND s.status = 'won'{}"
        " AND (%(owners)s::text[] IS NULL OR s.owner = ANY(%(owners)s)) AND {} GROUP BY 1, 2"
    ).format(
        FUNNEL.view("deal_states"),
        sql.SQL(" AND s.closed_at >= %(start)s AND s.closed_at < %(end)s" if period else ""),
        in_force("s", at.known_at),
    )
    window = {"start": period.start if period else None, "end": period.end if period else None}
    rows = conn.execute(query, parameters_of(at, owners) | window).fetchall()
    return WonCells(
        [
            Cell(stage, owner, at.team_of(owner), won_deals=deals, won=_amount(thousandths))
            for owner, stage, deals, thousandths, _ in rows
        ],
        [deal_id for *_, without in rows for deal_id in without or ()],
    )


def _amount(thousandths: int | Decimal) -> Decimal:
    return Decimal(thousandths).scaleb(-3)
