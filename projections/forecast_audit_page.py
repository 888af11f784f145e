"""The audit of forecasts, page by page: what every event did to F1 and F2, as far as the viewer may see F1."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import Connection, sql

from domain.exact import total, weighted_total
from domain.forecast import EVENTUALLY, OpenDeal, cell_of_open, figures
from domain.forecast_sight import Sight
from domain.manager_forecast import Seen
from domain.money import plain
from domain.playbook import Funnel
from projections.forecast_audit import PROJECTION, AuditRow, DealThen, Field
from projections.forecast_rows import open_rows, then
from projections.playbook import funnel_at
from projections.rate_sets import AdoptedRateSet, Rates, in_force, rate_sets


class Asked(msgspec.Struct, frozen=True):
    """Which rows: of a funnel, of what touches a month, of a deal, of what a manager did or had done."""

    funnel: str | None = None
    month: str | None = None
    deal_id: UUID | None = None
    manager: str | None = None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change of F1, or one move of F2, and who brought it about. Amounts are decimal strings.

    `f2_before` and `f2_after` are what the deal, or at a new rate set all deals, added to F2 of the month asked
    about, or of any, as it was shown just before and from when the change had happened and was known; null where it
    could not be computed. So the changes up to a moment add up to what was shown then, but for visits that stalled.
    What tells of F1 is missing for who may not see it, what tells of the forecast before, such as `old`, also for who
    may see only the new one, and what only a manager forecast has, such as `context`, in other rows.
    """

    position: int
    event_id: UUID
    kind: Literal["F1", "F2"]
    field: Field
    deal_id: UUID | None
    funnel: str
    old: str | UnsetType | None = UNSET
    new: str | None
    reason: str | None
    actor_id: str
    actor_role: str
    actor_auth: str
    on_behalf_of: str | None
    occurred_at: datetime
    known_at: datetime
    recorded_at: datetime
    claimed: bool
    rate_set: int | None
    f2_before: str | None
    f2_after: str | None
    f1_before: str | UnsetType = UNSET
    f1_after: str | UnsetType = UNSET
    old_month: str | UnsetType | None = UNSET
    new_month: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    after_lock: bool | UnsetType = UNSET
    context: Seen | UnsetType | None = UNSET
    corrects: UUID | None
    correlation_id: str
    causation_id: str


