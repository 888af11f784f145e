"""The deal team (A3): who works on the deal beside its owner, each from a department."""

from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from pydantic import Field

from domain import organisation
from domain.command import Context, Label, Reason
from domain.deal.state import Deal, DealCommand, present, require_open
from domain.errors import NotAllowed
from domain.event import Event

# --- Events -------------------------------------------------------------------------------------------


class DealTeamJoined(Event, frozen=True):
    """A person works on the deal from now on, or for another department than before. Null: unknown."""

    TOPIC: ClassVar[str] = "deal.team_joined"
    GROUP: ClassVar[str | None] = "team"
    person: str
    department: str | None


class DealTeamLeft(Event, frozen=True):
    """A person does not work on the deal any more."""

    TOPIC: ClassVar[str] = "deal.team_left"
    GROUP: ClassVar[str | None] = "team"
    person: str
    reason: str | None


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    match event:
        case DealTeamJoined():
            return msgspec.structs.replace(deal, team={**deal.team, event.person: event.department})
        case DealTeamLeft():
            rest = {person: of for person, of in deal.team.items() if person != event.person}
            return msgspec.structs.replace(deal, team=rest)
    return deal


# --- Commands -----------------------------------------------------------------------------------------


class JoinDealTeam(DealCommand):
    """Let a person work on the deal. Who works on it sees no manager forecast of it."""

    person: Annotated[Label, Field(description="The user id.", examples=["anna"])]
    department: Annotated[Label | None, Field(examples=["engineering"])] = None

    def stands_on(self) -> tuple[UUID, ...]:
        """The organisation, which says who manages the owner."""
        return (organisation.STREAM_ID,)


class LeaveDealTeam(DealCommand):
    """Let a person work on the deal no more."""

    person: Annotated[Label, Field(description="The user id.", examples=["anna"])]
    reason: Reason | None = None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    match command:
        case JoinDealTeam():
            require_open(deal, command)
            if command.person in deal.team and deal.team[command.person] == command.department:
                return ()
            _require_no_blinding(command.person, deal, context)
            return (DealTeamJoined(command.person, command.department),)
        case LeaveDealTeam():
            if command.person not in deal.team:
                return ()
            return (DealTeamLeft(command.person, command.reason),)
    raise TypeError(f"no such command here: {command.command_name()}")


def _require_no_blinding(person: str, deal: Deal, context: Context) -> None:
    """Who works on a deal sees no forecast of it, so a rep may not put the owner's managers there."""
    if context.importing or context.actor.role != "rep" or deal.owner is None:
        return
    org = context.others[organisation.STREAM_ID].state or organisation.EMPTY
    if person in org.managers_above(deal.owner):
        raise NotAllowed(
            f"{person} manages the deal's owner and would not see its forecast any more.",
            field="person",
            accepted="a manager or director to say so",
        )
