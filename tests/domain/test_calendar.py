from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.calendar import (
    Period,
    fiscal_quarter,
    fiscal_year,
    month_of,
    parse_fiscal_quarter,
    parse_fiscal_year,
    parse_month,
    parse_week,
    time_zone,
    week_of,
    weeks_between,
)

MICROSECOND = timedelta(microseconds=1)
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")

# Among them clocks that skip midnight (Sao_Paulo, Beirut, Tehran, Asuncion), go back across it (St_Johns),
# meet it twice (Havana), skip a day (Apia) and are not whole hours off (Kathmandu).
zones = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "America/Sao_Paulo",
            "Asia/Beirut",
            "Asia/Tehran",
            "America/Asuncion",
            "America/St_Johns",
            "America/Havana",
            "Pacific/Apia",
            "Asia/Kathmandu",
        )
    ]
)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
start_months = st.integers(1, 12)

KINDS: dict[str, Callable[[datetime, tzinfo, int], Period]] = {
    "week": lambda instant, tz, _: week_of(instant, tz),
    "month": lambda instant, tz, _: month_of(instant, tz),
    "fiscal quarter": fiscal_quarter,
    "fiscal year": fiscal_year,
}
PARSERS: dict[str, Callable[[str, tzinfo, int], Period]] = {
    "week": lambda label, tz, _: parse_week(label, tz),
    "month": lambda label, tz, _: parse_month(label, tz),
    "fiscal quarter": parse_fiscal_quarter,
    "fiscal year": parse_fiscal_year,
}
kinds = st.sampled_from(sorted(KINDS))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@given(kind=kinds, instant=instants, tz=zones, start_month=start_months)
@example(kind="month", instant=utc(2009, 11, 1, 3), tz=ZoneInfo("America/St_Johns"), start_month=1)
@example(kind="week", instant=utc(2016, 3, 20, 20, 30), tz=ZoneInfo("Asia/Tehran"), start_month=1)
def test_periods_tile_the_time_line(kind: str, instant: datetime, tz: tzinfo, start_month: int) -> None:
    def holding(t: datetime) -> Period:
        return KINDS[kind](t, tz, start_month)

    period = holding(instant)
    assert period.start <= instant < period.end
    assert holding(period.start) == holding(period.as_of) == period
    assert holding(period.end).start == period.end
    assert holding(period.start - MICROSECOND).end == period.start


@given(kind=kinds, instant=instants, tz=zones, start_month=start_months)
def test_a_label_names_its_period(kind: str, instant: datetime, tz: tzinfo, start_month: int) -> None:
    period = KINDS[kind](instant, tz, start_month)
    assert PARSERS[kind](period.label, tz, start_month) == period


@given(kind=kinds, instant=instants, tz=zones, start_month=start_months)
def test_a_boundary_is_local_midnight_or_midnight_does_not_exist(
    kind: str, instant: datetime, tz: tzinfo, start_month: int
) -> None:
    end = KINDS[kind](instant, tz, start_month).end
    local = end.astimezone(tz)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    exists = midnight.astimezone(UTC).astimezone(tz).replace(tzinfo=None) == midnight.replace(tzinfo=None)
    assert local == midnight if exists else (end - MICROSECOND).astimezone(tz).date() < local.date()


@given(instant=instants, tz=zones)
def test_a_week_is_named_and_begins_as_iso_8601_says(instant: datetime, tz: tzinfo) -> None:
    week = week_of(instant, tz)
    year, number, weekday = week.start.astimezone(tz).isocalendar()
    assert (week.label, weekday) == (f"{year}-W{number:02}", 1)


@given(instant=instants, tz=zones, start_month=start_months)
def test_a_fiscal_year_is_four_quarters_and_twelve_months(
    instant: datetime, tz: tzinfo, start_month: int
) -> None:
    year = fiscal_year(instant, tz, start_month)
    quarters = [parse_fiscal_quarter(f"{year.label}-Q{q}", tz, start_month) for q in (1, 2, 3, 4)]
    months = [month_of(quarters[0].start, tz)]
    while months[-1].end < year.end:
        months.append(month_of(months[-1].end, tz))
    assert [quarters[0].start, *(quarter.end for quarter in quarters)] == [
        months[0].start,
        *(month.end for month in months[2::3]),
    ]
    assert (quarters[0].start, quarters[3].end, len(months)) == (year.start, year.end, 12)
    assert int(months[0].label[-2:]) == start_month
    assert year.label == f"FY{months[-1].label[:4]}"


