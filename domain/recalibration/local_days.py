"""Days of the playbook's time zone: from one local midnight to the next, however long the day was."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import numpy as np

from domain.recalibration.columns import Floats, Ints, ints
from domain.recalibration.landmarks import EPOCH, microseconds


@dataclass(frozen=True)
class LocalDays:
    """Consecutive local days.

    first       day number of the first one (days since 0001-01-01, Mondays being multiples of 7)
    midnights   where each day begins, UTC microseconds, and the end of the last one
    """

    first: int
    midnights: Ints

    @classmethod
    def covering(cls, earliest: int, latest: int, tz: tzinfo) -> "LocalDays":
        """The days from the one that holds `earliest` to the one that holds `latest`, UTC microseconds."""
        begin, end = (
            (EPOCH + timedelta(microseconds=t)).astimezone(tz).toordinal() for t in (earliest, latest)
        )
        # A day more at each end, since a clock put back across midnight makes a date return.
        return cls(begin - 2, ints([_midnight(day, tz) for day in range(begin - 1, end + 3)]))

    def number(self, instants: Ints) -> Ints:
        """The day number of each instant."""
        return self.first + np.searchsorted(self.midnights, instants, side="right") - 1

    def begins(self, days: Ints) -> Ints:
        """The first instant of each day."""
        return self.midnights[days - self.first]

    def elapsed(self, instant: Ints, since: Ints) -> Floats:
        """How much of the part of its day that lies after `since` has passed at each instant, 0 to 1."""
        day = self.number(instant)
        begin = np.maximum(self.begins(day), since)
        return (instant - begin) / np.maximum(self.begins(day + 1) - begin, 1)


def _midnight(day: int, tz: tzinfo) -> int:
    return microseconds(datetime.combine(date.fromordinal(day), time.min, tz).astimezone(UTC))
