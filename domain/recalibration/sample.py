"""What an estimator may see: everything known at a cut-off, and nothing after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property

import numpy as np

from domain.recalibration.columns import Flags, Ints
from domain.recalibration.histories import WON, Histories
from domain.recalibration.labels import UNRESOLVED, Target, labels
from domain.recalibration.landmarks import Landmarks, landmarks
from domain.recalibration.visits import Visits, visits_until


@dataclass(frozen=True)
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
        return self.label != UNRESOLVED

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
    def won(self) -> Flags:
        """Per deal, whether it is won."""
        return self.outcome[0] == WON

    def at(self, cutoff: int, weeks: Sequence[int] | Ints | None = None) -> "Sample":
        """The same histories as known at an earlier cut-off."""
        chosen = self.weeks if weeks is None else np.asarray(weeks, dtype=np.int64)
        return Sample(self.histories, cutoff, chosen[chosen <= cutoff], self.target, self.tz)
