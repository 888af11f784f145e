"""What a forecast is made of, summed up by the database: by stage and by owner, and the lists beside it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.calendar import Period
from domain.forecast import Cell, Lists
from domain.forecast_sight import Sight
from projections.clocks import happened, in_force
from projections.filters import Filters
from projections.forecast_rows import Horizon, Then, parameters_of
from projections.forecasts import PROJECTION as FORECASTS
from projections.funnel import PROJECTION as FUNNEL
from projections.rate_sets import Rates


class SeenCell(msgspec.Struct, frozen=True):
    """A cell of open deals, and whether the viewer may see the forecasts of all of them."""

    cell: Cell
    seen: bool


class OpenCells(msgspec.Struct, frozen=True):
    """The open deals of the months asked about, by stage and once more by owner, and the lists of all that matter to
    them."""

    by_stage: list[SeenCell]
    by_owner: list[SeenCell]
    lists: Lists


def open_cells(
    conn: Connection[Any], at: Then, asked: Horizon, rates: Rates, sight: Sight, filters: Filters
) -> OpenCells:
    """The sums of the open deals expected in the months, and the lists; only of deals that pass the filters.

    The lists of forecasts leave out deals whose forecasts the viewer may not see.
    """
    rated = sorted(rates.known)
    parameters = (
        parameters_of(at)
        | filters.parameters()
        | {
            "months": sorted(asked.months),
            "first": asked.days[0] if asked.days else None,
            "end": asked.days[1] if asked.days else None,
            "one_month": next(iter(asked.months)) if len(asked.months) == 1 else None,
            "stages": list(at.stall_after_days),
            "stall_after": [timedelta(days=days) for days in at.stall_after_days.values()],
            "rated_stages": [stage for stage, _ in rated],
            "rated_stalled": [stalled for _, stalled in rated],
            "rates": [rates.of_age(stage, stalled=stalled) for stage, stalled in rated],
            "own": sorted(sight.own),
            "below": None if sight.owners is None else sorted(sight.owners),
            "worked_on": list(sight.worked_on(at.as_of, at.known_at)),
        }
    )
    with conn.cursor(binary=True) as cursor:  # the lists are long
        lists, *cells = cursor.execute(_open_sql(at, filters), parameters).fetchall()
    return OpenCells(
        [_open_cell(at, row) for row in cells if not row[0]],
        [_open_cell(at, row) for row in cells if row[0]],
        Lists(*(tuple(ids or ()) for ids in lists[-len(Lists.__struct_fields__) :])),
    )


def _open_cell(at: Then, row: tuple[Any, ...]) -> SeenCell:
    _, stage, owner, seen, deals, amount, weighed, f2, f1, *_ = row
    cell = Cell(
        stage,
        owner,
        at.team_of(owner),
        open_deals=deals,
        open_amount=amount,
        weighed=weighed,
        f2=f2,
        f1=f1,
    )
    return SeenCell(cell, seen)


_OPEN = """
WITH stall AS (SELECT * FROM unnest(%(stages)s::text[], %(stall_after)s::interval[]) AS x(stage, after)),
rated AS (
  SELECT * FROM unnest(%(rated_stages)s::text[], %(rated_stalled)s::boolean[], %(rates)s::numeric[])
    AS x(stage, stalled, rate)
), own AS MATERIALIZED (
  SELECT h.deal_id FROM {heads} h WHERE h.owner = ANY(%(own)s)
), below AS MATERIALIZED (
  SELECT h.deal_id FROM {heads} h WHERE h.owner = ANY(%(below)s)
), c AS MATERIALIZED (
  SELECT o.deal_id, o.owner, o.stage, o.amount, f.month, f.amount AS expects, {counts} AS counts, {seen} AS seen,
    coalesce(%(as_of)s - o.entered_at > stall.after, false) AS stalled
  FROM ({expected}) o LEFT JOIN stall USING (stage)
  LEFT JOIN {forecasts} f ON f.deal_id = o.deal_id AND f.closed_times = o.closed_times AND {f_then}
), cells AS (
  SELECT stage, stalled, owner, bool_and(seen) AS seen, count(*) AS deals, sum(amount) AS amount,
    count(amount) AS known, sum(expects) FILTER (WHERE counts) AS f1
  FROM c GROUP BY stage, stalled, owner
){elsewhere}
SELECT NULL::boolean, NULL::text, NULL::text, NULL::boolean, NULL::bigint, NULL::numeric, NULL::bigint, NULL::numeric,
  NULL::numeric,
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM c WHERE month IS NULL AND seen),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM ({moved}) m),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM ({undated}) u),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM ({overdue}) p),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM c WHERE (stage, stalled) NOT IN (SELECT stage, stalled FROM rated)),
  (SELECT array_agg(deal_id ORDER BY deal_id) FROM c WHERE amount IS NULL)
UNION ALL
SELECT grouping(stage) = 1, stage, owner, bool_and(seen), sum(deals)::bigint, coalesce(sum(amount), 0),
  coalesce(sum(known) FILTER (WHERE rate IS NOT NULL), 0)::bigint, coalesce(sum(amount * rate), 0),
  coalesce(sum(f1), 0), NULL, NULL, NULL, NULL, NULL, NULL
