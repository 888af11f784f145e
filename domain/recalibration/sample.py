"""What an estimator may see: everything known at a cut-off, and nothing after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property

import numpy as np

from domain.recalibration.cells import Cells
from domain.recalibration.columns import Flags, Floats, Ints, add_up, ints, starts_of_runs
from domain.recalibration.histories import ABANDONED, LOST, WON, Histories
from domain.recalibration.horizon import Lessons
from domain.recalibration.labels import UNRESOLVED, Target, labels, month_bounds
from domain.recalibration.landmarks import Landmarks, landmarks, snapshot
from domain.recalibration.positions import InMonth, Positions
from domain.recalibration.visit_counts import VisitIndex, index_visits
from domain.recalibration.visits import Visits, visits_until

RECENT_WEEKS = 4
MOST_LESSONS = 50_000
"""Rows of a dated funnel to calibrate on; of more, those of every second, third ... week, which tell the same."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Histories as known at a cut-off, with their landmark rows and labels.

    cutoff   UTC microseconds, included
    weeks    instants of the landmark rows, ascending, not later than the cut-off
    """

    histories: Histories
    cutoff: int
    weeks: Ints
    target: Target
    tz: tzinfo

    @cached_property
    def rows(self) -> Landmarks:
        """The landmark rows; of a dated funnel, those with an expected month."""
        rows = landmarks(self.histories, self.cutoff, self.weeks)
        return rows if self.target is Target.EVENTUALLY else rows.where(rows.close_month >= 0)

    @cached_property
    def label(self) -> Ints:
        """Per row 1, 0 or UNRESOLVED."""
        return labels(self.target, self.rows, self.histories, self.cutoff, self.tz)

    @cached_property
    def resolved(self) -> Flags:
        """Rows with a label."""
        resolved: Flags = self.label != UNRESOLVED
        return resolved

    @cached_property
    def week(self) -> Ints:
        """Per row, index of its week."""
        return ints(np.searchsorted(self.weeks, self.rows.at))

    @cached_property
    def latest_to_see(self) -> Ints:
        """Per row, index of the last week whose rows were followed as long as this one took to be decided."""
        took = np.maximum(self.decided_at - self.rows.at, 0)
        return ints(np.searchsorted(self.weeks, self.cutoff - took, "right") - 1)

    @cached_property
    def by_stage(self) -> Cells:
        """Resolved rows added up by stage."""
        return Cells.of(self.rows.stage, self.rows.deal, self.label, (self._stages, 1), self.histories.deals)

    @cached_property
    def by_stage_and_age(self) -> Cells:
        """Resolved rows added up by stage and age group."""
        cell = self.rows.stage * 2 + self.rows.stalled
        return Cells.of(cell, self.rows.deal, self.label, (self._stages, 2), self.histories.deals)

    @cached_property
    def entered(self) -> tuple[Ints, Ints]:
        """Deal and stage of everything that was ever entered, each pair once."""
        pair = np.sort(self.visits.deal * self._stages + self.visits.stage)
        pair = pair[starts_of_runs(pair)]  # quicker than numpy's unique
        return pair // self._stages, pair % self._stages

    @cached_property
    def visit_index(self) -> VisitIndex:
        """Where each visit is counted, by days of age."""
        return index_visits(self.visits, self._stages, self.cutoff, self.tz)

    @cached_property
    def reopening(self) -> Floats:
        """Per cell (stage, then stage visited before) the share of losses that were reopened in it."""
        seen = np.flatnonzero(self.histories.starts & (self.histories.visible_from <= self.cutoff))
        state, deal = self.histories.state[seen], self.histories.deal[seen]
        lost = np.isin(state, (LOST, ABANDONED))
        back = np.flatnonzero(lost[:-1] & (deal[1:] == deal[:-1]) & (state[1:] >= 0)) + 1
        cell = state[back] + self._stages * self.histories.repeat[seen[back]]
        return add_up(cell, np.ones(len(cell)), 2 * self._stages) / max(int(lost.sum()), 1)

    @cached_property
    def open_now(self) -> Landmarks:
        """The deals open at the cut-off."""
        return snapshot(self.histories, self.cutoff)

    @cached_property
    def recent(self) -> Landmarks:
        """Open deals at the cut-off and at the last RECENT_WEEKS week ends; of a dated funnel, dated ones."""
        weeks = np.unique(np.append(self.weeks[-RECENT_WEEKS:], self.cutoff))
        rows = landmarks(self.histories, self.cutoff, weeks)
        return rows if self.target is Target.EVENTUALLY else rows.where(rows.close_month >= 0)

    @cached_property
    def lessons(self) -> tuple[Lessons, InMonth]:
        """Resolved rows of a dated funnel whose month is over, and the days ahead of them and then of `recent`.

        Of a month that goes on, only the quick ends are known: it would teach that few deals are won.
        """
        over = self.resolved & (month_bounds(self.rows.close_month, self.tz)[1] <= self.cutoff)
        every = -(-int(over.sum()) // MOST_LESSONS)
        over &= self.week % max(every, 1) == 0
        rows = self.rows.where(over)
        lessons = Lessons.of(rows, self.label[over])
        return lessons, InMonth.of(rows.followed_by(self.recent), self._stages, self.tz)

    @cached_property
    def recent_positions(self) -> Positions:
        """Where the recent rows stand."""
        return Positions.of(self.recent, self._stages, self.tz)

    @cached_property
    def open_positions(self) -> Positions:
        """Where the deals open now stand."""
        return Positions.of(self.open_now, self._stages, self.tz)

    @property
    def _stages(self) -> int:
        return len(self.histories.stages)

    @cached_property
    def visits(self) -> Visits:
        """All stage visits, open ones ending at the cut-off."""
        return visits_until(self.histories, self.cutoff)

    @cached_property
    def outcome(self) -> tuple[Ints, Ints]:
        """Per deal, state and since when."""
        return self.histories.final(self.cutoff)

    @cached_property
    def decided_at(self) -> Ints:
        """Per row, when its deal was won, lost or abandoned, or the cut-off while it is none of these."""
        state, since = self.outcome
        closed = state[self.rows.deal] < 0
        return np.where(closed, since[self.rows.deal], self.cutoff)

    @cached_property
    def open_at_end(self) -> Flags:
        """Per row, whether its deal is open at the cut-off."""
        still_open: Flags = self.outcome[0][self.rows.deal] >= 0
        return still_open

    @cached_property
    def won(self) -> Flags:
        """Per deal, whether it is won."""
        won: Flags = self.outcome[0] == WON
        return won

    def at(self, cutoff: int, weeks: Sequence[int] | Ints | None = None) -> "Sample":
        """The same histories as known at an earlier cut-off."""
        chosen = self.weeks if weeks is None else np.asarray(weeks, dtype=np.int64)
        return Sample(self.histories, cutoff, chosen[chosen <= cutoff], self.target, self.tz)
