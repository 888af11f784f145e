"""Win rates week by week (C4): the curve of a deal, the roll-up of many, and the alert on a fall."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.calendar import Period, week_of, weeks_between
from domain.errors import UnknownDeal
from domain.exact import rounded
from domain.money import plain
from domain.win_rate import DROP_WITHIN, FORMULA, PLACES, Change, Gate, Status, drop
from projections.clocks import columns, happened, in_force, not_followed, position_of, struct_of
from projections.filters import NO_FILTERS, Filters
from projections.funnel import PROJECTION as FUNNEL
from projections.playbook import stages_at
from projections.rules import zone_at
from projections.win_rates import CHANGES, NOTHING_KNOWN, PROJECTION, Mover, WinRateChange


class CurveWeek(msgspec.Struct, frozen=True):
    """The win rate in force at the end of a week, or at T in the week that holds T.

    `refreshed`: something of the comparison was said in the week. `weeks_since_assessed` counts the weeks since a
    party was last assessed, 0 in the same week, null if never. `moved_by` is the event that brought status and value.
    """

    week: str
    start: datetime
    end: datetime
    status: Status
    value: Decimal | None
    gates: tuple[Gate, ...]
    unconfirmed: tuple[str, ...]
    refreshed: bool
    weeks_since_assessed: int | None
    moved_by: Mover | None


class Curve(msgspec.Struct, frozen=True):
    """The weekly win rates of a deal from its opening to its closing, or to T while it is open; none before either.

    Weeks are ISO weeks in the time zone of the playbook at (T, K). A voided or merged deal has none.
    """

    deal_id: UUID
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    weeks: list[CurveWeek]


def curve(
    conn: Connection[Any], deal_id: UUID, *, as_of: datetime, known_at: datetime | None = None
) -> Curve:
    """The weekly win-rate curve of a deal at (T, K). Raises UnknownDeal."""
    parameters = {"deal_id": deal_id, "as_of": as_of, "known_at": known_at}
    query = sql.SQL(
        "SELECT {position}, (SELECT min(o.occurred_at) FROM {states} o WHERE o.deal_id = c.deal_id AND {opened}),"
        " s.status, s.closed_at FROM {comparisons} c LEFT JOIN {states} s ON s.deal_id = c.deal_id AND {then}"
        " AND {last} WHERE c.deal_id = %(deal_id)s"
    ).format(
        position=position_of(PROJECTION, FUNNEL),
        comparisons=PROJECTION.view("comparisons"),
        states=FUNNEL.view("deal_states"),
        opened=happened("o", known_at),
        then=happened("s", known_at),
        last=not_followed("s", known_at),
    )
    found = conn.execute(query, parameters).fetchone()
    if found is None:
        raise UnknownDeal(deal_id)
    position, opened_at, status, closed_at = found
    weeks: list[CurveWeek] = []
    if status is not None:
        weeks = _weeks(conn, parameters, opened_at, as_of if status == "open" else closed_at)
    return Curve(deal_id, as_of, known_at, position, FORMULA, weeks)


def _weeks(
    conn: Connection[Any], parameters: dict[str, Any], first: datetime, last: datetime
) -> list[CurveWeek]:
    query = sql.SQL("SELECT {} FROM {} c WHERE c.deal_id = %(deal_id)s AND {} ORDER BY c.seq").format(
        columns(CHANGES, "c"), PROJECTION.view("win_rate_changes"), happened("c", parameters["known_at"])
    )
    changes = [struct_of(CHANGES)(row) for row in conn.execute(query, parameters).fetchall()]
    zone = zone_at(conn, parameters["as_of"], parameters["known_at"])
    weeks, behind = [], 0
    for week in weeks_between(first, last, zone):
        before = behind
        while behind < len(changes) and changes[behind].occurred_at < week.end:
            behind += 1
        now: WinRateChange | None = changes[behind - 1] if behind else None
        since = None
        if (
            now is not None and now.assessed_at is not None
        ):  # a change of the clock makes a week an hour shorter
            since = round((week.start - week_of(now.assessed_at, zone).start) / timedelta(weeks=1))
        weeks.append(
            CurveWeek(
                week=week.label,
                start=week.start,
                end=week.end,
                status=now.status if now else NOTHING_KNOWN.status,
                value=now.value if now else None,
                gates=now.win_rate.gates if now else NOTHING_KNOWN.gates,
                unconfirmed=now.unconfirmed if now else (),
                refreshed=any(c.occurred_at >= week.start for c in changes[before:behind]),
                weeks_since_assessed=since,
                moved_by=now.moved_by if now else None,
            )
        )
    return weeks


class RollUpWeek(msgspec.Struct, frozen=True):
    """The win rates of the deals open at the end of a week, or at T in the week that holds T.

    `mean` is weighted by amount over the deals with a number, zeros included, and null where nothing can weigh;
    `amount` is their summed amount. Deals `without_amount` have a number and weigh nothing.
    """

    week: str
    start: datetime
    end: datetime
    deals: int
    with_number: int
    mean: Decimal | None
    amount: str
    without_amount: int
    not_computed: int


class WinRateWeeks(msgspec.Struct, frozen=True):
    """The weekly win rates of a funnel at (T, K), rolled up over the deals that pass the filters then."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    weeks: list[RollUpWeek]