@given(tz=zones, instants=st.tuples(instants, st.timedeltas(timedelta(0), timedelta(days=400))))
def test_weeks_between_are_all_weeks_from_the_first_to_the_last(
    tz: tzinfo, instants: tuple[datetime, timedelta]
) -> None:
    first, last = instants[0], instants[0] + instants[1]
    weeks = weeks_between(first, last, tz)
    assert (weeks[0], weeks[-1]) == (week_of(first, tz), week_of(last, tz))
    assert all(week.end == following.start for week, following in pairwise(weeks))


def test_weeks_between_counts_the_week_that_begins_at_the_last_instant() -> None:
    weeks = weeks_between(utc(2011, 11, 9), utc(2011, 11, 21), UTC)
    assert [week.label for week in weeks] == ["2011-W45", "2011-W46", "2011-W47"]
    assert [week.label for week in weeks_between(utc(2011, 11, 9), utc(2011, 11, 9), UTC)] == ["2011-W45"]


def test_weeks_between_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="lies before"):
        weeks_between(utc(2011, 11, 9, 1), utc(2011, 11, 9), UTC)


def test_the_week_of_the_autumn_change_in_berlin_has_an_hour_more() -> None:
    week = week_of(utc(2011, 10, 26), BERLIN)
    assert week == Period("2011-W43", utc(2011, 10, 23, 22), utc(2011, 10, 30, 23))
    assert week.end - week.start == timedelta(days=7, hours=1)
    assert week_of(utc(2011, 10, 30, 22, 59), BERLIN) == week
    assert week_of(utc(2011, 10, 30, 23), BERLIN).start == week.end


def test_the_week_of_the_spring_change_in_new_york_has_an_hour_less() -> None:
    week = parse_week("2011-W10", NEW_YORK)
    assert week == Period("2011-W10", utc(2011, 3, 7, 5), utc(2011, 3, 14, 4))
    assert week.as_of == datetime(2011, 3, 13, 23, 59, 59, 999_999, tzinfo=NEW_YORK)


def test_the_same_instant_lies_in_different_weeks_of_different_zones() -> None:
    assert week_of(utc(2011, 11, 14, 2), NEW_YORK).label == "2011-W45"
    assert week_of(utc(2011, 11, 14, 2), BERLIN).label == "2011-W46"


@pytest.mark.parametrize(
    ("zone", "day", "boundary"),
    [
        ("America/Sao_Paulo", date(1997, 10, 6), utc(1997, 10, 6, 3)),  # a Monday that began at 01:00
        ("Asia/Tehran", date(2016, 3, 21), utc(2016, 3, 20, 20, 30)),
    ],
)
def test_a_monday_without_midnight_begins_when_the_clock_is_put_forward(
    zone: str, day: date, boundary: datetime
) -> None:
    tz = ZoneInfo(zone)
    week = week_of(boundary, tz)
    assert week.start == boundary
    assert boundary.astimezone(tz).replace(tzinfo=None) == datetime(day.year, day.month, day.day, 1)  # noqa: DTZ001
    assert week_of(boundary - MICROSECOND, tz).end == boundary


@pytest.mark.parametrize(
    ("zone", "label", "boundary"),
    [
        ("America/Asuncion", "2017-10", utc(2017, 10, 1, 4)),
        ("Asia/Beirut", "1988-06", utc(1988, 5, 31, 22)),
    ],
)
def test_a_month_without_its_first_midnight_begins_when_the_clock_is_put_forward(
    zone: str, label: str, boundary: datetime
) -> None:
    assert parse_month(label, ZoneInfo(zone)).start == boundary
    assert month_of(boundary, ZoneInfo(zone)).label == label


def test_a_sunday_without_midnight_leaves_the_boundaries_of_its_week_alone() -> None:
    beirut = ZoneInfo("Asia/Beirut")
    week = week_of(utc(2011, 3, 26, 22), beirut)
    assert week == Period("2011-W12", utc(2011, 3, 20, 22), utc(2011, 3, 27, 21))


def test_a_month_that_began_does_not_end_when_the_clock_goes_back_into_the_last() -> None:
    # One minute into November 2009 the clock in Saint John's went back to 23:01 of October.
    saint_johns = ZoneInfo("America/St_Johns")
    repeated = utc(2009, 11, 1, 3)
    assert repeated.astimezone(saint_johns).date() == date(2009, 10, 31)
    assert month_of(repeated, saint_johns).label == "2009-11"
    assert parse_month("2009-11", saint_johns).start == utc(2009, 11, 1, 2, 30)


def test_a_midnight_that_comes_twice_counts_once_and_first() -> None:
    havana = ZoneInfo("America/Havana")
    assert parse_month("2015-11", havana).start == utc(2015, 11, 1, 4)
    assert month_of(utc(2015, 11, 1, 4, 59), havana).label == "2015-11"


