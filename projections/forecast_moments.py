"""What a forecast was made of at many moments at once, as it was shown at each: one pass over the history of deals."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from psycopg import Connection, sql

from domain.calendar import Period
from domain.exact import weighted_total
from domain.forecast import Cell
from domain.forecast_sight import Sight
from projections.filters import NO_FILTERS, Filters
from projections.forecast_cells import SeenCell
from projections.forecast_rows import Then, then
from projections.forecasts import PROJECTION as FORECASTS
from projections.funnel import PROJECTION as FUNNEL
from projections.organisation import PROJECTION as ORGANISATION
from projections.playbook import PROJECTION as PLAYBOOK
from projections.rate_sets import AdoptedRateSet, in_force


class Moment(msgspec.Struct, frozen=True):
    """A moment, the months that are forecast at it, and the period in which wins count; None: whenever."""

    at: Then
    months: frozenset[str]
    period: Period | None


def open_cells_at(
    conn: Connection[Any],
    moments: Sequence[Moment],
    sets: Sequence[AdoptedRateSet],
    sight: Sight,
    filters: Filters = NO_FILTERS,
) -> list[list[SeenCell]]:
    """For each moment the sums of the open deals expected in its months, by the rates in force then.

    The moments are of one funnel, each as known at itself, and of months or all of the one undated horizon.
    """
    rates = [m.at.rates(in_force(sets, m.at.as_of, m.at.known_at)) for m in moments]
    pairs = [
        (n, month)
        for n, m in enumerate(moments)
        for month in m.months
        if m.at.funnel.dated == (m.period is not None)
    ]
    stalls = [
        (n, stage, days) for n, m in enumerate(moments) for stage, days in m.at.stall_after_days.items()
    ]
    stints = [stint for of_deal in sight.stints.values() for stint in of_deal]
    parameters = _asked(moments, filters) | {
        "pair_moments": [n for n, _ in pairs],
        "pair_months": [month for _, month in pairs],
        "stall_moments": [n for n, _, _ in stalls],
        "stall_stages": [stage for _, stage, _ in stalls],
        "stall_days": [days for _, _, days in stalls],
        "own": sorted(sight.own),
        "below": None if sight.owners is None else sorted(sight.owners),
        "stint_deals": [stint.deal_id for stint in stints],
        "joined": [stint.joined for stint in stints],
        "left": [stint.left for stint in stints],
        "known": [stint.known for stint in stints],
        "left_known": [stint.left_known for stint in stints],
    }
    found: list[list[SeenCell]] = [[] for _ in moments]
    query = _open(filters, dated=any(m.period is not None for m in moments))
    for n, owner, stage, stalled, seen, deals, thousandths, weighed, f1 in conn.execute(
        query, parameters
    ).fetchall():
        rate, amount = rates[n].of_age(stage, stalled=stalled), Decimal(thousandths).scaleb(-3)
        cell = Cell(
            stage,
            owner,
            moments[n].at.team_of(owner),
            open_deals=deals,
            open_amount=amount,
            weighed=weighed if rate is not None else 0,
            f2=weighted_total([(amount, rate)]) if rate is not None else Decimal(0),
            f1=f1 or Decimal(0),
        )
        found[n].append(SeenCell(cell, seen))
    return found


def won_cells_at(
    conn: Connection[Any], moments: Sequence[Moment], filters: Filters = NO_FILTERS
) -> list[list[Cell]]:
    """For each moment the sums of the deals won in its period and not reopened since."""
    periods = [m.period for m in moments]
    parameters = _asked(moments, filters) | {
        "starts": [p.start if p else None for p in periods],
        "ends": [p.end if p else None for p in periods],
    }
    found: list[list[Cell]] = [[] for _ in moments]
    for n, owner, stage, deals, thousandths in conn.execute(_won(filters), parameters).fetchall():
        won = Decimal(thousandths).scaleb(-3)
        found[n].append(Cell(stage, owner, moments[n].at.team_of(owner), won_deals=deals, won=won))
    return found


def thens(conn: Connection[Any], funnel: str, moments: Sequence[datetime]) -> list[Then]:
    """The funnel at each moment, as known at it. Raises UnknownFunnel.

    Playbook and organisation are looked up once for all moments between two of their changes.
    """
    query = sql.SQL(" UNION ").join(
        sql.SQL("SELECT greatest(occurred_at, known_at) FROM {}").format(projection.view(table.name))
        for projection in (PLAYBOOK, ORGANISATION)
        for table in projection.histories
    )
    changes = sorted(changed for (changed,) in conn.execute(query).fetchall())
    found: dict[int, Then] = {}
    answers = []
    for moment in moments:
        place = bisect_right(changes, moment)
        if place not in found:
            found[place] = then(conn, funnel, moment, moment)
        answers.append(msgspec.structs.replace(found[place], as_of=moment, known_at=moment))
    return answers


def _asked(moments: Sequence[Moment], filters: Filters) -> dict[str, Any]:
    return filters.parameters() | {
        "funnel": moments[0].at.funnel.key if moments else "",
        "as_ofs": [m.at.as_of for m in moments],
        "known_ats": [m.at.known_at for m in moments],
    }


_MOMENTS = sql.SQL(
    "(SELECT n - 1 AS n, as_of, coalesce(known_at, 'infinity') AS known_at"
    " FROM unnest(%(as_ofs)s::timestamptz[], %(known_ats)s::timestamptz[])"
    " WITH ORDINALITY AS m(as_of, known_at, n)) m"
)


def _in_force(alias: str) -> sql.Composed:
    return sql.SQL(
        "{a}.occurred_at <= m.as_of AND {a}.known_at <= m.known_at AND ({a}.next_occurred_at IS NULL"
        " OR {a}.next_occurred_at > m.as_of OR {a}.next_known_at > m.known_at)"
    ).format(a=sql.Identifier(alias))


_SEEN = sql.SQL(
    "NOT coalesce(s.owner = ANY(%(own)s) OR s.owner_now = ANY(%(own)s), false)"
    " AND (%(below)s::text[] IS NULL OR coalesce(s.owner_now = ANY(%(below)s), false))"
    " AND NOT EXISTS (SELECT FROM unnest(%(stint_deals)s::uuid[], %(joined)s::timestamptz[], %(left)s::timestamptz[],"
    " %(known)s::timestamptz[], %(left_known)s::timestamptz[]) AS w(deal_id, joined, gone, known, gone_known)"
    " WHERE w.deal_id = s.deal_id AND (w.gone IS NULL OR (w.joined <= m.as_of AND m.as_of < w.gone)"
    " OR (w.known <= m.known_at AND m.known_at < w.gone_known)))"
)


def _open(filters: Filters, *, dated: bool) -> sql.Composed:
    """Per moment, owner, stage, age and sight the sums of open deals."""
    month = sql.SQL("to_char(s.expected_close, 'YYYY-MM')" if dated else "'eventually'")
    return sql.SQL("""
