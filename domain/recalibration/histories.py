"""Deal histories of one funnel in columns: what recalibration reads, and nothing else.

A version is the state of a deal after one event that changed it. As of T and as known at K a deal is in its
last version, in stream order, that occurred by T and was known by K; both limits include their instant.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from domain.recalibration.columns import FOREVER, Flags, Ints, starts_of_runs

WON, LOST, ABANDONED, GONE = -1, -2, -3, -4
"""States of a deal that is not open; GONE is voided or merged, which is nowhere."""

NO_MONTH = -1


@dataclass(frozen=True)
class Histories:
    """Versions of all deals of one funnel; the columns below `deal_id` have one element per version.

    stages          stage keys in funnel order
    stall_after     per stage, the age in elapsed microseconds after which a deal counts as stalled
    deal_id         one per deal, ascending and unique: the canonical order, whatever the order of import
    deal            index into deal_id; all versions of a deal together, deals ascending, in stream order
    occurred_at     UTC microseconds
    known_at        UTC microseconds, never falling along a deal's stream
    state           index of the stage of an open deal, or WON, LOST, ABANDONED, GONE
    amount          whole minor units of the currency
    close_month     expected close as year * 12 + month - 1, or NO_MONTH
    grade, team     small integers with a meaning of the caller's

    Raises ValueError where the columns do not fit together.
    """

    stages: tuple[str, ...]
    stall_after: Ints
    deal_id: Ints
    deal: Ints
    occurred_at: Ints
    known_at: Ints
    state: Ints
    amount: Ints
    close_month: Ints
    grade: Ints
    team: Ints

    def __post_init__(self) -> None:
        columns = (
            self.occurred_at,
            self.known_at,
            self.state,
            self.amount,
            self.close_month,
            self.grade,
            self.team,
        )
        if any(len(column) != len(self.deal) for column in columns):
            raise ValueError("every column of versions needs one element per version")
        if len(self.stall_after) != len(self.stages):
            raise ValueError("stall_after needs one element per stage")
        if (np.diff(self.deal_id) <= 0).any():
            raise ValueError("deal_id must be ascending and unique")
        if (np.diff(self.deal) < 0).any():
            raise ValueError("versions must be grouped by deal, deals ascending")
        if len(self.deal) and (self.deal[0] < 0 or self.deal[-1] >= len(self.deal_id)):
            raise ValueError("a version names a deal that is not there")
        same = ~starts_of_runs(self.deal)
        if (np.diff(self.known_at, prepend=0)[same] < 0).any():
            raise ValueError("known_at may not fall along a deal's stream")
        if len(self.state) and not ((self.state >= GONE) & (self.state < len(self.stages))).all():
            raise ValueError("a state is neither a stage nor an outcome")

    @property
    def deals(self) -> int:
        """Number of deals."""
        return len(self.deal_id)

    @cached_property
    def visible_from(self) -> Ints:
        """Per version, the first instant at which it both had occurred and was known."""
        return np.maximum(self.occurred_at, self.known_at)

    @cached_property
    def visible_until(self) -> Ints:
        """Per version, the first instant at which a later version of its deal is in force instead of it."""
        later = np.full(len(self.deal), FOREVER, dtype=np.int64)
        same = self.deal[1:] == self.deal[:-1]
        later[:-1][same] = self.visible_from[1:][same]
        # A version that occurred later may precede one that was back-dated, so that times fall along a stream:
        # then it is the earliest of all later versions that counts. Rare enough to go deal by deal.
        for deal in np.unique(self.deal[1:][same & (np.diff(self.visible_from) < 0)]):
            rows = np.flatnonzero(self.deal == deal)
            following = np.append(self.visible_from[rows][1:], FOREVER)
            later[rows] = np.minimum.accumulate(following[::-1])[::-1]
        return later

    @cached_property
    def starts(self) -> Flags:
        """Which versions brought the deal into the state it is in: the first of a visit or an outcome."""
        return starts_of_runs(self.deal) | starts_of_runs(self.state)

    @cached_property
    def entered_at(self) -> Ints:
        """Per version, when the deal came into the state it is in: the start of the visit of an open deal."""
        entered: Ints = self.occurred_at[self.starts][np.cumsum(self.starts) - 1]
        return entered

    @cached_property
    def repeat(self) -> Flags:
        """Per version, whether the deal is in a stage that it had been in before and left."""
        deal, state = self.deal[self.starts], self.state[self.starts]
        key = deal * (len(self.stages) - GONE) + state - GONE
        order = np.argsort(key, kind="stable")
        again = np.zeros(len(key), dtype=np.bool_)
        again[order] = ~starts_of_runs(key[order])
        repeated: Flags = (again & (state >= 0))[np.cumsum(self.starts) - 1]
        return repeated

    def in_force(self, instant: int) -> Flags:
        """Which versions are in force at an instant, as known then (one at most per deal)."""
        return (self.visible_from <= instant) & (instant < self.visible_until)

    def final(self, cutoff: int) -> tuple[Ints, Ints]:
        """Per deal, its state as known at the cut-off and when it came into it; GONE before it was born."""
        rows = np.flatnonzero(self.in_force(cutoff))
        state = np.full(self.deals, GONE, dtype=np.int64)
        since = np.zeros(self.deals, dtype=np.int64)
        state[self.deal[rows]] = self.state[rows]
        since[self.deal[rows]] = self.entered_at[rows]
        return state, since

    def until(self, cutoff: int) -> "Histories":
        """The histories a log would hold that ended at the cut-off; deals keep their index."""
        keep = (self.known_at <= cutoff) & (self.occurred_at <= cutoff)
        return Histories(
            stages=self.stages,
            stall_after=self.stall_after,
            deal_id=self.deal_id,
            deal=self.deal[keep],
            occurred_at=self.occurred_at[keep],
            known_at=self.known_at[keep],
            state=self.state[keep],
            amount=self.amount[keep],
            close_month=self.close_month[keep],
            grade=self.grade[keep],
            team=self.team[keep],
        )
