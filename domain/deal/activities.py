"""What is done for a deal."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from domain.command import Context, Key, Label, PersonalText
from domain.deal.state import Deal, DealCommand, present
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


def evolve(deal: Deal, _event: Event) -> Deal:
    """The same deal: no decision asks for its activities."""
    return deal


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
    present(deal, command)
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
