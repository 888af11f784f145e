"""The people of a deal (A8): their part in the decision, how they stand to us on it, and what we do about them."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
from pydantic import Field

from domain import account as accounts
from domain.command import Context, Label, Reason
from domain.deal.state import Deal, DealCommand, DealContact, present, require_open
from domain.errors import UnknownContact
from domain.event import Event
from domain.playbook.state import Playbook
from domain.relations import Attitude, DecisionRole, Power, Strategy

# --- Events -------------------------------------------------------------------------------------------


class DealContactAdded(Event, frozen=True):
    """A person of the account, or of another one, has a part in the deal."""

    TOPIC: ClassVar[str] = "deal.contact_added"
    GROUP: ClassVar[str | None] = "people"
    contact_id: UUID
    account_id: UUID
    decision_role: DecisionRole | None
    department: str | None
    power: Power | None


class DealContactRevised(Event, frozen=True):
    """A person has another part in the deal; all of it as it is now, null for unknown."""

    TOPIC: ClassVar[str] = "deal.contact_revised"
    GROUP: ClassVar[str | None] = "people"
    contact_id: UUID
    decision_role: DecisionRole | None
    department: str | None
    power: Power | None


class ContactAttitudeChanged(Event, frozen=True):
    """A person stands to us otherwise on this deal. Null: unknown."""

    TOPIC: ClassVar[str] = "deal.contact_attitude_changed"
    GROUP: ClassVar[str | None] = "people"
    contact_id: UUID
    from_attitude: Attitude | None
    to_attitude: Attitude | None
    reason: str | None


class ContactStrategyChanged(Event, frozen=True):
    """We do something else about a person on this deal: as the attitude suggests, or as somebody chose."""

    TOPIC: ClassVar[str] = "deal.contact_strategy_changed"
    GROUP: ClassVar[str | None] = "people"
    contact_id: UUID
    from_strategy: Strategy | None
    to_strategy: Strategy | None
    by: Literal["attitude", "choice"]
    reason: str | None


class DealContactRemoved(Event, frozen=True):
    """A person has no part in the deal any more."""

    TOPIC: ClassVar[str] = "deal.contact_removed"
    GROUP: ClassVar[str | None] = "people"
    contact_id: UUID
    reason: str


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    match event:
        case DealContactAdded():
            contact = DealContact(event.decision_role, event.department, event.power)
            return msgspec.structs.replace(deal, contacts={**deal.contacts, event.contact_id: contact})
        case DealContactRevised():
            return _with(
                deal,
                event.contact_id,
                decision_role=event.decision_role,
                department=event.department,
                power=event.power,
            )
        case ContactAttitudeChanged():
            return _with(deal, event.contact_id, attitude=event.to_attitude)
        case ContactStrategyChanged():
            return _with(
                deal, event.contact_id, strategy=event.to_strategy, strategy_chosen=event.by == "choice"
            )
        case DealContactRemoved():
            left = {i: contact for i, contact in deal.contacts.items() if i != event.contact_id}
            return msgspec.structs.replace(
                deal, contacts=left, former_contacts=deal.former_contacts | {event.contact_id}
            )
    return deal


def _with(deal: Deal, contact_id: UUID, **changes: str | bool | None) -> Deal:
    contact = msgspec.structs.replace(deal.contacts[contact_id], **changes)
    return msgspec.structs.replace(deal, contacts={**deal.contacts, contact_id: contact})


# --- Commands -----------------------------------------------------------------------------------------


class DealContactCommand(DealCommand):
    """A command on one person of the deal."""

    contact_id: UUID


class AddDealContact(DealContactCommand):
    """Give a person of an account a part in the deal. The account may be another one: an adviser's, a partner's."""

    account_id: UUID
    decision_role: DecisionRole | None = None
    department: Label | None = None
    power: Power | None = None

    def stands_on(self) -> tuple[UUID, ...]:
        """The account, which must have such a contact."""
        return (self.account_id,)


class ReviseDealContact(DealContactCommand):
    """Set a person's part in the deal; null for unknown."""

    decision_role: DecisionRole | None
    department: Label | None
    power: Power | None


class AssessAttitude(DealContactCommand):
    """Say how a person stands to us on this deal; null for unknown. The strategy follows unless one was chosen."""

    attitude: Attitude | None
    reason: Reason | None = None


class ChooseStrategy(DealContactCommand):
    """Choose what to do about a person; null lets the attitude decide again."""

    strategy: Strategy | None
    reason: Annotated[Reason | None, Field(description="Why this one.")] = None


class RemoveDealContact(DealContactCommand):
    """Let a person have no part in the deal any more."""

    reason: Reason


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealContactCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    require_open(deal, command)
    known = deal.contacts.get(command.contact_id)
    match command:
        case AddDealContact():
            return _add(command, context) if known is None else ()
        case RemoveDealContact():
            return () if known is None else (DealContactRemoved(command.contact_id, command.reason),)
    if known is None:
        raise UnknownContact(
            f"The contact {command.contact_id} has no part in the deal.",
            field="contact_id",
            accepted="add-deal-contact first",
        )
    match command:
        case ReviseDealContact():
            wanted = (command.decision_role, command.department, command.power)
            if wanted == (known.decision_role, known.department, known.power):
                return ()
            return (DealContactRevised(command.contact_id, *wanted),)
        case AssessAttitude():
            return _assess(command, known, context.playbook)
        case ChooseStrategy():
            return _choose(command, known, context.playbook)
    raise TypeError(f"no such command here: {command.command_name()}")


def _add(command: AddDealContact, context: Context) -> tuple[Event, ...]:
    account = context.others[command.account_id].state
    accounts.present(account, command.account_id).contact(command.contact_id)
    return (
        DealContactAdded(
            command.contact_id, command.account_id, command.decision_role, command.department, command.power
        ),
    )


def _assess(command: AssessAttitude, known: DealContact, book: Playbook) -> tuple[Event, ...]:
    if command.attitude == known.attitude:
        return ()
    changed = ContactAttitudeChanged(command.contact_id, known.attitude, command.attitude, command.reason)
    if known.strategy_chosen:
        return (changed,)
    suggested = book.strategy(command.attitude) if command.attitude else None
    if suggested == known.strategy:
        return (changed,)
    return changed, ContactStrategyChanged(command.contact_id, known.strategy, suggested, "attitude", None)


def _choose(command: ChooseStrategy, known: DealContact, book: Playbook) -> tuple[Event, ...]:
    chosen = command.strategy is not None
    wanted = command.strategy
    if not chosen and known.attitude is not None:
        wanted = book.strategy(known.attitude)
    if (wanted, chosen) == (known.strategy, known.strategy_chosen):
        return ()
    by: Literal["attitude", "choice"] = "choice" if chosen else "attitude"
    return (ContactStrategyChanged(command.contact_id, known.strategy, wanted, by, command.reason),)
