"""Counts of visits by the local day of their age: how many saw a day begin, and how many ended on it, how.

A cell is a stage at a deal's first visit (cell = stage) or at a later one (cell = stages + stage). A cause is
entering a cell (0 .. 2 x stages - 1), winning (2 x stages) or being lost or abandoned (2 x stages + 1).
"""

from dataclasses import dataclass
from datetime import tzinfo

import numpy as np

from domain.recalibration.columns import Flags, Floats, Ints
from domain.recalibration.histories import GONE, WON
from domain.recalibration.local_days import LocalDays
from domain.recalibration.visits import Visits

LONGEST = 1_100
"""Days of age, three years, after which all visits are alike and no longer counted."""


@dataclass(frozen=True)
class VisitCounts:
    """exits    [cell, cause, weekday of entry, day of age]
    at_risk  [cell, weekday of entry, day of age], visits that saw the day begin and all of it observed
    """

    exits: Floats
    at_risk: Floats

    def by_stage(self) -> "VisitCounts":
        """First and later visits of a stage together; cells become stages, causes stay."""
        both = (2, self.at_risk.shape[0] // 2)
        return VisitCounts(
            self.exits.reshape(*both, *self.exits.shape[1:]).sum(axis=0),
            self.at_risk.reshape(*both, *self.at_risk.shape[1:]).sum(axis=0),
        )


@dataclass(frozen=True)
class VisitIndex:
    """Where each visit is counted: found once, used for every draw of a bootstrap.

    deal      per visit, index of the deal
    last      per visit, its place in `at_risk` at the last day that it saw begin
    exit      per ended visit, its place in `exits`
    ended     which visits ended
    moved     which of all visits ended by going to another stage
    moved_at  per such visit, its stage x ages + day of age
    """

    deal: Ints
    last: Ints
    exit: Ints
    ended: Flags
    moved: Flags
    moved_at: Ints
    stages: int
    ages: int

    def count(self, weight: Floats | None) -> VisitCounts:
        """The counts, each deal counted `weight` times."""
        cells, causes = 2 * self.stages, 2 * self.stages + 2
        votes = np.ones(len(self.deal)) if weight is None else weight[self.deal]
        exits = np.bincount(self.exit, votes[self.ended], minlength=cells * causes * 7 * self.ages)
        last = np.bincount(self.last, votes, minlength=cells * 7 * self.ages).reshape(cells, 7, self.ages)
        at_risk = last[..., ::-1].cumsum(axis=2)[..., ::-1]
        return VisitCounts(
            exits.reshape(cells, causes, 7, self.ages).astype(np.float64), at_risk.astype(np.float64)
        )


def index_visits(visits: Visits, stages: int, cutoff: int, tz: tzinfo) -> VisitIndex:
    """Index visits over the local days that were over by the cut-off: a day half seen would look too quiet."""
    days = LocalDays.covering(int(visits.entered_at.min(initial=cutoff)), cutoff, tz)
    today = int(days.number(np.array([cutoff + 1]))[0])
    entered, left = days.number(visits.entered_at), days.number(visits.left_at)
    seen = entered < today
    ended = (visits.completed & (left < today))[seen]
    age = np.minimum(np.where(ended, left[seen], today - 1) - entered[seen], LONGEST)
    ended &= age < LONGEST
    ages = min(int(age.max(initial=0)) + 1, LONGEST)
    cell = (visits.stage + stages * visits.repeat)[seen]
    weekday, cause = entered[seen] % 7, causes(visits, stages)[seen]
    exit_at = ((cell * (2 * stages + 2) + cause) * 7 + weekday) * ages + age
    last = (cell * 7 + weekday) * ages + np.minimum(age, ages - 1)
    moved = ended & (visits.next_state[seen] >= 0)
    moved_at = (visits.stage[seen] * ages + age)[moved]
    return VisitIndex(visits.deal[seen], last, exit_at[ended], ended, moved, moved_at, stages, ages)


def causes(visits: Visits, stages: int) -> Ints:
    """How each visit ended; 0 while it is open, to be ignored."""
    entering = visits.next_state + stages * visits.next_repeat
    closed = np.where(visits.next_state == WON, 2 * stages, 2 * stages + 1)
    ended = np.where(visits.next_state >= 0, entering, closed)
    return np.where(visits.next_state == GONE, 0, ended).astype(np.int64)
