"""The manager forecast of a deal (S4, S7): a stream of its own, so that the deal's version never moves with it.

A forecast lapses when its deal is closed, voided or merged; the events say how often the deal had been closed, so
that every fold can tell: it is in force while the deal is open and was not closed since.
"""

from datetime import date
from typing import Annotated, ClassVar
from uuid import UUID, uuid5

import msgspec
from pydantic import Field

from domain import organisation
from domain.command import Context, Reason
from domain.deal.state import (
    MANAGERS,
    Deal,
    DealCommand,
    present,
    require_not_of_the_team,
    require_not_the_owner,
    require_open,
)
from domain.errors import DealUndated, ForecastLocked, NotAllowed, WrongMonth
from domain.event import Actor, Event, Role
from domain.forecast import EVENTUALLY
from domain.money import Money, MoneyInput
from domain.organisation import Organisation
from domain.playbook.calendar import stored_amount
from domain.playbook.parts import Grade, StageRate
from domain.playbook.state import Playbook
from domain.stream import Stream
from domain.wording import accepting


def forecast_stream(deal_id: UUID) -> UUID:
    """The stream of the deal's manager forecast: UUIDv5 of its role, in the deal's id as namespace."""
    return uuid5(deal_id, "dealtrace:forecast")


# --- Events -------------------------------------------------------------------------------------------


class Forecast(msgspec.Struct, frozen=True):
    """What a manager expects of a deal: in which month such as 2026-03 (or `eventually`), how much, unweighted."""

    month: str
    amount: Money


class Seen(msgspec.Struct, frozen=True):
    """What the decision saw: the deal at this version, its owner's team, and the stage's rates.

    `rate_set` is the number of the funnel's rate set in force, null for none; `stage_rates` its rates for the stage,
    one for all visits or one for fresh and one for stalled ones. `closed_times`: how often the deal had been closed.
    """

    deal_version: int
    closed_times: int
    funnel: str
    stage: str
    grade: Grade | None
    amount: Money | None
    expected_close: date | None
    owner: str | None
    team: str | None
    rate_set: int | None
    stage_rates: tuple[StageRate, ...]


class ForecastSet(Event, frozen=True):
    """A manager expects this of the deal. `previous` was in force before, null when nothing was or it had lapsed.

    `after_lock`: the month of one of the two was locked.
    """

    TOPIC: ClassVar[str] = "forecast.set"
    deal_id: UUID
    forecast: Forecast
    previous: Forecast | None
    reason: str
    after_lock: bool
    seen: Seen


class ForecastWithdrawn(Event, frozen=True):
    """No manager expects anything of the deal any more."""

    TOPIC: ClassVar[str] = "forecast.withdrawn"
    deal_id: UUID
    previous: Forecast
    reason: str
    after_lock: bool
    seen: Seen


# --- State --------------------------------------------------------------------------------------------


class DealForecast(msgspec.Struct, frozen=True):
    """The last forecast that was not withdrawn, and how often the deal had been closed when it was set."""

    forecast: Forecast | None = None
    closed_times: int = 0

    def in_force(self, deal: Deal) -> Forecast | None:
        """The forecast, unless the deal is not open or was closed since; reopening does not revive it."""
        alive = deal.status == "open" and deal.closed_times == self.closed_times
        return self.forecast if alive else None


def evolve(_forecast: DealForecast | None, event: Event) -> DealForecast:
    """The forecast after the event."""
    match event:
        case ForecastSet():
            return DealForecast(event.forecast, event.seen.closed_times)
        case ForecastWithdrawn():
            return DealForecast()
    raise TypeError(f"no event of a forecast: {event.TOPIC}")


# --- Commands -----------------------------------------------------------------------------------------


class ForecastCommand(DealCommand):
    """A command on the manager forecast of one deal."""

    ALLOWED: ClassVar[frozenset[Role]] = MANAGERS

    reason: Reason

    def stream_id(self) -> UUID:
        """The forecast's, which is not the deal's."""
        return forecast_stream(self.deal_id)

    def partition_key(self) -> UUID:
        """The deal: a fold sees both."""
        return self.deal_id

    def stands_on(self) -> tuple[UUID, ...]:
        """The deal, and the organisation, which says who manages its owner."""
        return (self.deal_id, organisation.STREAM_ID)


