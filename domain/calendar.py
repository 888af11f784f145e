"""Weeks, months, fiscal quarters and fiscal years in the time zone of the playbook.

A period begins at local midnight of its first day and ends where the next one begins; both are UTC instants,
so a period that holds a change of the clock is an hour longer or shorter while its boundaries keep their
local time. Where a change of the clock skips that midnight, it is taken by the clock before the change, which
is the moment of the change when this comes at midnight; where midnight comes twice, it is the first. Periods
of a kind tile the time line: every instant lies in exactly one.

Source: weeks and their labels are ISO 8601. Fiscal months are calendar months; a fiscal year is named by the
calendar year in which it ends, so with a start in October, November 2011 lies in FY2012-Q1.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

EDGE = "a time at the edge of the calendar has no week, month or year"


class Period(msgspec.Struct, frozen=True):
    """A named stretch of time: all instants t with start <= t < end, both ends in UTC."""

    label: str
    start: datetime
    end: datetime

    @property
    def as_of(self) -> datetime:
        """The last microsecond of the period: what "at week w" means in a question as of a time."""
        return self.end - timedelta(microseconds=1)


def time_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name such as Europe/Berlin. Raises ValueError for a name nobody knows."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; expected a name such as Europe/Berlin") from error


def week_of(instant: datetime, tz: tzinfo) -> Period:
    """The ISO week that holds `instant`, labelled like 2011-W46. A boundary belongs to the week it begins.

    Raises ValueError for an instant without a UTC offset or at the edge of the calendar (year 1 or 9999), as
    all functions here do.
    """
    return _holding(instant, _week_number(_local_date(instant, tz)), lambda number: _week(number, tz))


def weeks_between(first: datetime, last: datetime, tz: tzinfo) -> list[Period]:
    """Every ISO week from the one that holds `first` to the one that holds `last`, both included, in order.

    Raises ValueError if `last` lies before `first`.
    """
    weeks, final = [week_of(first, tz)], week_of(last, tz)
    if last.astimezone(UTC) < first.astimezone(UTC):
        raise ValueError(f"{last.isoformat()} lies before {first.isoformat()}")
    while weeks[-1].end <= final.start:
        weeks.append(week_of(weeks[-1].end, tz))
    return weeks


def month_of(instant: datetime, tz: tzinfo) -> Period:
    """The calendar month that holds `instant`, labelled like 2011-11."""
    day = _local_date(instant, tz)
    return _holding(instant, day.year * 12 + day.month - 1, lambda number: _month(number, tz))


def fiscal_quarter(instant: datetime, tz: tzinfo, start_month: int) -> Period:
    """The fiscal quarter that holds `instant`, like FY2012-Q1, of years that begin with `start_month`."""
    day = _local_date(instant, tz)
    number = (day.year * 12 + day.month - 1 - _offset(start_month)) // 3
    return _holding(instant, number, lambda number: _quarter(number, tz, start_month))


def fiscal_year(instant: datetime, tz: tzinfo, start_month: int) -> Period:
    """The fiscal year that holds `instant`, like FY2012, of years that begin with `start_month`."""
    day = _local_date(instant, tz)
    number = (day.year * 12 + day.month - 1 - _offset(start_month)) // 12
    return _holding(instant, number, lambda number: _year(number, tz, start_month))


def parse_week(label: str, tz: tzinfo) -> Period:
    """The week of a label like 2011-W46. Raises ValueError if there is none."""
    year, week = _numbers(r"(\d{4})-W(\d{2})", label, "an ISO week such as 2011-W46")
    try:
        monday = date.fromisocalendar(year, week, 1)
    except ValueError:
        raise ValueError(f"{label!r} is not an ISO week: {year} has no week {week}") from None
    return _week(_week_number(monday), tz)


def parse_month(label: str, tz: tzinfo) -> Period:
    """The month of a label like 2011-11. Raises ValueError if there is none."""
    year, month = _numbers(r"(\d{4})-(\d{2})", label, "a month such as 2011-11")
    if not 1 <= month <= 12:
        raise ValueError(f"{label!r} is not a month: a year has months 01 to 12")
    return _month(year * 12 + month - 1, tz)


def parse_fiscal_quarter(label: str, tz: tzinfo, start_month: int) -> Period:
    """The quarter of a label like FY2012-Q1, of years that begin with `start_month`.

    Raises ValueError if there is none.
    """
    year, quarter = _numbers(r"FY(\d{4})-Q(\d)", label, "a fiscal quarter such as FY2012-Q1")
    if not 1 <= quarter <= 4:
        raise ValueError(f"{label!r} is not a fiscal quarter: a year has quarters Q1 to Q4")
    return _quarter(_started_in(year, start_month) * 4 + quarter - 1, tz, start_month)


def parse_fiscal_year(label: str, tz: tzinfo, start_month: int) -> Period:
    """The year of a label like FY2012, of years that begin with `start_month`.

    Raises ValueError if there is none.
    """
    (year,) = _numbers(r"FY(\d{4})", label, "a fiscal year such as FY2012")
    return _year(_started_in(year, start_month), tz, start_month)


# Periods of a kind are numbered along the time line. Weeks count Mondays from the first one of year 1, which
# is day 1; quarters and fiscal years count from the start month of year 0.


def _week_number(day: date) -> int:
    return (day.toordinal() - 1) // 7


def _week(number: int, tz: tzinfo) -> Period:
    monday = number * 7 + 1
    start, end = _midnight(monday, tz), _midnight(monday + 7, tz)
    year, week, _ = date.fromordinal(monday).isocalendar()
    return Period(f"{year:04}-W{week:02}", start, end)


def _month(number: int, tz: tzinfo) -> Period:
    return _months(f"{number // 12:04}-{number % 12 + 1:02}", number, 1, tz)


def _quarter(number: int, tz: tzinfo, start_month: int) -> Period:
    year = _named_after(number // 4, start_month)
    return _months(f"FY{year:04}-Q{number % 4 + 1}", number * 3 + _offset(start_month), 3, tz)


def _year(number: int, tz: tzinfo, start_month: int) -> Period:
    year = _named_after(number, start_month)
    return _months(f"FY{year:04}", number * 12 + _offset(start_month), 12, tz)


def _months(label: str, first: int, count: int, tz: tzinfo) -> Period:
    try:
        start, end = (date(month // 12, month % 12 + 1, 1) for month in (first, first + count))
    except ValueError as error:
        raise ValueError(EDGE) from error
    return Period(label, _midnight(start.toordinal(), tz), _midnight(end.toordinal(), tz))


def _holding(instant: datetime, number: int, period: Callable[[int], Period]) -> Period:
    # The local date gives the number, but when the clock goes back across midnight a date returns after the
    # next one has begun: the boundary decides.
    found = period(number)
    if instant < found.start:
        return period(number - 1)
    if instant >= found.end:
        return period(number + 1)
    return found


def _midnight(day: int, tz: tzinfo) -> datetime:
    try:
        return datetime.combine(date.fromordinal(day), time.min, tz).astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise ValueError(EDGE) from error


def _local_date(instant: datetime, tz: tzinfo) -> date:
    if instant.utcoffset() is None:
        raise ValueError(f"{instant.isoformat()} needs a UTC offset")
    try:
        return instant.astimezone(UTC).astimezone(tz).date()
    except OverflowError as error:
        raise ValueError(EDGE) from error


def _offset(start_month: int) -> int:
    if not 1 <= start_month <= 12:
        raise ValueError(f"a fiscal year starts in a month from 1 to 12, not {start_month}")
    return start_month - 1


def _named_after(started_in: int, start_month: int) -> int:
    return started_in + (start_month > 1)


def _started_in(named_after: int, start_month: int) -> int:
    return named_after - (start_month > 1)


def _numbers(pattern: str, label: str, expected: str) -> tuple[int, ...]:
    match = re.fullmatch(pattern, label, re.ASCII)
    if match is None:
        raise ValueError(f"{label!r} is not {expected}")
    return tuple(int(group) for group in match.groups())
