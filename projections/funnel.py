"""The funnel with its whole history: what every deal looked like at any moment, as known at any moment."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.money import plain
from projections.deal_states import TOPICS, DealState, FunnelHead, fold
from projections.deals import PROJECTION as DEALS
from projections.engine.description import Projection, Table
from projections.filters import NO_FILTERS, Filters
from projections.open_deals import STAGES, OpenDeals, places_of_stages
from projections.playbook import MACRO_STAGES, require_known, stages_at

_OPEN_NOW = "WHERE status = 'open' AND next_occurred_at IS NULL"
_OPEN_THEN = "WHERE status = 'open' AND next_occurred_at IS NOT NULL"
_FORECAST = "INCLUDE (deal_id, owner, stage, amount, entered_at, closed_times, known_at)"
"""What a forecast asks of a deal beside its expected close: read from the index alone."""

PROJECTION = Projection(
    name="funnel",
    version=1,
    topics=TOPICS,
    fold=fold,
    head=Table("funnel_heads", FunnelHead, key=("deal_id",), indexes=("(owner)",)),
    histories=(
        Table(
            "deal_states",
            DealState,
            key=("deal_id", "seq"),
            closing=("next_occurred_at", "next_known_at"),
            indexes=(
                # The funnel now is read from the first two alone: narrow, and in the order in which customers are told
                # apart, by stage and in all. The third is for some people's deals, the other filters, and ages.
                f"(funnel, stage, account_id) INCLUDE (amount_thousandths, occurred_at) {_OPEN_NOW}",
                f"(funnel, account_id) INCLUDE (occurred_at) {_OPEN_NOW}",
                (
                    "(funnel, owner) INCLUDE (deal_id, stage, grade, entered_at, amount, account_id,"
                    " amount_thousandths, occurred_at, known_at, product_line, customer_segment, region)"
                    f" {_OPEN_NOW}"
                ),
                f"(funnel, expected_close, occurred_at) {_FORECAST} {_OPEN_NOW}",
                # The funnel comes last, where sorting seldom looks at it: these two are of all that ever was.
                f"(next_occurred_at, funnel) {_OPEN_THEN}",
                (
                    "(expected_close, next_occurred_at, next_known_at, occurred_at, funnel)"
                    f" {_FORECAST} {_OPEN_THEN}"
                ),
                "(funnel, closed_at) WHERE status = 'won'",
            ),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------

FORMULA = "funnel/1"


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
    formula: str = FORMULA


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
    formula: str = FORMULA


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
    stages = stages_at(conn, funnel, as_of, known_at)
    position, customers, counted = _counts(
        conn, _open_deals(filters, funnel, known_at), _parameters(filters, funnel, as_of, known_at)
    )
    numbers = {s.key: counted.get(s.key, (0, 0, Decimal())) for s in stages.all}
    shown = stages.showing([key for key, (deals, _, _) in numbers.items() if deals])
    deals, _, amounts = zip(*numbers.values(), strict=True)
    return Snapshot(
        funnel,
        as_of,
        known_at,
        position,
        tuple(StageFigures(s.key, s.macro_stage, *_figures(*numbers[s.key])) for s in shown),
        Total(*_figures(sum(deals), customers, sum(amounts, Decimal()))),
    )


def _counts(
    conn: Connection[Any], open_deals: OpenDeals, parameters: dict[str, Any]
) -> tuple[int, int, dict[str, tuple[int, int, Decimal]]]:
    """The position, the customers of all stages, and by stage its deals, customers and amount in thousandths."""
    quick = sql.SQL("SELECT {}, ({}), q.* FROM (SELECT) AS one LEFT JOIN ({}) q ON true").format(
        PROJECTION.position, open_deals.followed(), open_deals.counts_of_last_rows()
    )
    # Never prepared: which index finds the rows followed after T depends on how long ago that is.
    rows = conn.execute(quick, parameters, prepare=False).fetchall()
    if rows[0][1]:
        whole = sql.SQL("SELECT {}, true, q.* FROM (SELECT) AS one LEFT JOIN ({}) q ON true").format(
            PROJECTION.position, open_deals.counts()
        )
        rows = conn.execute(whole, parameters, prepare=False).fetchall()
    by_stage = {
        stage: (deals, customers, amount) for _, _, stage, deals, customers, amount, _ in rows if stage
    }
    return rows[0][0], rows[0][-1] or 0, by_stage


def _figures(deals: int, customers: int, thousandths: Decimal) -> tuple[int, int, str]:
    return deals, customers, plain(thousandths / 1000)


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
        "WITH open_deals AS MATERIALIZED (SELECT o.account_id, o.amount, m.macro FROM ({open_deals}) o JOIN {stages}"
        " AS m(funnel, stage, macro) USING (funnel, stage)),"
        " furthest AS (SELECT macro, count(*) AS customers FROM (SELECT max(macro) AS macro FROM open_deals"
        " WHERE account_id IS NOT NULL GROUP BY account_id) f GROUP BY macro)"
        " SELECT {position}, macro, count(*), count(DISTINCT account_id), coalesce(sum(amount), 0),"
        " (SELECT customers FROM furthest WHERE furthest.macro = open_deals.macro)"
        " FROM open_deals GROUP BY GROUPING SETS ((macro), ())"
    ).format(
        open_deals=_open_deals(filters, funnel, known_at).rows(),
        stages=STAGES,
        position=PROJECTION.position,
    )
    places = places_of_stages(conn, funnel, as_of, known_at)
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

    `after` is (amount, deal_id) of the last deal of the page before. Raises UnknownFunnel or UnknownStage.
    """
    wanted: list[sql.Composable] = [sql.SQL("true")]
    if stage is not None:
        require_known(conn, funnel, stage)
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
        open_deals=_open_deals(filters, funnel, known_at).rows(),
        stages=STAGES,
        deals=DEALS.view("deals"),
        wanted=sql.SQL(" AND ").join(wanted),
    )
    amount, deal_id = after or (None, None)
    parameters = {
        **_parameters(filters, funnel, as_of, known_at),
        **places_of_stages(conn, funnel, as_of, known_at),
        "stage": stage,
        "macro": MACRO_STAGES.index(macro_stage) if macro_stage in MACRO_STAGES else -1,
        "after": Decimal(-1) if amount is None else amount,
        "after_id": deal_id,
        "limit": limit,
    }
    return [
        CellDeal(
            deal_id, key, in_stage, MACRO_STAGES[macro], None if amount is None else plain(amount), *rest
        )
        for deal_id, key, in_stage, macro, amount, *rest in conn.execute(query, parameters).fetchall()
    ]


def _open_deals(filters: Filters, funnel: str | None, known_at: datetime | None) -> OpenDeals:
    return OpenDeals(
        PROJECTION.view("deal_states"),
        filters,
        one_funnel=funnel is not None,
        with_known_at=known_at is not None,
    )


def _parameters(
    filters: Filters, funnel: str | None, as_of: datetime, known_at: datetime | None
) -> dict[str, Any]:
    return {**filters.parameters(), "funnel": funnel, "as_of": as_of, "known_at": known_at}
