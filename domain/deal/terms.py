"""What a deal is about: its name, amount, expected close and owner."""

from datetime import date
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from domain.command import Context, Day, Label, PersonalText
from domain.deal.grading import regraded
from domain.deal.state import Deal, DealCommand, present, require_open
from domain.event import Event, TextRef
from domain.money import Money, MoneyInput
from domain.playbook.calendar import stored_amount

# --- Events -------------------------------------------------------------------------------------------


class DealRenamed(Event, frozen=True):
    """The deal has another name."""

    TOPIC: ClassVar[str] = "deal.renamed"
    name: TextRef


class AmountRevised(Event, frozen=True):
    """The amount changed. Null means unknown."""

    TOPIC: ClassVar[str] = "deal.amount_revised"
    from_amount: Money | None
    to_amount: Money | None


class ExpectedCloseRevised(Event, frozen=True):
    """The day on which the deal is expected to be won changed. Null means undated."""

    TOPIC: ClassVar[str] = "deal.expected_close_revised"
    from_date: date | None
    to_date: date | None


class OwnerRevised(Event, frozen=True):
    """Another person owns the deal. Null means nobody."""

    TOPIC: ClassVar[str] = "deal.owner_revised"
    from_owner: str | None
    to_owner: str | None


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    match event:
        case DealRenamed():
            return msgspec.structs.replace(deal, name=event.name)
        case AmountRevised():
            return msgspec.structs.replace(deal, amount=event.to_amount)
        case ExpectedCloseRevised():
            return msgspec.structs.replace(deal, expected_close=event.to_date)
        case OwnerRevised():
            return msgspec.structs.replace(deal, owner=event.to_owner)
    return deal


# --- Commands -----------------------------------------------------------------------------------------


class RenameDeal(DealCommand):
    """Give the deal another name."""

    name: Annotated[PersonalText, Field(description="The new name; personal text, kept in the vault.")]


class ReviseAmount(DealCommand):
    """Set the deal's amount; null when it is unknown."""

    amount: MoneyInput | None


class ReviseExpectedClose(DealCommand):
    """Set the day on which the deal is expected to be won; null when it is undated."""

    expected_close: Day | None


class ReviseOwner(DealCommand):
    """Give the deal to another owner; null for nobody."""

    owner: Label | None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    match command:
        case RenameDeal():
            return (DealRenamed(context.sealed["name"]),)
        case ReviseAmount():
            return _revise_amount(command, deal, context)
        case ReviseExpectedClose():
            require_open(deal, command)
            if command.expected_close == deal.expected_close:
                return ()
            return (ExpectedCloseRevised(deal.expected_close, command.expected_close),)
        case ReviseOwner():
            return () if command.owner == deal.owner else (OwnerRevised(deal.owner, command.owner),)
    raise TypeError(f"no such command here: {command.command_name()}")


def _revise_amount(command: ReviseAmount, deal: Deal, context: Context) -> tuple[Event, ...]:
    if command.corrects is None:
        require_open(deal, command)  # a correction may mend the amount of a closed deal
    amount = stored_amount(command.amount, context.playbook)
    if amount == deal.amount:
        return ()
    revised = AmountRevised(deal.amount, amount)
    return (revised, *regraded(evolve(deal, revised), context.playbook))
