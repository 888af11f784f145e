"""Landmark rows: the open deals at the end of each week, with what was known about them then.

A week's end is its last microsecond ("just before its end", `Period.as_of`), so an event at local midnight
belongs to the week it begins. A cut-off or a moment of forecast is an instant that includes its own events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np

from domain.calendar import weeks_between
from domain.recalibration.columns import Flags, Ints, ints
from domain.recalibration.histories import GONE, Histories

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Landmarks:
    """Deals open at an instant, one element per deal and instant, ordered by instant and then by deal.

    deal, at        index of the deal; the instant in UTC microseconds
    stage, repeat   index of the stage; whether the deal had left and re-entered it
    entered_at      start of the visit, UTC microseconds
    stalled         age in the stage, in elapsed time, above `stall_after` of the stage
    amount          whole minor units
    close_month     as in Histories
    grade, team     as in Histories
    """

    deal: Ints
    at: Ints
    stage: Ints
    repeat: Flags
    entered_at: Ints
    stalled: Flags
    amount: Ints
    close_month: Ints
    grade: Ints
    team: Ints

    def __len__(self) -> int:
        return len(self.deal)

    @property
    def age(self) -> Ints:
        """Age in the stage, elapsed microseconds."""
        return self.at - self.entered_at

    def where(self, chosen: Flags) -> "Landmarks":
        """The chosen rows."""
        return Landmarks(**{name: column[chosen] for name, column in vars(self).items()})

    def followed_by(self, others: "Landmarks") -> "Landmarks":
        """These rows and then the others."""
        pairs = ((name, column, vars(others)[name]) for name, column in vars(self).items())
        return Landmarks(**{name: np.concatenate([here, there]) for name, here, there in pairs})


def microseconds(instant: datetime) -> int:
    """UTC microseconds since 1970 of an instant with a UTC offset."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def week_ends(first: int, cutoff: int, tz: tzinfo) -> Ints:
    """The week ends from the week that holds `first` to the last one not later than the cut-off.

    A cut-off at local midnight of a Monday has its week's end one microsecond before it, which counts.
    """
    start, last = (EPOCH + timedelta(microseconds=instant) for instant in (first, cutoff))
    ends = [microseconds(week.as_of) for week in weeks_between(start, last, tz)]
    return ints([end for end in ends if end <= cutoff])


def landmarks(histories: Histories, cutoff: int, weeks: Sequence[int] | Ints) -> Landmarks:
    """Rows at the given instants up to the cut-off, ascending; features as known at each instant.

    Deals that are voided or merged as known at the cut-off have none.
    """
    at = ints(weeks)
    at = at[at <= cutoff]
    state, _ = histories.final(cutoff)
    first = np.searchsorted(at, histories.visible_from)
    beyond = np.searchsorted(at, histories.visible_until)
    usable = (histories.state >= 0) & (state[histories.deal] != GONE)
    count = np.where(usable, np.maximum(beyond - first, 0), 0)
    version = np.repeat(np.arange(len(count)), count)
    week = first[version] + np.arange(len(version)) - np.repeat(np.cumsum(count) - count, count)
    order = np.lexsort((histories.deal[version], week))
    version, week = version[order], week[order]
    stage, entered = histories.state[version], histories.entered_at[version]
    return Landmarks(
        deal=histories.deal[version],
        at=at[week],
        stage=stage,
        repeat=histories.repeat[version],
        entered_at=entered,
        stalled=at[week] - entered > histories.stall_after[stage],
        amount=histories.amount[version],
        close_month=histories.close_month[version],
        grade=histories.grade[version],
        team=histories.team[version],
    )


def snapshot(histories: Histories, at: int) -> Landmarks:
    """The deals open at one instant, as known then: the pipeline a forecast is made for."""
    return landmarks(histories, at, [at])
