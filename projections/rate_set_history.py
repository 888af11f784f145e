"""Every rate set of a funnel with how long it was in force, and how its forecasts have done since it was adopted."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import msgspec
from psycopg import Connection, sql

from domain.calendar import time_zone, weeks_between
from domain.exact import rounded
from domain.money import plain
from projections.funnel import PROJECTION as FUNNEL
from projections.playbook import funnel_at, settings_at, stages_at
from projections.rate_sets import AdoptedRateSet, in_force, rate_sets

FORMULA = "rate_set_since/1"
MOST_WEEKS = 104
"""Of a funnel so many week ends are looked at, the last ones: two years."""


class Since(msgspec.Struct, frozen=True):
    """How F2 under a rate set has done at the ends of the `weeks` at which it was in force, of the last 104.

    A row is a deal open at such a moment, as it was known then; `unrated` ones, whose stage the set has no rate for,
    are no part of anything else. `f2` is what was forecast for the rows that are resolved, `actual` what they brought
    in: at all, or within the month in which they were expected then where the funnel is dated. `bias` is
    f2 / actual - 1; `wape` sums the weeks' differences without their signs. `unresolved` is the share of rows without
    an outcome yet, `f2_unresolved` what was forecast for them: while that is much, those that resolve early speak
    for all. Where there is no figure, `reason` says why.
    """

    weeks: int
    rows: int
    deals: int
    unrated: int
    unresolved: Decimal | None
    f2: str | None
    actual: str | None
    f2_unresolved: str | None
    bias: Decimal | None
    wape: Decimal | None
    reason: str | None


class RateSetInHistory(AdoptedRateSet, frozen=True):
    """A rate set, until when it is in force, and how it has done.

    `basis` says whether it names evidence, which was then proven when it was adopted, or was set by hand.
    """

    effective_to: datetime | None
    basis: Literal["evidence", "hand"]
    since: Since


def rate_set_history(conn: Connection[Any], funnel: str, now: datetime) -> list[RateSetInHistory]:
    """Every rate set of a funnel, in the order of their numbers, judged by what is known now. Raises UnknownFunnel."""
    sets = rate_sets(conn, funnel)
    weeks = _weeks(conn, sets, now)
    done = _done(conn, funnel, sets, weeks, now) if weeks else {}
    return [
        RateSetInHistory(
            **msgspec.structs.asdict(one),
            effective_to=_effective_to(one, sets),
            basis="evidence" if one.evidence else "hand",
            since=_since(
                one, [number for number, _ in weeks].count(one.number), done.get(one.number, []), now
            ),
        )
        for one in sets
    ]


def _effective_to(one: AdoptedRateSet, sets: Sequence[AdoptedRateSet]) -> datetime | None:
    later = [
        s.effective_from for s in sets if (s.effective_from, s.number) > (one.effective_from, one.number)
    ]
    return min(later, default=None)


def _weeks(
    conn: Connection[Any], sets: Sequence[AdoptedRateSet], now: datetime
) -> list[tuple[int, datetime]]:
    """The ends of weeks that are over at which a set was in force, each with the number of that set."""
    first = max(min((s.effective_from for s in sets), default=now), now - timedelta(weeks=MOST_WEEKS))
    if first >= now:
        return []
    settings = settings_at(conn)
    ends = [
        week.as_of for week in weeks_between(first, now, time_zone(settings.time_zone if settings else "UTC"))
    ]
    shown = [(in_force(sets, end, end), end) for end in ends if end <= now]
    return [(chosen.number, end) for chosen, end in shown if chosen is not None]


class _Done(msgspec.Struct, frozen=True):
    """Sums over one week, or, without one, over all of a set; amounts in thousandths."""

    week: int | None
    rows: int
    deals: int
    unrated: int
    resolved: int
    f2: Decimal
    actual: Decimal
    f2_unresolved: Decimal


# A version of a deal was shown from when it had happened and was known, until that was so of what followed it.
_DONE = sql.SQL("""
WITH rates AS (
    SELECT * FROM unnest(%(set_of_rate)s::int[], %(stage)s::text[], %(age)s::text[], %(rate)s::numeric[])
      AS r(number, stage, age, rate)
), stalls AS (
    SELECT * FROM unnest(%(stall_week)s::int[], %(stall_stage)s::text[], %(stall_days)s::int[])
      AS s(week, stage, days)
), shown AS (
    SELECT s.*, week, (%(numbers)s::int[])[week] AS number, (%(ends)s::timestamptz[])[week] AS week_end
    FROM {states} s, generate_series(
        width_bucket(greatest(occurred_at, known_at) - interval '1 microsecond', %(ends)s::timestamptz[]) + 1,
        width_bucket(coalesce(greatest(next_occurred_at, next_known_at), 'infinity') - interval '1 microsecond',
                     %(ends)s::timestamptz[])
    ) AS week
    WHERE s.funnel = %(funnel)s AND s.status = 'open' AND NOT (%(dated)s AND s.expected_close IS NULL)
), judged AS (
    SELECT s.number, s.week, s.deal_id, s.amount_thousandths AS amount, r.rate,
           CASE WHEN last.status = 'won' THEN NOT %(dated)s OR last.closed_at >= month.begins AND last.closed_at < month.ends
                WHEN last.status <> 'open' OR %(dated)s AND month.ends <= %(now)s THEN false END AS won
    FROM shown s
    JOIN {states} last ON last.deal_id = s.deal_id AND last.next_occurred_at IS NULL
    CROSS JOIN LATERAL (
        SELECT date_trunc('month', s.expected_close::timestamp) AT TIME ZONE %(tz)s AS begins,
               (date_trunc('month', s.expected_close::timestamp) + interval '1 month') AT TIME ZONE %(tz)s AS ends
    ) month
    LEFT JOIN stalls ON stalls.week = s.week AND stalls.stage = s.stage
    LEFT JOIN rates r ON r.number = s.number AND r.stage = s.stage AND (r.age IS NULL OR r.age =
        CASE WHEN s.week_end - s.entered_at > stalls.days * interval '24 hours' THEN 'stalled' ELSE 'fresh' END)
)
SELECT number, week, count(*) FILTER (WHERE rate IS NOT NULL),
       count(DISTINCT deal_id) FILTER (WHERE rate IS NOT NULL),
       count(*) FILTER (WHERE rate IS NULL),
       count(*) FILTER (WHERE rate IS NOT NULL AND won IS NOT NULL),
       coalesce(sum(amount * rate) FILTER (WHERE won IS NOT NULL), 0),
       coalesce(sum(amount) FILTER (WHERE rate IS NOT NULL AND won), 0)::numeric,
       coalesce(sum(amount * rate) FILTER (WHERE won IS NULL), 0)
