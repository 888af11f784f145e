"""The reporting currency, and the calendar of weeks and periods."""

import re
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

import msgspec
from pydantic import AfterValidator, Field

from domain.command import Context
from domain.errors import InvalidAmount, PlaybookConflict, WrongCurrency
from domain.event import Event
from domain.money import Currency, Money, MoneyInput
from domain.playbook.state import EMPTY, Playbook, PlaybookCommand
from domain.wording import accepting

# --- Events -------------------------------------------------------------------------------------------


class CurrencySet(Event, frozen=True):
    """The reporting currency of this deployment. Set once."""

    TOPIC: ClassVar[str] = "playbook.currency_set"
    currency: str


class CalendarSet(Event, frozen=True):
    """The time zone of weeks and periods, and the month in which the fiscal year starts."""

    TOPIC: ClassVar[str] = "playbook.calendar_set"
    time_zone: str
    fiscal_year_start: int


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case CurrencySet():
            return msgspec.structs.replace(book, currency=event.currency)
        case CalendarSet():
            return msgspec.structs.replace(
                book, time_zone=event.time_zone, fiscal_year_start=event.fiscal_year_start
            )
    return book


# --- Commands -----------------------------------------------------------------------------------------


class SetCurrency(PlaybookCommand):
    """Set the reporting currency, once."""

    currency: Currency


_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]*(/[A-Za-z0-9_+-]+){1,2}")
"""What means the same on every machine: not its own `localtime`, and no `Factory`."""


def _is_zone(name: str) -> str:
    known = _ZONE.fullmatch(name) is not None
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # which of them depends on the platform
        known = False
    if not known:
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return name


class SetCalendar(PlaybookCommand):
    """Set the time zone of weeks and periods and the first month of the fiscal year."""

    REPLACES: ClassVar[bool] = True

    time_zone: Annotated[
        str,
        Field(max_length=100),
        AfterValidator(_is_zone),
        accepting("an IANA time zone such as Europe/Berlin"),
    ]
    fiscal_year_start: Annotated[int, Field(ge=1, le=12)] = 1


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: PlaybookCommand, playbook: Playbook | None, _context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    book = playbook or EMPTY
    match command:
        case SetCurrency():
            if book.currency not in (None, command.currency):
                raise PlaybookConflict(
                    f"The reporting currency is {book.currency} already and stays so.",
                    field="currency",
                    accepted=book.currency,
                )
            return () if book.currency else (CurrencySet(command.currency),)
        case SetCalendar():
            wanted = (command.time_zone, command.fiscal_year_start)
            return () if wanted == (book.time_zone, book.fiscal_year_start) else (CalendarSet(*wanted),)
    raise TypeError(f"no such command here: {command.command_name()}")


def stored_amount(amount: MoneyInput | None, book: Playbook, field: str = "amount") -> Money | None:
    """The amount as stored, in the reporting currency. Raises WrongCurrency or InvalidAmount."""
    if amount is None:
        return None
    if book.currency is None:
        raise WrongCurrency(
            "No reporting currency is set yet.", field=f"{field}.currency", accepted="set-currency first"
        )
    if amount.currency != book.currency:
        raise WrongCurrency(
            f"The reporting currency is {book.currency}, not {amount.currency}.",
            field=f"{field}.currency",
            accepted=book.currency,
        )
    try:
        return amount.money()
    except ValueError as error:
        raise InvalidAmount(f"{error}.", field=f"{field}.amount", accepted="for example 12500.00") from error
