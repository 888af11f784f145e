"""Locked months: a forecast for one changes only by a director, and the change says so."""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from domain.command import Context, Reason
from domain.event import Event, Role
from domain.playbook.state import EMPTY, Playbook, PlaybookCommand
from domain.wording import accepting

# --- Events -------------------------------------------------------------------------------------------


class MonthLocked(Event, frozen=True):
    """The forecasts of a month such as 2026-03 are settled."""

    TOPIC: ClassVar[str] = "playbook.month_locked"
    month: str
    reason: str


class MonthUnlocked(Event, frozen=True):
    """The forecasts of a month may change as usual again."""

    TOPIC: ClassVar[str] = "playbook.month_unlocked"
    month: str
    reason: str


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case MonthLocked():
            return msgspec.structs.replace(book, locked_months=book.locked_months | {event.month})
        case MonthUnlocked():
            return msgspec.structs.replace(book, locked_months=book.locked_months - {event.month})
    return book


# --- Commands -----------------------------------------------------------------------------------------

Month = Annotated[
    str,
    Field(pattern=r"^(19|2[01])[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-03"]),
    accepting("a month such as 2026-03"),
]


class MonthCommand(PlaybookCommand):
    """A command on one month."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset({"director", "sales_operations", "admin"})

    month: Month
    reason: Reason


class LockMonth(MonthCommand):
    """Let only a director change forecasts for the month."""


class UnlockMonth(MonthCommand):
    """Let forecasts for the month change as usual again."""


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: MonthCommand, playbook: Playbook | None, _context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so."""
    locked = command.month in (playbook or EMPTY).locked_months
    match command:
        case LockMonth():
            return () if locked else (MonthLocked(command.month, command.reason),)
        case UnlockMonth():
            return (MonthUnlocked(command.month, command.reason),) if locked else ()
    raise TypeError(f"no such command here: {command.command_name()}")
