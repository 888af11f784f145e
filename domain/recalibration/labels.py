"""What became of the deals of landmark rows, as known at a cut-off, and the target that estimators aim at."""

from datetime import tzinfo
from enum import StrEnum

import numpy as np

from domain.calendar import parse_month
from domain.recalibration.columns import FOREVER, Ints, ints
from domain.recalibration.histories import ABANDONED, LOST, NO_MONTH, WON, Histories
from domain.recalibration.landmarks import Landmarks, microseconds

UNRESOLVED = -1


class Target(StrEnum):
    """T1: what the open deals eventually bring in. T2: what they bring in within their expected month."""

    EVENTUALLY = "T1"
    IN_PERIOD = "T2"


def won_eventually(rows: Landmarks, histories: Histories, cutoff: int) -> Ints:
    """Per row 1 if its deal is won as known at the cut-off, 0 if lost or abandoned, else UNRESOLVED."""
    state, _ = histories.final(cutoff)
    return _label(state[rows.deal])


def won_in_period(rows: Landmarks, histories: Histories, cutoff: int, tz: tzinfo) -> Ints:
    """Per row, with P the row's expected-close month: 1 if its deal was won in P; 0 if it is lost or
    abandoned, was won outside P, or P ended by the cut-off without a win; else UNRESOLVED.

    A row without an expected month has no period that could end: it stays UNRESOLVED.
    """
    state, since = histories.final(cutoff)
    begins, ends = month_bounds(rows.close_month, tz)
    outcome, decided = state[rows.deal], since[rows.deal]
    label = _label(outcome)
    won = outcome == WON
    label[won & ((decided < begins) | (decided >= ends))] = 0
    label[(label == UNRESOLVED) & (ends <= cutoff)] = 0
    label[rows.close_month == NO_MONTH] = UNRESOLVED
    return label


def labels(target: Target, rows: Landmarks, histories: Histories, cutoff: int, tz: tzinfo) -> Ints:
    """The label of the target, per row."""
    if target is Target.EVENTUALLY:
        return won_eventually(rows, histories, cutoff)
    return won_in_period(rows, histories, cutoff, tz)


def month_bounds(months: Ints, tz: tzinfo) -> tuple[Ints, Ints]:
    """First instant of each month and of the one after it, in UTC microseconds; never, for NO_MONTH."""
    distinct, where = np.unique(months, return_inverse=True)
    bounds = [_bounds(int(month), tz) for month in distinct]
    begins, ends = ints([begin for begin, _ in bounds]), ints([end for _, end in bounds])
    return begins[where], ends[where]


def _bounds(month: int, tz: tzinfo) -> tuple[int, int]:
    if month == NO_MONTH:
        return FOREVER, FOREVER
    period = parse_month(f"{month // 12:04}-{month % 12 + 1:02}", tz)
    return microseconds(period.start), microseconds(period.end)


def _label(outcome: Ints) -> Ints:
    lost = (outcome == LOST) | (outcome == ABANDONED)
    return np.where(outcome == WON, 1, np.where(lost, 0, UNRESOLVED)).astype(np.int64)
