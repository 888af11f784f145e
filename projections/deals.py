"""The deal list: each deal as it is now."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import (
    ActivityLogged,
    AmountRevised,
    DealAbandoned,
    DealGraded,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealRenamed,
    DealReopened,
    DealVoided,
    DealWon,
    ExpectedCloseRevised,
    OwnerRevised,
    StageAdvanced,
    StageRegressed,
    Status,
)
from domain.event import Recorded
from domain.money import plain
from domain.playbook import Grade
from projections.engine.description import Out, Projection, Table, topics_of


class DealRow(msgspec.Struct, frozen=True):
    """One deal. `version` is its stream's, for `If-Match`; `name_id` leads into the vault.

    `stage` is the last one it stood in; `entered_stage_at` when it came there. Times are when things happened in the
    business, except `known_at`: when the last change became known. `graded_by` says whether the amount gave the grade,
    or somebody by hand, who then gave a reason.
    """

    deal_id: UUID
    version: int
    funnel: str
    stage: str
    status: Status
    name_id: UUID | None
    account_id: UUID | None
    owner: str | None
    amount: Decimal | None
    currency: str | None
    expected_close: date | None
    product_line: str | None
    customer_segment: str | None
    region: str | None
    grade: Grade | None
    graded_by: Literal["amount", "override"] | None
    grade_reason: str | None
    external_source: str | None
    external_id: str | None
    merged_into: UUID | None
    opened_at: datetime
    entered_stage_at: datetime
    closed_at: datetime | None
    changed_at: datetime
    known_at: datetime
    activities: int
    last_activity_at: datetime | None


def fold(deal: DealRow | None, e: Recorded, _: Out) -> DealRow:
    """The deal after the event."""
    event, at = e.event, e.meta.occurred_at
    if type(event) is DealOpened:
        return _opened(event, e)
    assert deal is not None, "a stream of a deal begins with deal.opened"
    if type(event) is ActivityLogged:
        last = max(deal.last_activity_at or at, at)
        return msgspec.structs.replace(
            deal, version=e.version, activities=deal.activities + 1, last_activity_at=last
        )
    return msgspec.structs.replace(
        deal,
        version=e.version,
        changed_at=max(deal.changed_at, at),  # a note may be back-dated
        known_at=max(deal.known_at, e.known_at),
        **_changes(event, at),
    )


def _changes(event: Any, at: datetime) -> dict[str, Any]:
    match event:
        case StageAdvanced() | StageRegressed():
            return {"stage": event.to_stage, "entered_stage_at": at}
        case AmountRevised():
            amount = event.to_amount
            return {"amount": amount and amount.amount, "currency": amount and amount.currency}
        case ExpectedCloseRevised():
            return {"expected_close": event.to_date}
        case OwnerRevised():
            return {"owner": event.to_owner}
        case DealGraded():
            return {"grade": event.to_grade, "graded_by": event.by, "grade_reason": event.reason}
        case DealRenamed():
            return {"name_id": event.name.id}
        case DealWon() | DealLost() | DealAbandoned() | DealVoided():
            return {"status": _ENDED[type(event)], "closed_at": at}
        case DealReopened():
            return {"status": "open", "closed_at": None, "stage": event.to_stage, "entered_stage_at": at}
        case DealMergedInto():
            return {"status": "merged", "closed_at": at, "merged_into": event.into}
    return {}


_ENDED = {DealWon: "won", DealLost: "lost", DealAbandoned: "abandoned", DealVoided: "voided"}


def _opened(event: DealOpened, e: Recorded) -> DealRow:
    at = e.meta.occurred_at
    return DealRow(  # by place: so many names take longer than all the rest
        e.stream_id,
        e.version,
        event.funnel,
        event.stage,
        "open",
        event.name.id if event.name else None,
        event.account_id,
        event.owner,
        event.amount.amount if event.amount else None,
        event.amount.currency if event.amount else None,
        event.expected_close,
        event.product_line,
        event.customer_segment,
        event.region,
        None,
        None,
        None,
        event.external.source if event.external else None,
        event.external.id if event.external else None,
        None,
        at,
        at,
        None,
        at,
        e.known_at,
        0,
        None,
    )


PROJECTION = Projection(
    name="deals",
    version=1,
    topics=topics_of("deal"),
    fold=fold,
    head=Table(
        "deals",
        DealRow,
        key=("deal_id",),
        indexes=(
            "(opened_at, deal_id)",
            "(changed_at, deal_id)",
            "(owner, changed_at)",
            "(account_id) WHERE account_id IS NOT NULL",
            "(external_id text_pattern_ops) WHERE external_id IS NOT NULL",
            "(name_id) WHERE name_id IS NOT NULL",
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------

SortKey = Literal["opened_at", "changed_at", "entered_stage_at", "closed_at", "expected_close", "amount"]
GONE = ("voided", "merged")


class DealFilter(msgspec.Struct, frozen=True):
    """Which deals. Ranges include their lower end and exclude their upper one; amounts include both.

    Voided and merged deals show only when `status` asks for them. `search` finds names that contain it and external
    ids that begin with it.
    """

    funnel: str | None = None
    stage: str | None = None
    status: tuple[Status, ...] = ()
    owner: str | None = None
    account_id: UUID | None = None
    product_line: str | None = None
    customer_segment: str | None = None
    region: str | None = None
    grade: Grade | None = None
    owners: frozenset[str] | None = None
    external_id: str | None = None
    amount_from: Decimal | None = None
    amount_to: Decimal | None = None
    opened_from: datetime | None = None
    opened_to: datetime | None = None
    closed_from: datetime | None = None
    closed_to: datetime | None = None
    search: str | None = None


class DealView(DealRow, frozen=True):
    """A deal with its name; `name` is null where there is none or it was erased. `amount` is a decimal string."""

    name: str | None = None


_EQUAL = (
    "funnel", "stage", "owner", "account_id", "product_line", "customer_segment", "region", "grade", "external_id",
)  # fmt: skip
_RANGES = {
    "amount_from": ("amount", ">="),
    "amount_to": ("amount", "<="),
    "opened_from": ("opened_at", ">="),
    "opened_to": ("opened_at", "<"),
    "closed_from": ("closed_at", ">="),
    "closed_to": ("closed_at", "<"),
}
_MAY_BE_NULL = frozenset(c.name for c in PROJECTION.tables[0].columns if c.nullable)
_SELECT = sql.SQL(
    "SELECT {columns}, v.text FROM {deals} d LEFT JOIN dealtrace.vault v ON v.id = d.name_id"
).format(
    columns=sql.SQL(", ").join(sql.Identifier("d", n) for n in DealRow.__struct_fields__),
    deals=PROJECTION.view("deals"),
)


def deal(conn: Connection[Any], deal_id: UUID) -> DealView | None:
    """One deal, also a voided or merged one; None if there is none."""
    row = conn.execute(_SELECT + sql.SQL(" WHERE d.deal_id = %s"), [deal_id]).fetchone()
    return _view(row) if row else None


def deals(
    conn: Connection[Any],
    where: DealFilter = DealFilter(),  # noqa: B008 -- frozen
    *,
    sort: SortKey = "opened_at",
    descending: bool = True,
    after: tuple[Any, UUID] | None = None,
    limit: int = 50,
) -> list[DealView]:
    """A page of deals, sorted, deals without the sort key's value last.

    `after` is (the sort key's value, deal_id) of the last deal of the page before; so pages neither repeat nor miss a
    deal that stays in place.
    """
    conditions, parameters = _conditions(where)
    key, id_ = sql.Identifier("d", sort), sql.Identifier("d", "deal_id")
    if after is not None:
        than = sql.SQL("<" if descending else ">")
        value, parameters["after_id"] = after
        if value is None:
            conditions.append(sql.SQL("{} IS NULL AND {} {} %(after_id)s").format(key, id_, than))
        else:
            parameters["after"] = value
            beyond = sql.SQL("({}, {}) {} (%(after)s, %(after_id)s)").format(key, id_, than)
            if sort in _MAY_BE_NULL:
                beyond = sql.SQL("({} OR {} IS NULL)").format(beyond, key)
            conditions.append(beyond)
    direction = sql.SQL("DESC" if descending else "ASC")
    # Where the column holds no nulls, saying where they go would only keep the index from being used.
    nulls = sql.SQL(" NULLS LAST" if sort in _MAY_BE_NULL else "")
    query = sql.SQL("{} WHERE {} ORDER BY {} {}{}, {} {} LIMIT %(limit)s").format(
        _SELECT, sql.SQL(" AND ").join(conditions), key, direction, nulls, id_, direction
    )
    rows = conn.execute(query, {**parameters, "limit": limit}).fetchall()
    return [_view(row) for row in rows]


def _conditions(where: DealFilter) -> tuple[list[sql.Composable], dict[str, Any]]:
    given = {f: getattr(where, f) for f in where.__struct_fields__ if getattr(where, f) not in (None, ())}
    conditions: list[sql.Composable] = []
    for field, value in given.items():
        if field in _EQUAL:
            conditions.append(sql.SQL("{} = {}").format(sql.Identifier("d", field), sql.Placeholder(field)))
        elif field == "owners":
            given = {**given, "owners": sorted(value)}
            conditions.append(sql.SQL("d.owner = ANY(%(owners)s::text[])"))
        elif field in _RANGES:
            column, than = _RANGES[field]
            conditions.append(
                sql.SQL("{} {} {}").format(sql.Identifier("d", column), sql.SQL(than), sql.Placeholder(field))
            )
        elif field == "search":
            escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            given = {**given, "prefix": f"{escaped}%", "part": f"%{escaped}%"}
            conditions.append(
                sql.SQL(
                    "(d.external_id LIKE %(prefix)s"
                    " OR d.name_id IN (SELECT id FROM dealtrace.vault WHERE text ILIKE %(part)s))"
                )
            )
    if where.status:
        given["status"] = list(where.status)
        conditions.append(sql.SQL("d.status = ANY(%(status)s)"))
    else:
        given["status"] = list(GONE)
        conditions.append(sql.SQL("d.status <> ALL(%(status)s)"))
    return conditions, given


def _view(row: tuple[Any, ...]) -> DealView:
    view = DealView(*row)
    return view if view.amount is None else msgspec.structs.replace(view, amount=Decimal(plain(view.amount)))
