"""Cells of a file to values: times, days, amounts, durations, texts. Each raises BadRow with the reason."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from domain.command import Label, PersonalText
from domain.money import checked, plain
from workers.importer.mapping import DurationUnit, NumberFormat
from workers.importer.report import BadRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS: dict[DurationUnit, int] = {
    "milliseconds": 1_000,
    "seconds": 1_000_000,
    "minutes": 60_000_000,
    "hours": 3_600_000_000,
}
_LONGEST_US = 10**13
_EXAMPLES = {"iso": "2026-03-02T09:30:00Z", "epoch_ms": "1772443800000", "epoch_s": "1772443800"}

_label = TypeAdapter(Label).validate_python
_personal = TypeAdapter(PersonalText).validate_python


def time_parser(formats: tuple[str, ...], zone: ZoneInfo) -> Callable[[str], datetime]:
    """A function from text to a UTC time. A local time that a clock change makes ambiguous is the earlier one."""
    readers = [_reader(f) for f in formats]
    accepted = ", ".join(f"{f} such as {_EXAMPLES[f]}" if f in _EXAMPLES else f for f in formats)

    def parse(text: str) -> datetime:
        for read in readers:
            try:
                moment = read(text)
                if moment.tzinfo is not UTC:
                    moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
            if not 1900 <= moment.year <= 2200:
                raise BadRow("unreadable-time", f"the time {text!r} does not lie between 1900 and 2200")
            return moment
        raise BadRow("unreadable-time", f"{text!r} is not a time; accepted: {accepted}")

    return parse


def date_parser(formats: tuple[str, ...], zone: ZoneInfo) -> Callable[[str], date | None]:
    """A function from text to a day, empty to None. A text that is a point in time is its day in the zone."""
    to_time = time_parser(formats, zone)

    def parse(text: str) -> date | None:
        return to_time(text).astimezone(zone).date() if text else None

    return parse


def _reader(form: str) -> Callable[[str], datetime]:
    if form == "iso":
        return datetime.fromisoformat
    if form == "epoch_ms":
        return lambda text: _EPOCH + timedelta(milliseconds=int(text))
    if form == "epoch_s":
        return lambda text: _EPOCH + timedelta(seconds=int(text))
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007  # the caller adds the zone


def amount_parser(form: NumberFormat, currency: str) -> Callable[[str], Decimal | None]:
    """A function from text to an amount of the currency in its one spelling, empty to None."""
    to_number = _number_parser(form)
    known: dict[str, Decimal | None] = {"": None}  # amounts repeat a lot

    def parse(text: str) -> Decimal | None:
        if text in known:
            return known[text]
        try:
            amount = checked(to_number(text), currency).amount
        except ValueError as error:
            raise BadRow("invalid-amount", f"the amount {_short(text)}: {error}") from error
        if len(known) < 10_000:
            known[text] = amount
        return amount

    return parse


def duration_parser(form: NumberFormat, unit: DurationUnit) -> Callable[[str], int | None]:
    """A function from text to whole microseconds, empty to None."""
    to_number, factor = _number_parser(form), _MICROSECONDS[unit]

    def parse(text: str) -> int | None:
        if not text:
            return None
        try:
            number = to_number(text)
        except ValueError as error:
            raise BadRow("invalid-duration", f"the duration {_short(text)}: {error}") from error
        if not number.is_finite() or not 0 <= number <= _LONGEST_US // factor:
            longest = plain(Decimal(_LONGEST_US // factor))
            raise BadRow(
                "invalid-duration", f"the duration {_short(text)} does not lie between 0 and {longest} {unit}"
            )
        return int(number * factor)

    return parse


def _number_parser(form: NumberFormat) -> Callable[[str], Decimal]:
    def parse(text: str) -> Decimal:
        if form.thousands:
            text = text.replace(form.thousands, "")
        if form.decimal == ",":
            if "." in text:
                raise ValueError("the decimal mark is a comma")
            text = text.replace(",", ".")
        try:
            return Decimal(text)
        except InvalidOperation:
            raise ValueError("is not a number") from None

    return parse


@lru_cache(maxsize=10_000)
def label(text: str) -> str | None:
    """A short text that is not personal, empty to None."""
    return _checked(_label, text)


def personal_text(text: str) -> str | None:
    """A personal text, empty to None."""
    return _checked(_personal, text)


def _checked(check: Callable[[str], str], text: str) -> str | None:
    if not text.strip():
        return None
    try:
        return check(text)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise BadRow("invalid-text", f"{_short(text)}: {reason}") from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
