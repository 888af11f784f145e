"""Where open deals stand in their visits, in local days: found once, used for every draw of a bootstrap."""

from dataclasses import dataclass
from datetime import tzinfo

import numpy as np

from domain.recalibration.columns import DAY, Floats, Ints
from domain.recalibration.hazards import Hazards
from domain.recalibration.horizon import FARTHEST, Ahead, within
from domain.recalibration.labels import month_bounds
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.local_days import LocalDays


@dataclass(frozen=True)
class Positions:
    """Per row its cell, the weekday it was entered on, its age in days, and how much of today has passed."""

    cell: Ints
    weekday: Ints
    age: Ints
    elapsed: Floats

    @classmethod
    def of(cls, rows: Landmarks, stages: int, tz: tzinfo) -> "Positions":
        """The positions of rows."""
        if not len(rows):
            return cls(rows.stage, rows.stage, rows.stage, np.zeros(0))
        days = LocalDays.covering(int(rows.entered_at.min()), int(rows.at.max()), tz)
        entered, today = days.number(rows.entered_at), days.number(rows.at)
        elapsed = days.elapsed(rows.at, rows.entered_at)
        return cls(rows.stage + stages * rows.repeat, entered % 7, today - entered, elapsed)


@dataclass(frozen=True)
class InMonth:
    """Rows with an expected month, and how many days it is to its beginning and its end."""

    elapsed: Floats
    ahead: Ahead

    @classmethod
    def of(cls, rows: Landmarks, stages: int, tz: tzinfo) -> "InMonth":
        """The days that lie ahead of rows, each of which has a month."""
        here = Positions.of(rows, stages, tz)
        if not len(rows):
            return cls(here.elapsed, Ahead.of(here.cell, here.weekday, here.age, here.age))
        farthest = rows.at + (FARTHEST + 1) * DAY
        days = LocalDays.covering(int(rows.at.min()), int(farthest.max()), tz)
        today = days.number(rows.at)
        left = [
            days.number(np.clip(bound, rows.at, farthest)) - today
            for bound in month_bounds(rows.close_month, tz)
        ]
        ahead = Ahead.of(
            np.tile(here.cell, 4),
            np.tile(here.weekday, 4),
            np.concatenate([here.age, here.age + 1] * 2),
            np.concatenate([each for days in left for each in (days, np.maximum(days - 1, 0))]),
        )
        return cls(here.elapsed, ahead)

    def chance(self, hazards: Hazards) -> Floats:
        """The chance to be won between the beginning and the end of the month."""
        now_begins, next_begins, now_ends, next_ends = within(hazards, self.ahead).reshape(4, -1)
        by_begin = now_begins + (next_begins - now_begins) * self.elapsed
        by_end = now_ends + (next_ends - now_ends) * self.elapsed
        inside: Floats = np.clip(by_end - by_begin, 0.0, 1.0)
        return inside