FROM judged GROUP BY GROUPING SETS ((number, week), (number))""")


def _done(
    conn: Connection[Any],
    funnel: str,
    sets: Sequence[AdoptedRateSet],
    weeks: Sequence[tuple[int, datetime]],
    now: datetime,
) -> dict[int, list[_Done]]:
    """The sums of each set that was in force, by its number."""
    definition, settings = funnel_at(conn, funnel), settings_at(conn)
    rates = [(s.number, r.stage, r.age, r.rate) for s in sets for r in s.rates]
    stalls = [
        (place, stage.key, stage.stall_after_days)
        for place, (_, end) in enumerate(weeks, 1)
        if any(age for _, _, age, _ in rates)
        for stage in stages_at(conn, funnel, end, end).all
    ]
    asked = {
        "funnel": funnel,
        "dated": definition is not None and definition.dated,
        "tz": settings.time_zone if settings else "UTC",
        "now": now,
        "numbers": [number for number, _ in weeks],
        "ends": [end for _, end in weeks],
        **{name: [r[i] for r in rates] for i, name in enumerate(("set_of_rate", "stage", "age", "rate"))},
        **{
            name: [s[i] for s in stalls] for i, name in enumerate(("stall_week", "stall_stage", "stall_days"))
        },
    }
    found: dict[int, list[_Done]] = {}
    for number, *sums in conn.execute(_DONE.format(states=FUNNEL.view("deal_states")), asked).fetchall():
        found.setdefault(number, []).append(_Done(*sums))
    return found


def _since(one: AdoptedRateSet, weeks: int, done: Sequence[_Done], now: datetime) -> Since:
    every = next((d for d in done if d.week is None), _Done(None, 0, 0, 0, 0, *[Decimal()] * 3))
    reason = _reason(one, weeks, every, now)
    missed = sum((abs(d.f2 - d.actual) for d in done if d.week is not None), Decimal())
    known = every.resolved > 0
    return Since(
        weeks=weeks,
        rows=every.rows,
        deals=every.deals,
        unrated=every.unrated,
        unresolved=rounded(Fraction(every.rows - every.resolved, every.rows), 4) if every.rows else None,
        f2=_money(every.f2) if known else None,
        actual=_money(every.actual) if known else None,
        f2_unresolved=_money(every.f2_unresolved) if every.rows else None,
        bias=None if reason else rounded(Fraction(every.f2) / Fraction(every.actual) - 1, 4),
        wape=None if reason else rounded(Fraction(missed) / Fraction(every.actual), 4),
        reason=reason,
    )


def _reason(one: AdoptedRateSet, weeks: int, every: _Done, now: datetime) -> str | None:
    if one.effective_from > now:
        return "It is not in force yet."
    if not weeks and one.effective_from < now - timedelta(weeks=MOST_WEEKS):
        return f"It was in force more than {MOST_WEEKS} weeks ago."
    if not weeks:
        return "No week has ended while it was in force."
    if not every.rows:
        return "No deal with a rate was open at the end of a week."
    if not every.resolved:
        return "Of the deals that were open then none has an outcome yet."
    if not every.actual:
        return "Of what has resolved nothing was won, so there is nothing to measure a bias by."
    return None


def _money(thousandths: Decimal) -> str:
    return plain(rounded(Fraction(thousandths) / 1000, 2))