def weekly(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
    weeks: int = 13,
) -> WinRateWeeks:
    """The last `weeks` weeks up to the one that holds T, each with the deals open and the rates in force at its end.

    A deal counts for the owner, amount and so on that it had at the end of the week. Raises UnknownFunnel.
    """
    stages_at(conn, funnel, as_of, known_at)  # refuses a funnel that nobody knows
    periods = last_weeks(as_of, zone_at(conn, as_of, known_at), weeks)
    ends = [period.end for period in periods[:-1]]
    parameters = {
        **filters.parameters(),
        "funnel": funnel,
        "as_of": as_of,
        "known_at": known_at,
        # A row counts from the first of these moments that lies after its event, and ends before the next one's.
        "moments": [*ends, as_of + timedelta(microseconds=1)],
        "count": weeks,
    }
    position, *rows = conn.execute(_weekly_sql(filters, known_at), parameters).fetchall()
    steps: dict[int, list[Any]] = {week: values for week, *values in rows}
    # What was added and taken away up to a week is what stands in it.
    sums = accumulate(
        (steps.get(i, [0] * 5) for i in range(weeks)), lambda a, b: [*map(sum, zip(a, b, strict=True))]
    )
    return WinRateWeeks(
        funnel,
        as_of,
        known_at,
        position[1],
        FORMULA,
        [_rolled_up(p, *s) for p, s in zip(periods, sums, strict=True)],
    )


def last_weeks(as_of: datetime, zone: Any, count: int) -> list[Period]:
    """The week that holds T and those before it, `count` together, in order."""
    found = [week_of(as_of, zone)]
    while len(found) < count:
        found.append(week_of(found[-1].start - timedelta(microseconds=1), zone))
    return found[::-1]


def _rolled_up(
    week: Period, deals: int, with_number: int, without_amount: int, thousandths: Any, weighed: Any
) -> RollUpWeek:
    return RollUpWeek(
        week=week.label,
        start=week.start,
        end=week.end,
        deals=deals,
        with_number=with_number,
        mean=rounded(Fraction(weighed) / Fraction(thousandths), PLACES) if thousandths else None,
        amount=plain(Decimal(thousandths) / 1000),
        without_amount=without_amount,
        not_computed=deals - with_number,
    )


