"""Stage visits as known at a cut-off: from entering a stage to leaving it, or still open."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Flags, Ints, starts_of_runs
from domain.recalibration.histories import GONE, Histories


@dataclass(frozen=True)
class Visits:
    """One element per visit.

    deal            index of the deal
    stage           index of the stage
    repeat          the deal had visited this stage before
    entered_at      UTC microseconds
    left_at         UTC microseconds; the cut-off while the visit is open
    next_state      the stage or outcome it left for; GONE while it is open
    next_repeat     it left for a stage that it had visited before
    """

    deal: Ints
    stage: Ints
    repeat: Flags
    entered_at: Ints
    left_at: Ints
    next_state: Ints
    next_repeat: Flags

    @property
    def completed(self) -> Flags:
        """Which visits ended by the cut-off."""
        return self.next_state != GONE


def visits_until(histories: Histories, cutoff: int) -> Visits:
    """The visits of all deals, as known at the cut-off; deals that are voided or merged by then have none."""
    state, _ = histories.final(cutoff)
    seen = (histories.visible_from <= cutoff) & (state[histories.deal] != GONE)
    seen &= histories.starts
    deal, states = histories.deal[seen], histories.state[seen]
    occurred, repeat = histories.occurred_at[seen], histories.repeat[seen]
    last = np.ones(len(deal), dtype=np.bool_)
    last[:-1] = starts_of_runs(deal)[1:]
    left = np.where(last, cutoff, np.roll(occurred, -1))
    following = np.where(last, GONE, np.roll(states, -1))
    next_repeat = ~last & np.roll(repeat, -1)
    here = states >= 0
    return Visits(
        deal=deal[here],
        stage=states[here],
        repeat=repeat[here],
        entered_at=occurred[here],
        # Back-dating may let times fall along a stream; a visit never ends before it began.
        left_at=np.maximum(left, occurred)[here],
        next_state=following[here],
        next_repeat=next_repeat[here],
    )
