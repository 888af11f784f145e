"""The funnel with its whole history: what every deal looked like at any moment, as known at any moment."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import (
    AmountRevised,
    DealAbandoned,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealReopened,
    DealVoided,
    DealWon,
    OwnerRevised,
    StageAdvanced,
    StageRegressed,
)
from domain.event import Recorded
from domain.money import plain
from projections.deals import PROJECTION as DEALS
from projections.engine.description import Out, Projection, Table, topics
from projections.filters import NO_FILTERS, Filters
from projections.playbook import MACRO_STAGES, funnels_at, stages_at


class DealState(msgspec.Struct, frozen=True):
    """A deal from one change until the next.

    In force at (T, K) iff occurred_at <= T and known_at <= K, and not (next_occurred_at <= T and next_known_at <= K):
    both clocks never run backwards over a deal's state, so the events selected by (T, K) are its first ones.
    A voided or merged deal has no row that is in force.
    """

    deal_id: UUID
    seq: int
    """The version of the deal's stream that brought it."""
    occurred_at: datetime
    known_at: datetime
    funnel: str
    status: str
    stage: str
    amount: Decimal | None
    owner: str | None
    account_id: UUID | None
    product_line: str | None
    customer_segment: str | None
    region: str | None
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class FunnelHead(msgspec.Struct, frozen=True):
    """The deal's last state. `gone` once it was voided or merged."""

    deal_id: UUID
    seq: int
    gone: bool
    funnel: str
    status: str
    stage: str
    amount: Decimal | None
    owner: str | None
    account_id: UUID | None
    product_line: str | None
    customer_segment: str | None
    region: str | None


def fold(head: FunnelHead | None, e: Recorded, out: Out) -> FunnelHead:
    """Close the state in force and insert the one that follows it."""
    event, clocks = e.event, (e.meta.occurred_at, e.known_at)
    if type(event) is DealOpened:
        after = FunnelHead(
            e.stream_id, e.version, False, event.funnel, "open", event.stage,
            event.amount.amount if event.amount else None, event.owner, event.account_id,
            event.product_line, event.customer_segment, event.region,
        )  # fmt: skip
    else:
        assert head is not None, "a stream of a deal begins with deal.opened"
        if head.gone:
            return head
        out.close(DealState, (head.deal_id, head.seq), clocks)
        after = msgspec.structs.replace(head, seq=e.version, **_changes(event))
    if not after.gone:
        out.insert(
            DealState(
                after.deal_id, after.seq, *clocks, after.funnel, after.status, after.stage, after.amount,
                after.owner, after.account_id, after.product_line, after.customer_segment, after.region,
            )  # fmt: skip
        )
    return after


_OUTCOME = {DealWon: "won", DealLost: "lost", DealAbandoned: "abandoned"}


def _changes(event: Any) -> dict[str, Any]:
    match event:
        case StageAdvanced() | StageRegressed():
            return {"stage": event.to_stage}
        case AmountRevised():
            return {"amount": event.to_amount.amount if event.to_amount else None}
        case OwnerRevised():
            return {"owner": event.to_owner}
        case DealReopened():
            return {"status": "open", "stage": event.to_stage}
        case DealVoided() | DealMergedInto():
            return {"gone": True}
    return {"status": _OUTCOME[type(event)]}


