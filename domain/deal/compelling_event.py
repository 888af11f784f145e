"""The compelling event (A5): why the customer must do this project. Without one no win rate is computed."""

from datetime import date
from typing import ClassVar

import msgspec

from domain.command import Context, PersonalText, Reason
from domain.deal.rating import Result, rated
from domain.deal.state import Deal, DealCommand, present, require_open
from domain.errors import NoCompellingEvent
from domain.event import Event, TextRef

# --- Events -------------------------------------------------------------------------------------------


class CompellingEventRecorded(Event, frozen=True):
    """The customer must do this project; `text` says why, `deadline` until when."""

    TOPIC: ClassVar[str] = "deal.compelling_event_recorded"
    GROUP: ClassVar[str | None] = "comparison"
    text: TextRef
    deadline: date | None
    result: Result


class CompellingEventReassessed(Event, frozen=True):
    """The customer still must do this project; `text` says why today."""

    TOPIC: ClassVar[str] = "deal.compelling_event_reassessed"
    GROUP: ClassVar[str | None] = "comparison"
    text: TextRef
    deadline: date | None
    result: Result


class CompellingEventWithdrawn(Event, frozen=True):
    """Nothing compels the customer any more."""

    TOPIC: ClassVar[str] = "deal.compelling_event_withdrawn"
    GROUP: ClassVar[str | None] = "comparison"
    reason: str
    result: Result


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    in_force = not isinstance(event, CompellingEventWithdrawn)
    standing = msgspec.structs.replace(deal.standing, compelling_event=in_force)
    return msgspec.structs.replace(deal, standing=standing)


# --- Commands -----------------------------------------------------------------------------------------


class RecordCompellingEvent(DealCommand):
    """Record why the customer must do this project. Without it no win rate is computed."""

    text: PersonalText
    deadline: date | None = None


class ReassessCompellingEvent(DealCommand):
    """Say that the customer still must do this project, and why today."""

    text: PersonalText
    deadline: date | None = None


class WithdrawCompellingEvent(DealCommand):
    """Say that nothing compels the customer any more."""

    reason: Reason


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    require_open(deal, command)
    in_force = deal.standing.compelling_event
    match command:
        case RecordCompellingEvent():
            return (
                _stated(
                    CompellingEventReassessed if in_force else CompellingEventRecorded, command, deal, context
                ),
            )
        case ReassessCompellingEvent():
            if not in_force:
                raise NoCompellingEvent(
                    "No compelling event is in force.", field="deal_id", accepted="record-compelling-event"
                )
            return (_stated(CompellingEventReassessed, command, deal, context),)
        case WithdrawCompellingEvent():
            if not in_force:
                return ()
            reason = command.reason
            return (rated(deal, context, evolve, lambda result: CompellingEventWithdrawn(reason, result)),)
    raise TypeError(f"no such command here: {command.command_name()}")


def _stated(
    kind: type[CompellingEventRecorded] | type[CompellingEventReassessed],
    command: RecordCompellingEvent | ReassessCompellingEvent,
    deal: Deal,
    context: Context,
) -> Event:
    text = context.sealed["text"]
    return rated(deal, context, evolve, lambda result: kind(text, command.deadline, result))
