"""What is done for a deal."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
from pydantic import Field

from domain.command import Context, Key, Label, PersonalText
from domain.deal.state import Deal, DealCommand, present
from domain.errors import ActivityExists, UnknownContact
from domain.event import Event, TextRef

# --- Events -------------------------------------------------------------------------------------------


class ActivityLogged(Event, frozen=True):
    """Somebody did something for the deal. A point: it may be logged long after it happened."""

    TOPIC: ClassVar[str] = "deal.activity_logged"
    GROUP: ClassVar[str | None] = None
    activity_id: UUID
    kind: str
    by: str | None = None
    duration_us: int | None = None
    contacts: tuple[UUID, ...] = ()
    captured: Literal["actively", "passively"] | None = None
    note: TextRef | None = None


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event. No command can choose the id of an imported activity, so those are not kept."""
    match event:
        case ActivityLogged() if event.activity_id.version != 5:
            return msgspec.structs.replace(deal, activities=deal.activities + event.activity_id.bytes)
    return deal


def has_activity(deal: Deal, activity_id: UUID) -> bool:
    """Whether an activity with this id was logged, other than by an import."""
    wanted, ids = activity_id.bytes, deal.activities
    return any(ids[place : place + 16] == wanted for place in range(0, len(ids), 16))


# --- Commands -----------------------------------------------------------------------------------------


class LogActivity(DealCommand):
    """Record something done for the deal; back-dating is free."""

    MINTS: ClassVar[str | None] = "activity_id"

    activity_id: Annotated[UUID | None, Field(description="Default: a fresh id.")] = None
    kind: Key
    by: Label | None = None
    duration_us: Annotated[int | None, Field(ge=0, le=10**13, description="Microseconds.")] = None
    contacts: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()
    captured: Literal["actively", "passively"] | None = None
    note: PersonalText | None = None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: LogActivity, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The activity, for an open or a closed deal. Raises a Refusal."""
    deal = present(deal, command)
    if not context.importing:
        _require_new_id(command, deal)
        _require_parts(command, deal)
    activity = ActivityLogged(
        activity_id=command.activity_id or context.new_id(),
        kind=command.kind,
        by=command.by,
        duration_us=command.duration_us,
        contacts=command.contacts,
        captured=command.captured,
        note=context.sealed.get("note"),
    )
    return (activity,)


def _require_new_id(command: LogActivity, deal: Deal) -> None:
    if command.activity_id is not None and has_activity(deal, command.activity_id):
        raise ActivityExists(
            f"The activity {command.activity_id} was logged already.",
            field="activity_id",
            accepted="a new id, or none",
        )


def _require_parts(command: LogActivity, deal: Deal) -> None:
    """How deep the interaction with a person goes is told of those who have a part in the deal, or had one once."""
    for contact_id in command.contacts:
        if contact_id not in deal.contacts and contact_id not in deal.former_contacts:
            raise UnknownContact(
                f"The contact {contact_id} has no part in the deal.",
                field="contacts",
                accepted="people of the deal; add-deal-contact gives a person a part in it",
            )