PROJECTION = Projection(
    name="funnel",
    version=1,
    topics=topics(
        DealOpened, StageAdvanced, StageRegressed, AmountRevised, OwnerRevised, DealWon, DealLost, DealAbandoned,
        DealReopened, DealVoided, DealMergedInto,
    ),  # fmt: skip
    fold=fold,
    head=Table("funnel_heads", FunnelHead, key=("deal_id",)),
    histories=(
        Table(
            "deal_states",
            DealState,
            key=("deal_id", "seq"),
            closing=("next_occurred_at", "next_known_at"),
            indexes=(
                "(funnel, stage, account_id) INCLUDE (amount, occurred_at, known_at)"
                " WHERE status = 'open' AND next_occurred_at IS NULL",
                "(funnel, next_occurred_at) WHERE status = 'open' AND next_occurred_at IS NOT NULL",
            ),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------


class Total(msgspec.Struct, frozen=True):
    """Open deals: how many, of how many distinct known customers, and their summed amount as a decimal string.

    A deal without an account counts as no customer; one of unknown amount adds nothing to the sum.
    """

    deals: int
    customers: int
    amount: str


class StageFigures(msgspec.Struct, frozen=True):
    """The same in one stage."""

    stage: str
    macro_stage: str
    deals: int
    customers: int
    amount: str


class Snapshot(msgspec.Struct, frozen=True):
    """A funnel at (T, K), the stages in its order, empty ones included. `position`: what of the log it reflects."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    stages: tuple[StageFigures, ...]
    total: Total


class MacroFigures(msgspec.Struct, frozen=True):
    """Open deals in one macro-stage. A customer counts once in each macro-stage where it has an open deal, and in
    `customers_at_furthest` only in the furthest of them, so that those add up to the total."""

    macro_stage: str
    deals: int
    customers: int
    customers_at_furthest: int
    amount: str


class Rollup(msgspec.Struct, frozen=True):
    """One funnel or all of them, by the macro-stages that funnels share."""

    funnel: str | None
    as_of: datetime
    known_at: datetime | None
    position: int
    macro_stages: tuple[MacroFigures, ...]
    total: Total


class CellDeal(msgspec.Struct, frozen=True):
    """A deal behind a cell of the funnel, as it was at (T, K); name and external id as they are now."""

    deal_id: UUID
    funnel: str
    stage: str
    macro_stage: str
    amount: str | None
    owner: str | None
    account_id: UUID | None
    product_line: str | None
    customer_segment: str | None
    region: str | None
    external_id: str | None
    name: str | None


def snapshot(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
) -> Snapshot:
    """Open deals per stage of a funnel as of T (now, when the caller says so), as known at K (None: today).

    Raises UnknownFunnel.
    """
    query = sql.SQL(
        "WITH open_deals AS MATERIALIZED ({open_deals}),"
        " by_customer AS (SELECT stage, account_id, count(*) AS deals, sum(amount) AS amount"
        " FROM open_deals GROUP BY stage, account_id)"
        " SELECT {position}, stage, coalesce(sum(deals), 0)::bigint, count(DISTINCT account_id),"
        " coalesce(sum(amount), 0) FROM by_customer GROUP BY GROUPING SETS ((stage), ())"
    ).format(open_deals=_open_deals(filters, funnel, known_at), position=PROJECTION.position)
    rows = conn.execute(query, _parameters(filters, funnel, as_of, known_at)).fetchall()
    found = {stage: (deals, customers, plain(amount)) for _, stage, deals, customers, amount in rows}
    total = found.pop(None)
    stages = stages_at(conn, funnel, as_of, known_at).showing(found)
    return Snapshot(
        funnel,
        as_of,
        known_at,
        rows[0][0],
        tuple(StageFigures(s.key, s.macro_stage, *found.get(s.key, (0, 0, "0"))) for s in stages),
        Total(*total),
    )


def rollup(
    conn: Connection[Any],
    funnel: str | None = None,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
) -> Rollup:
    """Open deals per macro-stage at (T, K), of one funnel or of all. Raises UnknownFunnel."""
    query = sql.SQL(
        "WITH open_deals AS MATERIALIZED (SELECT o.*, m.macro FROM ({open_deals}) o JOIN {stages}"
        " AS m(funnel, stage, macro) USING (funnel, stage)),"
        " furthest AS (SELECT macro, count(*) AS customers FROM (SELECT max(macro) AS macro FROM open_deals"
        " WHERE account_id IS NOT NULL GROUP BY account_id) f GROUP BY macro)"
        " SELECT {position}, macro, count(*), count(DISTINCT account_id), coalesce(sum(amount), 0),"
        " (SELECT customers FROM furthest WHERE furthest.macro = open_deals.macro)"
        " FROM open_deals GROUP BY GROUPING SETS ((macro), ())"
    ).format(
        open_deals=_open_deals(filters, funnel, known_at),
        stages=_STAGES,
        position=PROJECTION.position,
    )
    places = _places(conn, funnel, as_of, known_at)
    rows = conn.execute(query, {**_parameters(filters, funnel, as_of, known_at), **places}).fetchall()
    found = {macro: (d, c, f or 0, plain(a)) for _, macro, d, c, a, f in rows}
    deals, customers, _, amount = found.pop(None)
    return Rollup(
        funnel,
        as_of,
        known_at,
        rows[0][0],
        tuple(MacroFigures(m, *found.get(i, (0, 0, 0, "0"))) for i, m in enumerate(MACRO_STAGES)),
        Total(deals, customers, amount),
    )


def cell(
    conn: Connection[Any],
    funnel: str | None = None,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    stage: str | None = None,
    macro_stage: str | None = None,
    filters: Filters = NO_FILTERS,
    after: tuple[Decimal | None, UUID] | None = None,
    limit: int = 50,
) -> list[CellDeal]:
    """A page of the open deals behind a figure of `snapshot` or `rollup`, by falling amount, unknown ones last.

    `after` is (amount, deal_id) of the last deal of the page before. Raises UnknownFunnel.
    """
    wanted: list[sql.Composable] = [sql.SQL("true")]
    if stage is not None:
        wanted.append(sql.SQL("o.stage = %(stage)s"))
    if macro_stage is not None:
        wanted.append(sql.SQL("macro = %(macro)s"))
    if after is not None:
        wanted.append(sql.SQL("(coalesce(o.amount, -1), o.deal_id) < (%(after)s, %(after_id)s)"))
    query = sql.SQL(
        "SELECT o.deal_id, o.funnel, o.stage, macro, o.amount, o.owner, o.account_id, o.product_line,"
        " o.customer_segment, o.region, d.external_id, v.text"
        " FROM ({open_deals}) o JOIN {stages} AS m(funnel, stage, macro) USING (funnel, stage)"
        " LEFT JOIN {deals} d ON d.deal_id = o.deal_id LEFT JOIN dealtrace.vault v ON v.id = d.name_id"
        " WHERE {wanted} ORDER BY coalesce(o.amount, -1) DESC, o.deal_id DESC LIMIT %(limit)s"
    ).format(
        open_deals=_open_deals(filters, funnel, known_at),
        stages=_STAGES,
        deals=DEALS.view("deals"),
        wanted=sql.SQL(" AND ").join(wanted),
    )
    amount, deal_id = after or (None, None)
    parameters = {
        **_parameters(filters, funnel, as_of, known_at),
        **_places(conn, funnel, as_of, known_at),
        "stage": stage,
        "macro": MACRO_STAGES.index(macro_stage) if macro_stage in MACRO_STAGES else -1,
        "after": Decimal(-1) if amount is None else amount,
        "after_id": deal_id,
        "limit": limit,
    }
    return [
        CellDeal(*row[:3], MACRO_STAGES[row[3]], None if row[4] is None else plain(row[4]), *row[5:])
        for row in conn.execute(query, parameters).fetchall()
    ]


_STAGES = sql.SQL("unnest(%(stage_funnels)s::text[], %(stage_keys)s::text[], %(stage_macros)s::int[])")


def _open_deals(filters: Filters, funnel: str | None, known_at: datetime | None) -> sql.Composed:
    """The rows of open deals in force at (T, K): rows that are last, which an index holds apart, and the others."""
    conditions = sql.SQL("status = 'open' AND occurred_at <= %(as_of)s") + filters.where("s")
    if funnel is not None:
        conditions += sql.SQL(" AND funnel = %(funnel)s")
    ended_later = sql.SQL("next_occurred_at > %(as_of)s")
    if known_at is not None:
        conditions += sql.SQL(" AND known_at <= %(known_at)s")
        ended_later = sql.SQL("(next_occurred_at > %(as_of)s OR next_known_at > %(known_at)s)")
    return sql.SQL(
        "SELECT * FROM {states} s WHERE {conditions} AND next_occurred_at IS NULL"
        " UNION ALL SELECT * FROM {states} s WHERE {conditions} AND next_occurred_at IS NOT NULL AND {ended_later}"
    ).format(states=PROJECTION.view("deal_states"), conditions=conditions, ended_later=ended_later)


def _parameters(
    filters: Filters, funnel: str | None, as_of: datetime, known_at: datetime | None
) -> dict[str, Any]:
    return {**filters.parameters(), "funnel": funnel, "as_of": as_of, "known_at": known_at}


def _places(
    conn: Connection[Any], funnel: str | None, as_of: datetime, known_at: datetime | None
) -> dict[str, Any]:
    """The macro-stage of every stage of the funnel, or of all funnels, as parameters."""
    keys = [funnel] if funnel else [f.key for f in funnels_at(conn, as_of, known_at)]
    stages = [(key, stage) for key in keys for stage in stages_at(conn, key, as_of, known_at).all]
    return {
        "stage_funnels": [key for key, _ in stages],
        "stage_keys": [stage.key for _, stage in stages],
        "stage_macros": [MACRO_STAGES.index(stage.macro_stage) for _, stage in stages],
    }