def forecast_audit(
    conn: Connection[Any],
    asked: Asked,
    sight: Sight,
    *,
    as_of: datetime,
    newest_first: bool = False,
    after: int | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """A page of the audit in the order of the log. `after` is the position of the last entry of the page before.

    Rate sets effective after `as_of`, which is now, have moved nothing yet.
    """
    rows = _rows(conn, asked, sight, newest_first, after, limit)
    sets: dict[str, list[AdoptedRateSet]] = {}
    for funnel in {row.funnel for row, _ in rows} | ({asked.funnel} if asked.funnel else set()):
        sets[funnel] = rate_sets(conn, funnel)
    entries = [_entry(conn, asked, row, owner, sets[row.funnel], sight) for row, owner in rows]
    adopted = [s for funnel in _funnels(conn, asked) for s in sets.get(funnel) or rate_sets(conn, funnel)]
    for each in adopted:
        beyond = after is None or (each.position < after if newest_first else each.position > after)
        if beyond and asked.manager in (None, each.actor_id, each.on_behalf_of):
            entries.append(_adoption(conn, asked, each, sets.get(each.funnel, adopted), as_of))
    entries.sort(key=lambda entry: entry.position, reverse=newest_first)
    return entries[:limit]


def _funnels(conn: Connection[Any], asked: Asked) -> list[str]:
    """The funnels whose rate sets belong to the answer: the one asked about, that of the deal, or all."""
    if asked.funnel is not None:
        return [asked.funnel]
    query = sql.SQL(
        "SELECT DISTINCT funnel FROM {} WHERE %(deal_id)s::uuid IS NULL OR deal_id = %(deal_id)s ORDER BY 1"
    ).format(PROJECTION.view("forecast_audit_heads"))
    return [funnel for (funnel,) in conn.execute(query, {"deal_id": asked.deal_id}).fetchall()]


_SEES = (
    "(NOT coalesce(h.owner = ANY(%(own)s), false) AND NOT coalesce(a.owner = ANY(%(own)s), false)"
    " AND (%(owners)s::text[] IS NULL OR h.owner = ANY(%(owners)s))"
    " AND NOT EXISTS (SELECT FROM unnest(%(stint_deals)s::uuid[], %(joined)s::timestamptz[], %(left)s::timestamptz[],"
    " %(known)s::timestamptz[], %(left_known)s::timestamptz[]) AS w(deal_id, joined, gone, known, gone_known)"
    " WHERE w.deal_id = a.deal_id AND (w.gone IS NULL OR (w.joined <= {at} AND {at} < w.gone)"
    " OR (w.known <= {known} AND {known} < w.gone_known))))"
)
_SEEN = sql.SQL(_SEES).format(at=sql.SQL("a.occurred_at"), known=sql.SQL("a.known_at"))
_SEEN_BEFORE = sql.SQL(_SEES).format(
    at=sql.SQL("(a.occurred_at - interval '1 microsecond')"),
    known=sql.SQL("(a.known_at - interval '1 microsecond')"),
)
_OF_CLOSE_MONTH = sql.SQL(
    "coalesce(%(month)s = ANY(ARRAY[a.close_month_before, a.close_month_after]), false)"
)
_OF_FORECAST_MONTH = sql.SQL(
    "(coalesce(%(month)s = ANY(ARRAY[a.forecast_month_after, a.new_month]), false)"
    " OR (coalesce(%(month)s = ANY(ARRAY[a.forecast_month_before, a.old_month]), false) AND {}))"
).format(_SEEN_BEFORE)


def _rows(
    conn: Connection[Any],
    asked: Asked,
    sight: Sight,
    newest_first: bool,
    after: int | None,
    limit: int,
) -> list[tuple[AuditRow, str | None]]:
    """The rows that the viewer may see, each with the deal's owner of today."""
    wanted: list[sql.Composable] = [
        sql.SQL("(a.kind = 'F2' OR {})").format(_SEEN) if sight.any else sql.SQL("a.kind = 'F2'")
    ]
    if asked.funnel is not None:
        wanted.append(sql.SQL("a.funnel = %(funnel)s"))
    if asked.deal_id is not None:
        wanted.append(sql.SQL("a.deal_id = %(deal_id)s"))
    if asked.manager is not None:
        wanted.append(sql.SQL("%(manager)s IN (a.actor_id, a.on_behalf_of)"))
    if asked.month not in (None, EVENTUALLY):
        of_forecast = sql.SQL("({} AND {})").format(_SEEN, _OF_FORECAST_MONTH)
        wanted.append(
            sql.SQL("({} OR {})").format(_OF_CLOSE_MONTH, of_forecast) if sight.any else _OF_CLOSE_MONTH
        )
    if after is not None:
        wanted.append(sql.SQL("a.position {} %(after)s").format(sql.SQL("<" if newest_first else ">")))
    query = sql.SQL(
        "SELECT {}, h.owner FROM {} a JOIN {} h USING (deal_id) WHERE {} ORDER BY a.position {} LIMIT %(limit)s"
    ).format(
        sql.SQL(", ").join(
            sql.SQL("{}::text" if c.type == "json" else "{}").format(sql.Identifier("a", c.name))
            for c in PROJECTION.histories[0].columns
        ),
        PROJECTION.view("forecast_audit"),
        PROJECTION.view("forecast_audit_heads"),
        sql.SQL(" AND ").join(wanted),
        sql.SQL("DESC" if newest_first else "ASC"),
    )
    stints = [stint for of_deal in sight.stints.values() for stint in of_deal]
    parameters = {
        **msgspec.structs.asdict(asked),
        "own": sorted(sight.own),
        "stint_deals": [stint.deal_id for stint in stints],
        "joined": [stint.joined for stint in stints],
        "left": [stint.left for stint in stints],
        "known": [stint.known for stint in stints],
        "left_known": [stint.left_known for stint in stints],
        "owners": None if sight.owners is None else sorted(sight.owners),
        "after": after,
        "limit": limit,
    }
    return [(_read(row[:-1]), row[-1]) for row in conn.execute(query, parameters).fetchall()]


_JSON = {
    i: msgspec.json.Decoder(c.python).decode
    for i, c in enumerate(PROJECTION.histories[0].columns)
    if c.type == "json"
}


def _read(row: Sequence[Any]) -> AuditRow:
    values = list(row)
    for i, decode in _JSON.items():
        values[i] = values[i] and decode(values[i])
    return AuditRow(*values)


def _entry(
    conn: Connection[Any],
    asked: Asked,
    row: AuditRow,
    owner_now: str | None,
    sets: Sequence[AdoptedRateSet],
    sight: Sight,
) -> AuditEntry:
    shown_at = max(row.occurred_at, row.known_at)
    funnel = funnel_at(conn, row.funnel, shown_at, shown_at)
    assert funnel is not None, "a deal is opened in a funnel that is defined"
    chosen = in_force(sets, shown_at, shown_at)
    rates = Rates(chosen, {stage.key: stage.stall_after_days for stage in funnel.stages})
    clocks = (row.occurred_at, row.known_at)
    seen = sight.sees(row.deal_id, owner_now, row.owner, *clocks)
    seen_before = seen and sight.sees(row.deal_id, owner_now, row.owner, *(at - _INSTANT for at in clocks))
    told: dict[str, Any] = {name: getattr(row, name) for name in _ALWAYS & set(AuditRow.__struct_fields__)}
    if seen:
        told["f1_after"] = plain(_f1(funnel, asked.month, row.after))
    if seen_before:
        told["f1_before"] = plain(_f1(funnel, asked.month, row.before))
    if row.kind == "F2" or seen_before:
        told["old"] = row.old
    if row.kind == "F1":
        of_forecast = ("new_month", "team", "after_lock", "context", *(("old_month",) if seen_before else ()))
        told |= {name: getattr(row, name) for name in of_forecast}
    return AuditEntry(
        rate_set=chosen.number if chosen else None,
        f2_before=_f2(funnel, asked.month, row.before, rates, shown_at),
        f2_after=_f2(funnel, asked.month, row.after, rates, shown_at),
        **told,
    )


_ALWAYS = {f.name for f in msgspec.structs.fields(AuditEntry) if f.required and not f.name.startswith("f2_")}
_INSTANT = timedelta(microseconds=1)
"""Just before a change, what it changed was shown."""


def _month(funnel: Funnel, deal: DealThen) -> str | None:
    if not funnel.dated:
        return EVENTUALLY
    return None if deal.expected_close is None else f"{deal.expected_close:%Y-%m}"


def _f1(funnel: Funnel, asked: str | None, deal: DealThen | None) -> Decimal:
    if deal is None or deal.status != "open" or deal.forecast_amount is None:
        return Decimal(0)
    month = _month(funnel, deal)
    return deal.forecast_amount if month == deal.forecast_month and asked in (None, month) else Decimal(0)


def _f2(funnel: Funnel, asked: str | None, deal: DealThen | None, rates: Rates, at: datetime) -> str | None:
    month = _month(funnel, deal) if deal is not None else None
    if deal is None or deal.status != "open" or month is None or asked not in (None, month):
        return "0"
    rate = rates.of(deal.stage, deal.entered_at, at)
    return None if deal.amount is None or rate is None else plain(weighted_total([(deal.amount, rate)]))


def _adoption(
    conn: Connection[Any],
    asked: Asked,
    adopted: AdoptedRateSet,
    sets: Sequence[AdoptedRateSet],
    as_of: datetime,
) -> AuditEntry:
    """What a new rate set did to F2 of the month at the moment from which it was shown."""
    shown_at = max(adopted.effective_from, adopted.known_at)
    sets = [s for s in sets if s.funnel == adopted.funnel]
    before = in_force(sets, shown_at - _INSTANT, shown_at - _INSTANT)
    # One that another takes the place of at that very moment moves nothing.
    after = adopted if in_force(sets, shown_at, shown_at) == adopted else before
    moved: list[str | None] = [None, None]
    if asked.month is not None and shown_at <= as_of:
        at = then(conn, adopted.funnel, shown_at - _INSTANT, shown_at - _INSTANT)
        for place, chosen in enumerate((before, after)):
            rows = open_rows(conn, at, {asked.month}, at.rates(chosen))
            moved[place] = _f2_of([r.deal for r in rows if asked.deal_id in (None, r.deal.deal)], asked.month)
    same = (_ALWAYS & set(AdoptedRateSet.__struct_fields__)) - {"rate_set"}
    return AuditEntry(
        **{name: getattr(adopted, name) for name in same},
        kind="F2",
        field="rate_set",
        deal_id=None,
        old=str(before.number) if before else None,
        new=str(adopted.number),
        rate_set=adopted.number,
        f2_before=moved[0],
        f2_after=moved[1],
        corrects=None,
    )


def _f2_of(deals: Sequence[OpenDeal], month: str) -> str | None:
    found = figures(cell_of_open(deal) for deal in deals if deal.month == month).f2_open
    return None if found is None else plain(total([found]))