WITH stall AS (SELECT * FROM unnest(%(stall_moments)s::bigint[], %(stall_stages)s::text[], %(stall_days)s::int[])
  AS x(n, stage, days)),
s AS MATERIALIZED (
  SELECT s.*, {month} AS month, h.owner AS owner_now FROM {states} s JOIN {heads} h USING (deal_id)
  WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {wanted}{filters}
), c AS (
  SELECT m.n, s.owner, s.stage, {seen} AS seen, s.amount, s.amount_thousandths, f.amount AS expects,
    coalesce(m.as_of - s.entered_at > make_interval(days => stall.days), false) AS stalled
  FROM s JOIN unnest(%(pair_moments)s::bigint[], %(pair_months)s::text[]) AS p(n, month) ON p.month = s.month
  JOIN {moments} ON m.n = p.n AND {s_then}
  LEFT JOIN stall ON stall.n = m.n AND stall.stage = s.stage
  LEFT JOIN {forecasts} f ON f.deal_id = s.deal_id AND f.closed_times = s.closed_times AND f.month = s.month
    AND {f_then}
)
SELECT n, owner, stage, stalled, seen, count(*), sum(amount_thousandths), count(amount), sum(expects)
FROM c GROUP BY n, owner, stage, stalled, seen""").format(
        month=month,
        wanted=sql.SQL("{} = ANY(%(pair_months)s)").format(month) if dated else sql.SQL("true"),
        filters=filters.where("s"),
        states=FUNNEL.view("deal_states"),
        heads=FUNNEL.view("funnel_heads"),
        forecasts=FORECASTS.view("set_forecasts"),
        seen=_SEEN,
        moments=_MOMENTS,
        s_then=_in_force("s"),
        f_then=_in_force("f"),
    )


def _won(filters: Filters) -> sql.Composed:
    """Per moment, owner and stage the sums of won deals."""
    return sql.SQL("""
SELECT m.n, s.owner, s.stage, count(*), sum(s.amount_thousandths)
FROM {moments} JOIN unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
  WITH ORDINALITY AS p(first, beyond, place) ON p.place = m.n + 1
JOIN {states} s ON s.funnel = %(funnel)s AND s.status = 'won'
  AND (p.first IS NULL OR (s.closed_at >= p.first AND s.closed_at < p.beyond)) AND {then}{filters}
GROUP BY m.n, s.owner, s.stage""").format(
        moments=_MOMENTS, states=FUNNEL.view("deal_states"), then=_in_force("s"), filters=filters.where("s")
    )
