"""The audit of forecasts: one row for every event of a manager forecast, and for every event of a deal that moves F2."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.calendar import Period
from domain.deal import (
    AmountRevised,
    DealAbandoned,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealReopened,
    DealVoided,
    DealWon,
    ExpectedCloseRevised,
    OwnerRevised,
    StageAdvanced,
    StageRegressed,
)
from domain.event import Recorded
from domain.forecast_sight import Sight
from domain.manager_forecast import ForecastSet, ForecastWithdrawn, Seen
from domain.money import Money, plain
from projections.engine.description import Out, Projection, Table, topics
from projections.forecast_rows import Then

Field = Literal["forecast", "amount", "expected_close", "stage", "outcome", "rate_set"]


class DealThen(msgspec.Struct, frozen=True):
    """All of a deal that F1 and F2 are computed from, beside rates. `forecast_month`: of the forecast in force."""

    status: str
    stage: str
    amount: Decimal | None
    expected_close: date | None
    entered_at: datetime
    forecast_month: str | None = None
    forecast_amount: Decimal | None = None


class AuditRow(msgspec.Struct, frozen=True):
    """One event that changed F1 (a manager forecast) or moved F2, in the order of the log.

    `before` is null for the event that opened the deal. The months are those of the expected close and of the
    forecast in force, before and after.
    """

    position: int
    event_id: UUID
    kind: Literal["F1", "F2"]
    field: Field
    deal_id: UUID
    funnel: str
    owner: str | None
    team: str | None
    """As the decision about a forecast saw it; null for F2."""
    actor_id: str
    actor_role: str
    actor_auth: str
    on_behalf_of: str | None
    occurred_at: datetime
    known_at: datetime
    recorded_at: datetime
    claimed: bool
    old: str | None
    new: str | None
    old_month: str | None
    new_month: str | None
    reason: str | None
    after_lock: bool
    context: Seen | None
    before: DealThen | None
    after: DealThen
    close_month_before: str | None
    close_month_after: str | None
    forecast_month_before: str | None
    forecast_month_after: str | None
    corrects: UUID | None
    correlation_id: str
    causation_id: str


class AuditHead(msgspec.Struct, frozen=True):
    """The deal as F1 and F2 see it now."""

    deal_id: UUID
    funnel: str
    owner: str | None
    deal: DealThen


def fold(head: AuditHead | None, e: Recorded, out: Out) -> AuditHead:
    """The deal after the event, and the row that tells of it."""
    event, kind = e.event, type(e.event)
    if kind is DealOpened:
        deal = DealThen("open", event.stage, _amount(event.amount), event.expected_close, e.meta.occurred_at)
        head = AuditHead(e.meta.partition_key, event.funnel, event.owner, deal)
        out.insert(_row(head, None, e, "outcome", None, "open"))
        return head
    assert head is not None, "a stream of a deal begins with deal.opened"
    if kind is OwnerRevised:
        return msgspec.structs.replace(head, owner=event.to_owner)
    if kind in _FORECAST_EVENTS:
        changes, told = _forecast(event)
    else:
        changes, told = _moved(head.deal, event, e.meta.occurred_at)
    after = AuditHead(head.deal_id, head.funnel, head.owner, msgspec.structs.replace(head.deal, **changes))
    out.insert(_row(after, head.deal, e, *told))
    return after


_FORECAST_EVENTS = (ForecastSet, ForecastWithdrawn)
_Told = tuple[dict[str, Any], tuple[Field, str | None, str | None]]
"""What an event changes, and the field with its old and new value."""


def _forecast(event: ForecastSet | ForecastWithdrawn) -> _Told:
    forecast = event.forecast if isinstance(event, ForecastSet) else None
    changes = {
        "forecast_month": forecast.month if forecast else None,
        "forecast_amount": forecast.amount.amount if forecast else None,
    }
    old = plain(event.previous.amount.amount) if event.previous else None
    return changes, ("forecast", old, plain(forecast.amount.amount) if forecast else None)


_OUTCOME: dict[type, str] = {
    DealWon: "won",
    DealLost: "lost",
    DealAbandoned: "abandoned",
    DealVoided: "voided",
    DealMergedInto: "merged",
}
_LAPSED = {"forecast_month": None, "forecast_amount": None}


def _moved(deal: DealThen, event: Any, at: datetime) -> _Told:
    match event:
        case StageAdvanced() | StageRegressed():
            changes: dict[str, Any] = {"stage": event.to_stage, "entered_at": at}
            return changes, ("stage", deal.stage, event.to_stage)
        case AmountRevised():
            amount = _amount(event.to_amount)
            return {"amount": amount}, ("amount", _text(deal.amount), _text(amount))
        case ExpectedCloseRevised():
            day = event.to_date
            return {"expected_close": day}, ("expected_close", _day(deal.expected_close), _day(day))
        case DealReopened():
            changes = {"status": "open", "stage": event.to_stage, "entered_at": at}
            return changes, ("outcome", deal.status, "open")
    outcome = _OUTCOME[type(event)]
    return {"status": outcome, **_LAPSED}, ("outcome", deal.status, outcome)


def _row(
    head: AuditHead, before: DealThen | None, e: Recorded, field: Field, old: str | None, new: str | None
) -> AuditRow:
    event, meta, actor, after = e.event, e.meta, e.meta.actor, head.deal
    forecast = field == "forecast"
    previous = event.previous if forecast else None
    following = event.forecast if forecast and isinstance(event, ForecastSet) else None
    reason = getattr(event, "override_reason", None) or getattr(event, "reason", None)
    return AuditRow(  # by place: so many names take longer than all the rest
        e.position,
        meta.event_id,
        "F1" if forecast else "F2",
        field,
        head.deal_id,
        head.funnel,
        head.owner,
        event.seen.team if forecast else None,
        actor.id,
        actor.role,
        actor.auth,
        actor.on_behalf_of,
        meta.occurred_at,
        e.known_at,
        e.recorded_at,
        meta.source_recorded_at is not None,
        old,
        new,
        previous.month if previous else None,
        following.month if following else None,
        reason,
        forecast and event.after_lock,
        event.seen if forecast else None,
        before,
        after,
        _month(before.expected_close) if before else None,
        _month(after.expected_close),
        before.forecast_month if before else None,
        after.forecast_month,
        meta.corrects,
        meta.correlation_id,
        meta.causation_id,
    )


def _amount(money: Money | None) -> Decimal | None:
    return None if money is None else money.amount


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


@lru_cache(4_096)
def _month(day: date | None) -> str | None:
    return None if day is None else f"{day:%Y-%m}"


PROJECTION = Projection(
    name="forecast_audit",
    version=1,
    topics=topics(
        DealOpened,
        StageAdvanced,
        StageRegressed,
        AmountRevised,
        ExpectedCloseRevised,
        OwnerRevised,
        DealWon,
        DealLost,
        DealAbandoned,
        DealReopened,
        DealVoided,
        DealMergedInto,
        ForecastSet,
        ForecastWithdrawn,
    ),
    fold=fold,
    head=Table("forecast_audit_heads", AuditHead, key=("deal_id",)),
    histories=(
        Table(
            "forecast_audit",
            AuditRow,
            key=("position",),
            processing=("position", "event_id", "recorded_at", "correlation_id", "causation_id"),
            indexes=(
                "(deal_id, position)",
                "(funnel, position)",
                "(new_month, actor_id) WHERE kind = 'F1'",
            ),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------


class ForecastChanges(msgspec.Struct):
    """How often forecasts were changed; `hidden` once the viewer may not see one of them."""

    changes: int = 0
    in_last_week: int = 0
    hidden: bool = False


def forecast_changes(
    conn: Connection[Any], funnel: str, months: Sequence[Period], at: Then, sight: Sight
) -> dict[str, dict[str | None, ForecastChanges]]:
    """Events of forecasts for the months at (T, K), by who forecast, by the team of the deal, and in all.

    The last week of a month are its last seven days and whatever comes after; a change comes when it is known, too.
    """
    found: dict[str, dict[str | None, ForecastChanges]] = {"manager": {}, "team": {}, "all": {}}
    last_week = {m.label: m.end.astimezone(at.tz) - timedelta(days=7) for m in months}  # by the local clock
    query = sql.SQL(
        "SELECT coalesce(a.on_behalf_of, a.actor_id), a.team, coalesce(a.new_month, a.old_month),"
        " a.occurred_at, a.known_at, a.owner, h.owner, a.deal_id FROM {} a JOIN {} h USING (deal_id)"
        " WHERE a.kind = 'F1' AND a.funnel = %(funnel)s AND coalesce(a.new_month, a.old_month) = ANY(%(months)s)"
        " AND a.occurred_at <= %(as_of)s AND (%(known_at)s::timestamptz IS NULL OR a.known_at <= %(known_at)s)"
    ).format(PROJECTION.view("forecast_audit"), PROJECTION.view("forecast_audit_heads"))
    asked = {"funnel": funnel, "months": list(last_week), "as_of": at.as_of, "known_at": at.known_at}
    for who, team, month, occurred_at, known_at, owner, owner_now, deal_id in conn.execute(
        query, asked
    ).fetchall():
        for kind, key in (("manager", who), ("team", team), ("all", None)):
            counted = found[kind].setdefault(key, ForecastChanges())
            counted.changes += 1
            counted.in_last_week += max(occurred_at, known_at) >= last_week[month]
            counted.hidden |= not sight.sees(deal_id, owner_now, owner, occurred_at, known_at)
    return found