class SetForecast(ForecastCommand):
    """Set what you expect of the deal in the month of its expected close, unweighted. Confirms that close."""

    amount: MoneyInput
    month: Annotated[
        str | None,
        Field(max_length=20, description="Must be the month of the expected close.", examples=["2026-03"]),
        accepting("a month such as 2026-03, or eventually in an undated funnel"),
    ] = None


class WithdrawForecast(ForecastCommand):
    """Expect nothing of the deal any more."""


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: ForecastCommand, forecast: DealForecast | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    stream = context.others[command.deal_id]
    deal = present(stream.state, command)
    org = context.others[organisation.STREAM_ID].state or organisation.EMPTY
    _require_authority(context.actor, deal, org)  # before anything is said about a forecast
    previous = (forecast or DealForecast()).in_force(deal)
    match command:
        case SetForecast():
            return _set(command, stream, previous, org, context)
        case WithdrawForecast():
            if previous is None:
                return ()
            return (
                ForecastWithdrawn(
                    deal_id=command.deal_id,
                    previous=previous,
                    reason=command.reason,
                    after_lock=_after_lock((previous.month,), context),
                    seen=_seen(command, stream, org, context),
                ),
            )
    raise TypeError(f"no such command here: {command.command_name()}")


def _set(
    command: SetForecast, stream: Stream, previous: Forecast | None, org: Organisation, context: Context
) -> tuple[Event, ...]:
    deal = stream.state
    require_open(deal, command)
    month = _month(deal, context.playbook)
    if command.month not in (None, month):
        raise WrongMonth(
            f"The deal is expected in {month}, not {command.month}.",
            field="month",
            accepted=f"{month}, or revise-expected-close first",
        )
    amount = stored_amount(command.amount, context.playbook)
    assert amount is not None
    return (
        ForecastSet(
            deal_id=command.deal_id,
            forecast=Forecast(month, amount),
            previous=previous,
            reason=command.reason,
            after_lock=_after_lock((previous.month, month) if previous else (month,), context),
            seen=_seen(command, stream, org, context),
        ),
    )


def _require_authority(actor: Actor, deal: Deal, org: Organisation) -> None:
    require_not_the_owner(actor, deal)
    require_not_of_the_team(actor, deal)
    if actor.role in ("director", "admin"):
        return
    line = org.managers_above(deal.owner) if deal.owner is not None else ()
    if (actor.on_behalf_of or actor.id) not in line:
        raise NotAllowed(
            "Only a manager above the owner of the deal does this.", accepted="that manager, or a director"
        )


def _month(deal: Deal, book: Playbook) -> str:
    """The month of the expected close, a date of the playbook's calendar; an undated funnel has one horizon."""
    if not book.funnel(deal.funnel).dated:
        return EVENTUALLY
    if deal.expected_close is None:
        raise DealUndated(
            "The deal has no expected close.", field="deal_id", accepted="revise-expected-close first"
        )
    return f"{deal.expected_close:%Y-%m}"


def _after_lock(months: tuple[str, ...], context: Context) -> bool:
    """Whether one of the months is locked, from which a forecast is taken away or for which one is set."""
    locked = [month for month in months if month in context.playbook.locked_months]
    if locked and context.actor.role != "director":
        raise ForecastLocked(
            f"The forecasts of {locked[0]} are locked.", field="month", accepted="a director, or unlock-month"
        )
    return bool(locked)


def _seen(command: ForecastCommand, stream: Stream, org: Organisation, context: Context) -> Seen:
    deal: Deal = stream.state
    rates = context.playbook.rate_set(deal.funnel, command.occurred_at or context.now)
    return Seen(
        deal_version=stream.version,
        closed_times=deal.closed_times,
        funnel=deal.funnel,
        stage=deal.stage,
        grade=deal.grade,
        amount=deal.amount,
        expected_close=deal.expected_close,
        owner=deal.owner,
        team=org.team_of.get(deal.owner) if deal.owner is not None else None,
        rate_set=rates.number if rates else None,
        stage_rates=rates.of_stage(deal.stage) if rates else (),
    )
