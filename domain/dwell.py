"""How long deals stay in a stage: figures of completed and of open visits, and of both together.

A visit runs from entering a stage to leaving it. Every duration here is a whole number of microseconds;
showing days is left to whoever renders the figures.
"""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from math import prod

import msgspec
import numpy as np


class DwellSummary(msgspec.Struct, frozen=True):
    """Dwell of one set of visits: durations and ages in whole microseconds, None where there are no visits.

    Figures of completed visits alone are biased low, since long stays are the ones still open; the
    Kaplan-Meier ones count both, and are None while more than half (a quarter) of all visits are estimated to
    last longer than any completed one did.
    """

    completed_visits: int
    mean: int | None
    median: int | None
    p75: int | None
    p90: int | None
    open_visits: int
    open_mean_age: int | None
    open_median_age: int | None
    open_max_age: int | None
    kaplan_meier_median: int | None
    kaplan_meier_p75: int | None


def summarise(completed: Sequence[int], open_ages: Sequence[int]) -> DwellSummary:
    """Summarise the durations of completed visits and the ages of open ones, microseconds in any order.

    Raises ValueError for a negative duration or age.
    """
    durations, ages = sorted(completed), sorted(open_ages)
    survival = KaplanMeier(durations, ages)
    return DwellSummary(
        completed_visits=len(durations),
        mean=mean(durations),
        median=median(durations),
        p75=nearest_rank(durations, 75),
        p90=nearest_rank(durations, 90),
        open_visits=len(ages),
        open_mean_age=mean(ages),
        open_median_age=median(ages),
        open_max_age=ages[-1] if ages else None,
        kaplan_meier_median=survival.median,
        kaplan_meier_p75=survival.p75,
    )


def mean(values: Sequence[int]) -> int | None:
    """The exact mean, rounded half-even to a whole microsecond; None of nothing."""
    return round(Fraction(sum(values), len(values))) if values else None


def median(sorted_values: Sequence[int]) -> int | None:
    """The middle value, or the midpoint of the middle two rounded half-even; None of nothing."""
    half, odd = divmod(len(sorted_values), 2)
    return mean(sorted_values[half : half + 1] if odd else sorted_values[half - 1 : half + 1])


def nearest_rank(sorted_values: Sequence[int], p: int) -> int | None:
    """The percentile by nearest rank: the smallest value that at least p percent do not exceed.

    `p` is a whole percentage, so that the rank is exact. None of nothing; ValueError unless 1 <= p <= 100.
    """
    if not 1 <= p <= 100:
        raise ValueError(f"a percentile must be a whole number from 1 to 100, not {p}")
    if not sorted_values:
        return None
    rank = -(-p * len(sorted_values) // 100)
    return sorted_values[rank - 1]


class KaplanMeier:
    """Product-limit estimate of the share of visits that last longer than a given time.

    Completed visits are events, open ones are censored at their age; at equal times events come before
    censorings. Without any completed visit survival stays at 1. After the longest observation it keeps its
    last value.

    Source: Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53 (1958),
    457-481.
    """

    # Between two censorings the factors (1 - 1 / at risk) telescope to (left / at risk), so it is enough to
    # keep one run of events for each gap between open ages: little work for many visits, and no rounding
    # inside a run.
    __slots__ = ("_at_risk", "_durations", "_run_first", "_survival")

    def __init__(self, completed: Sequence[int], open_ages: Sequence[int]) -> None:
        """Durations of completed visits and ages of open ones in microseconds, in any order.

        Raises ValueError for a negative one.
        """
        self._durations, ages = (np.sort(np.asarray(values, np.int64)) for values in (completed, open_ages))
        if any(values.size and values[0] < 0 for values in (self._durations, ages)):
            raise ValueError("a visit cannot last less than nothing: a duration or an age is negative")
        completed_by = np.searchsorted(self._durations, ages, side="right")  # at each censoring
        ends = np.append(completed_by, len(self._durations))
        firsts = np.append(0, completed_by)
        runs = np.flatnonzero(ends > firsts)
        at_risk = len(self._durations) + len(ages) - firsts[runs] - runs
        left = at_risk - (ends - firsts)[runs]
        # Of each run the index of its first event, and when it begins how many visits are neither completed nor
        # censored, and the share that is still there.
        self._run_first: list[int] = firsts[runs].tolist()
        self._at_risk: list[int] = at_risk.tolist()
        self._survival: list[float] = [1.0, *np.cumprod(left / at_risk).tolist()]

    @property
    def median(self) -> int | None:
        """Smallest duration at which survival is at most 1/2; None while it stays above."""
        return self._reached(Fraction(1, 2))

    @property
    def p75(self) -> int | None:
        """Smallest duration at which survival is at most 1/4; None while it stays above."""
        return self._reached(Fraction(1, 4))

    def survival(self, t: int) -> float:
        """Estimated share of visits, 0 to 1, that last longer than `t` microseconds."""
        return self._after(int(np.searchsorted(self._durations, t, side="right")))

    def percentile_of(self, age: int) -> float:
        """Estimated share of visits, 0 to 1, that are over by the age of `age` microseconds."""
        return 1.0 - self.survival(age)

    def _reached(self, share: Fraction) -> int | None:
        passed = range(1, len(self._durations) + 1)
        index = bisect_left(passed, True, key=lambda events: self._at_most(events, share))
        return int(self._durations[index]) if index < len(passed) else None

    def _after(self, events: int) -> float:
        if events == 0:
            return 1.0
        run = bisect_left(self._run_first, events) - 1
        at_risk = self._at_risk[run]
        return self._survival[run] * ((at_risk - (events - self._run_first[run])) / at_risk)

    def _at_most(self, events: int, share: Fraction) -> bool:
        estimate = self._after(events)
        # Floats decide where their rounding can not matter (it stays below 1e-9 up to millions of runs); a
        # survival of exactly one half must count as one half, so close to it whole numbers do.
        if abs(estimate - share) > 1e-9:
            return estimate <= share
        run = bisect_left(self._run_first, events)
        firsts = [*self._run_first[:run], events]
        at_risk = self._at_risk[:run]
        left = prod(n - (firsts[i + 1] - firsts[i]) for i, n in enumerate(at_risk))
        return left * share.denominator <= share.numerator * prod(at_risk)
