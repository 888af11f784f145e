"""The periods of the walk-forward test."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from domain.calendar import Period, fiscal_quarter, month_of, week_of
from domain.recalibration.landmarks import EPOCH, microseconds


class Unit(StrEnum):
    """Length of a fold."""

    QUARTER = "quarter"
    MONTH = "month"
    WEEK = "week"


LEAST = {Unit.QUARTER: 2, Unit.MONTH: 4}
"""Whole periods that it takes to test by periods of that length."""


@dataclass(frozen=True)
class Fold:
    """A period to forecast: fitted on what was known by `trained_until`, tested up to `until`, included."""

    label: str
    trained_until: int
    until: int


def folds(first: int, cutoff: int, unit: Unit | None, tz: tzinfo, start_month: int = 1) -> list[Fold]:
    """The periods after the one that holds `first`, in order, the last one cut off; UTC microseconds.

    The first period only trains: before it nothing is known. Without a unit, quarters; while there are fewer
    than two whole ones months, and while there are fewer than four whole months weeks: what a month old
    history says about the month after it says little about the rates of today.
    """
    if unit is None:
        sizes = {size: _periods(first, cutoff, size, tz, start_month) for size in Unit}
        whole = {
            size: sum(_whole(period, first, cutoff) for period in periods) for size, periods in sizes.items()
        }
        unit = next((size for size, least in LEAST.items() if whole[size] >= least), Unit.WEEK)
    later = _periods(first, cutoff, unit, tz, start_month)[1:]
    return [
        Fold(period.label, microseconds(period.start) - 1, min(microseconds(period.as_of), cutoff))
        for period in later
    ]


def _periods(first: int, cutoff: int, unit: Unit, tz: tzinfo, start_month: int) -> list[Period]:
    periods = [_period(_instant(first), unit, tz, start_month)]
    while microseconds(periods[-1].end) <= cutoff:
        periods.append(_period(periods[-1].end, unit, tz, start_month))
    return periods


def _period(instant: datetime, unit: Unit, tz: tzinfo, start_month: int) -> Period:
    match unit:
        case Unit.QUARTER:
            return fiscal_quarter(instant, tz, start_month)
        case Unit.MONTH:
            return month_of(instant, tz)
        case Unit.WEEK:
            return week_of(instant, tz)


def _whole(period: Period, first: int, cutoff: int) -> bool:
    return first <= microseconds(period.start) and microseconds(period.as_of) <= cutoff


def _instant(microsecond: int) -> datetime:
    return EPOCH + timedelta(microseconds=microsecond)
