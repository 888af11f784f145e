"""Numbers that formulas take from the playbook: the factor without an inside source, the default cohort window."""

from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from domain.command import Context
from domain.event import Event
from domain.money import plain
from domain.playbook.state import EMPTY, Playbook, PlaybookCommand
from domain.win_rate import MAX_FACTOR
from domain.wording import accepting

# --- Events -------------------------------------------------------------------------------------------


class InsideSourceFactorSet(Event, frozen=True):
    """What a win rate without an inside source is multiplied by; holds for assessments from now on."""

    TOPIC: ClassVar[str] = "playbook.inside_source_factor_set"
    factor: Decimal


class CohortWindowSet(Event, frozen=True):
    """How many weeks a cohort looks back while there are too few wins to tell the cycle."""

    TOPIC: ClassVar[str] = "playbook.cohort_window_set"
    weeks: int


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case InsideSourceFactorSet():
            return msgspec.structs.replace(book, no_inside_source_factor=event.factor)
        case CohortWindowSet():
            return msgspec.structs.replace(book, cohort_window_weeks=event.weeks)
    return book


# --- Commands -----------------------------------------------------------------------------------------


class SetInsideSourceFactor(PlaybookCommand):
    """Set what a win rate without an inside source is multiplied by: above 0, at most 0.7."""

    REPLACES: ClassVar[bool] = True

    factor: Annotated[
        Decimal,
        Field(gt=0, le=MAX_FACTOR, decimal_places=4, examples=["0.7"]),
        accepting(f"a decimal number above 0, at most {MAX_FACTOR}, with at most 4 places"),
    ]


class SetCohortWindow(PlaybookCommand):
    """Set how many weeks a cohort looks back while fewer than five deals were won in twelve months."""

    REPLACES: ClassVar[bool] = True

    weeks: Annotated[int, Field(ge=1, le=520)]


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: PlaybookCommand, playbook: Playbook | None, _context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so."""
    book = playbook or EMPTY
    match command:
        case SetInsideSourceFactor():
            if command.factor == book.no_inside_source_factor:
                return ()
            return (InsideSourceFactorSet(Decimal(plain(command.factor))),)
        case SetCohortWindow():
            return () if command.weeks == book.cohort_window_weeks else (CohortWindowSet(command.weeks),)
    raise TypeError(f"no such command here: {command.command_name()}")