FROM cells LEFT JOIN rated USING (stage, stalled) GROUP BY GROUPING SETS ((stage), (owner))
"""

# Not by the owner then alone, but by that of today: of those who are looked for, so that nobody else's is looked up.
_SEEN = """(NOT coalesce(o.owner = ANY(%(own)s), false) AND o.deal_id NOT IN (SELECT deal_id FROM own)
  AND o.deal_id <> ALL(%(worked_on)s::uuid[])
  AND (%(below)s::text[] IS NULL OR o.deal_id IN (SELECT deal_id FROM below)))"""

# Forecasts for the months, of deals that are open but expected at another time: few, so each is looked up.
_ELSEWHERE = """, g AS MATERIALIZED (
  SELECT f.deal_id, f.closed_times FROM {forecasts} f
  WHERE f.month = ANY(%(months)s) AND {f_then} AND f.deal_id NOT IN (SELECT deal_id FROM c)
), e AS (
  SELECT o.deal_id FROM g CROSS JOIN LATERAL ({one}) o WHERE o.closed_times = g.closed_times AND {seen}
)"""

_EXPECTED = " AND s.expected_close >= %(first)s AND s.expected_close < %(end)s"


def _open_sql(at: Then, filters: Filters) -> sql.Composed:
    parts = {
        "forecasts": FORECASTS.view("set_forecasts"),
        "f_then": in_force("f", at.known_at),
        "seen": sql.SQL(_SEEN),
    }
    whole = "deal_id, stage, owner, amount, entered_at, closed_times"
    moved = sql.SQL("SELECT deal_id FROM c WHERE month IS NOT NULL AND NOT counts AND seen")
    if not at.funnel.dated:
        nothing = sql.SQL("SELECT NULL::uuid AS deal_id WHERE false")
        return sql.SQL(_OPEN).format(
            **parts,
            expected=_rows(at, filters, whole),
            counts=sql.SQL("(f.month = %(one_month)s)"),
            heads=FUNNEL.view("funnel_heads"),
            elsewhere=sql.SQL(""),
            moved=moved,
            undated=nothing,
            overdue=nothing,
        )
    one = _rows(at, filters, "deal_id, owner, closed_times", " AND s.deal_id = g.deal_id")
    return sql.SQL(_OPEN).format(
        **parts,
        expected=_rows(at, filters, f"{whole}, expected_close", _EXPECTED),
        counts=sql.SQL("(f.month = coalesce(%(one_month)s::text, to_char(o.expected_close, 'YYYY-MM')))"),
        heads=FUNNEL.view("funnel_heads"),
        elsewhere=sql.SQL(_ELSEWHERE).format(**parts, one=one),
        moved=moved + sql.SQL(" UNION ALL SELECT deal_id FROM e"),
        undated=_rows(at, filters, "deal_id", " AND s.expected_close IS NULL"),
        overdue=_rows(at, filters, "deal_id", " AND s.expected_close < %(today)s"),
    )


def _rows(at: Then, filters: Filters, columns: str, matters: str = "") -> sql.Composed:
    """The open deals at (T, K): those whose row is still the last, those that another one followed, but after T, and
    those of which K did not know yet that one had: each kind is found by an index of its own order."""
    kinds = ["s.next_occurred_at IS NULL", "s.next_occurred_at > %(as_of)s"]
    if at.known_at is not None:
        kinds.append("s.next_occurred_at <= %(as_of)s AND s.next_known_at > %(known_at)s")
    query = "SELECT {columns} FROM {states} s WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {then}{filters} AND "
    return sql.SQL(" UNION ALL ").join(
        sql.SQL(query + kind + matters).format(
            columns=sql.SQL(", ").join(sql.Identifier("s", name) for name in columns.split(", ")),
            states=FUNNEL.view("deal_states"),
            then=happened("s", at.known_at),
            filters=filters.where("s"),
        )
        for kind in kinds
    )


class WonCells(msgspec.Struct, frozen=True):
    """The deals won in a period, by stage and once more by owner, and which of them have no amount."""

    by_stage: list[Cell]
    by_owner: list[Cell]
    without_amount: Sequence[UUID]


def won_cells(conn: Connection[Any], at: Then, period: Period | None, filters: Filters) -> WonCells:
    """The sums of the deals won in the period, or ever without one, and not reopened since."""
    query = sql.SQL(
        "WITH won AS MATERIALIZED (SELECT s.deal_id, s.stage, s.owner, s.amount FROM {} s"
        " WHERE s.funnel = %(funnel)s AND s.status = 'won'{} AND {}{})"
        " SELECT grouping(stage) = 1, stage, owner, count(*), coalesce(sum(amount), 0),"
        " array_agg(deal_id) FILTER (WHERE amount IS NULL) FROM won GROUP BY GROUPING SETS ((stage), (owner))"
    ).format(
        FUNNEL.view("deal_states"),
        sql.SQL(" AND s.closed_at >= %(start)s AND s.closed_at < %(end)s" if period else ""),
        in_force("s", at.known_at),
        filters.where("s"),
    )
    window = {"start": period.start if period else None, "end": period.end if period else None}
    rows = conn.execute(query, parameters_of(at) | filters.parameters() | window).fetchall()
    cells: dict[bool, list[Cell]] = {False: [], True: []}
    for by_owner, stage, owner, deals, amount, _ in rows:
        cells[by_owner].append(Cell(stage, owner, at.team_of(owner), won_deals=deals, won=amount))
    without = [deal_id for by_owner, *_, ids in rows if not by_owner for deal_id in ids or ()]
    return WonCells(cells[False], cells[True], without)