def _weekly_sql(filters: Filters, known_at: datetime | None) -> sql.Composed:
    """Per week what is added to the sums and taken away again: work by rows, not by rows times weeks."""
    began = sql.SQL("width_bucket({}.occurred_at, %(moments)s::timestamptz[])")
    ended = sql.SQL(
        "CASE WHEN {a}.next_occurred_at IS NULL OR {a}.next_known_at > %(known_at)s THEN %(count)s"
        " ELSE width_bucket({a}.next_occurred_at, %(moments)s::timestamptz[]) END"
        if known_at
        else "coalesce(width_bucket({a}.next_occurred_at, %(moments)s::timestamptz[]), %(count)s)"
    )
    return sql.SQL(
        "WITH s AS MATERIALIZED (SELECT * FROM (SELECT s.deal_id, s.amount IS NULL AS unknown,"
        " s.amount_thousandths AS weight, {s_began} AS began, {s_ended} AS ended FROM {states} s"
        " WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {s_then}{filters}) x WHERE began < ended),"
        " r AS (SELECT * FROM (SELECT r.deal_id, r.value, {r_began} AS began, {r_ended} AS ended FROM {rates} r"
        " WHERE r.value IS NOT NULL AND r.deal_id IN (SELECT deal_id FROM s) AND {r_then}) x WHERE began < ended),"
        " n AS (SELECT greatest(s.began, r.began) AS began, least(s.ended, r.ended) AS ended, s.unknown, s.weight,"
        " r.value FROM s JOIN r USING (deal_id) WHERE s.began < r.ended AND r.began < s.ended),"
        " steps AS (SELECT began AS week, 1 AS deals, 0 AS numbers, 0 AS unknown, 0::numeric AS weight,"
        " 0::numeric AS weighed FROM s UNION ALL SELECT ended, -1, 0, 0, 0, 0 FROM s"
        " UNION ALL SELECT began, 0, 1, unknown::int, weight, weight * value FROM n"
        " UNION ALL SELECT ended, 0, -1, -unknown::int, -weight, -weight * value FROM n)"
        " SELECT -1, {position}, 0, 0, 0::numeric, 0::numeric UNION ALL (SELECT week, sum(deals), sum(numbers),"
        " sum(unknown), sum(weight), sum(weighed) FROM steps GROUP BY week) ORDER BY 1"
    ).format(
        s_began=began.format(sql.Identifier("s")),
        s_ended=ended.format(a=sql.Identifier("s")),
        r_began=began.format(sql.Identifier("r")),
        r_ended=ended.format(a=sql.Identifier("r")),
        states=FUNNEL.view("deal_states"),
        rates=PROJECTION.view("win_rate_changes"),
        s_then=happened("s", known_at),
        r_then=happened("r", known_at),
        filters=filters.where("s"),
        position=position_of(PROJECTION, FUNNEL),
    )


class WinRateAlert(msgspec.Struct, frozen=True):
    """A deal whose win rate fell by 0.15 or more within two weeks: what it was, what it is, the event that moved it."""

    deal_id: UUID
    name: str | None
    stage: str
    owner: str | None
    amount: str | None
    before: Decimal
    before_since: datetime
    now: Decimal
    now_since: datetime
    fall: Decimal
    moved_by: Mover | None


def alerts(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
) -> tuple[int, list[WinRateAlert]]:
    """The position, and the falls that stand at (T, K) of open deals, deepest first, without names.

    Raises UnknownFunnel.
    """
    stages_at(conn, funnel, as_of, known_at)
    query = sql.SQL(
        "SELECT {position}, found.* FROM (SELECT 1) one LEFT JOIN (SELECT s.deal_id, s.stage, s.owner,"
        " s.amount, c.seq, c.occurred_at, c.value, c.moved_by::text FROM {states} s"
        " JOIN {changes} c ON c.deal_id = s.deal_id AND {c_then}"
        " WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {s_then}{filters}"
        " AND (c.next_occurred_at IS NULL OR c.next_occurred_at > %(since)s{unknown})"
        ") found ON true ORDER BY found.deal_id, found.seq"
    ).format(
        position=position_of(PROJECTION, FUNNEL),
        states=FUNNEL.view("deal_states"),
        changes=PROJECTION.view("win_rate_changes"),
        s_then=in_force("s", known_at),
        c_then=happened("c", known_at),
        unknown=sql.SQL(" OR c.next_known_at > %(known_at)s" if known_at else ""),
        filters=filters.where("s"),
    )
    parameters = {
        **filters.parameters(), "funnel": funnel, "as_of": as_of, "known_at": known_at, "since": as_of - DROP_WITHIN,
    }  # fmt: skip
    rows = conn.execute(query, parameters).fetchall()
    return rows[0][0], sorted(_falls(rows, as_of), key=lambda a: (-a.fall, a.deal_id))


def _falls(rows: list[tuple[Any, ...]], as_of: datetime) -> Iterator[WinRateAlert]:
    for deal_id, changes in groupby(rows, key=itemgetter(1)):
        if deal_id is None:
            return
        own = list(changes)
        fall = drop([Change(row[6], row[7]) for row in own], as_of)
        if fall is None:
            continue
        _, _, stage, owner, amount, *_, moved_by = own[-1]
        yield WinRateAlert(
            deal_id,
            None,
            stage,
            owner,
            None if amount is None else plain(amount),
            fall.before,
            fall.before_since,
            fall.now,
            fall.now_since,
            fall.fall,
            _mover(moved_by) if moved_by else None,
        )


_mover = msgspec.json.Decoder(Mover).decode