@pytest.mark.parametrize(
    ("day", "label"),
    [
        (date(2010, 1, 3), "2009-W53"),
        (date(2010, 1, 4), "2010-W01"),
        (date(2012, 1, 1), "2011-W52"),
        (date(2018, 12, 31), "2019-W01"),
        (date(2020, 12, 31), "2020-W53"),
        (date(2021, 1, 3), "2020-W53"),
    ],
)
def test_a_week_at_new_year_belongs_to_the_year_of_its_thursday(day: date, label: str) -> None:
    assert week_of(utc(day.year, day.month, day.day, 12), UTC).label == label


@pytest.mark.parametrize(
    ("instant", "start_month", "label"),
    [
        (utc(2011, 11, 15), 1, "FY2011-Q4"),
        (utc(2011, 11, 15), 10, "FY2012-Q1"),
        (utc(2011, 9, 30), 10, "FY2011-Q4"),
        (utc(2011, 11, 15), 11, "FY2012-Q1"),
        (utc(2011, 11, 15), 4, "FY2012-Q3"),
        (utc(2012, 1, 1), 12, "FY2012-Q1"),
        (utc(2012, 1, 1), 2, "FY2012-Q4"),
    ],
)
def test_a_fiscal_quarter_is_counted_from_the_start_month(
    instant: datetime, start_month: int, label: str
) -> None:
    assert fiscal_quarter(instant, UTC, start_month).label == label
    assert fiscal_year(instant, UTC, start_month).label == label[:6]


def test_a_fiscal_quarter_of_new_york_begins_and_ends_at_its_midnight() -> None:
    quarter = parse_fiscal_quarter("FY2012-Q1", NEW_YORK, 10)
    assert (quarter.start, quarter.end) == (utc(2011, 10, 1, 4), utc(2012, 1, 1, 5))


WRONG_LABELS = [
    ("week", "2011-W54", "2011 has no week 54"),
    ("week", "2011-W53", "2011 has no week 53"),
    ("week", "2011-W00", "has no week 0"),
    ("week", "2011W46", "not an ISO week such as 2011-W46"),
    ("week", "2011-W4", "not an ISO week"),
    ("week", "2011-W46\n", "not an ISO week"),
    ("week", "٢٠١١-W46", "not an ISO week"),  # digits, but not ours
    ("week", "", "not an ISO week"),
    ("month", "2011-13", "months 01 to 12"),
    ("month", "2011-00", "months 01 to 12"),
    ("month", "2011-1", "not a month such as 2011-11"),
    ("month", "2011-11-01", "not a month"),
    ("month", "0000-01", "edge of the calendar"),
    ("fiscal quarter", "FY2012-Q5", "quarters Q1 to Q4"),
    ("fiscal quarter", "FY2012-Q0", "quarters Q1 to Q4"),
    ("fiscal quarter", "2012-Q1", "not a fiscal quarter such as FY2012-Q1"),
    ("fiscal year", "FY12", "not a fiscal year such as FY2012"),
    ("fiscal year", "FY0000", "edge of the calendar"),
]


@pytest.mark.parametrize(("kind", "label", "message"), WRONG_LABELS)
def test_a_label_that_names_nothing_is_refused_with_the_reason(kind: str, label: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PARSERS[kind](label, UTC, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("instant", "zone"), [(utc(1, 1, 1), "America/Lima"), (utc(9999, 12, 31, 23), "Asia/Tokyo")]
)
def test_the_edges_of_the_calendar_are_refused(kind: str, instant: datetime, zone: str) -> None:
    with pytest.raises(ValueError, match="edge of the calendar"):
        KINDS[kind](instant, ZoneInfo(zone), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_instant_without_an_offset_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="needs a UTC offset"):
        KINDS[kind](datetime(2011, 11, 15), UTC, 1)  # noqa: DTZ001


@pytest.mark.parametrize("start_month", [0, 13, -1])
def test_a_fiscal_year_starts_in_a_real_month(start_month: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 12"):
        fiscal_quarter(utc(2011, 11, 15), UTC, start_month)
    with pytest.raises(ValueError, match="from 1 to 12"):
        parse_fiscal_year("FY2012", UTC, start_month)


def test_a_time_zone_goes_by_its_iana_name() -> None:
    assert time_zone("Europe/Berlin") == BERLIN


@pytest.mark.parametrize(
    "name", ["Middle/Earth", "", "../secrets", "Europe", "Europe/Berlin\x00", "/etc/passwd"]
)
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        time_zone(name)
