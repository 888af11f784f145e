"""The walk-forward test: fit on what was known before a period, forecast at every week in it, score later.

A deal still open at the cut-off has no outcome yet. Leaving it out would favour forecasts that are too high,
since the slow are left: on target T1 it stands with its expectation under one reference for all candidates,
and a week is scored once half of its amount is decided. On T2 rows are scored once their month is over.

What is adopted is a table of rates, so a candidate is tested by the rates that it would have had adopted before the
fold. An estimator that tells deals of one stage apart is tested once more, deal by deal.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from random import Random

import numpy as np

from domain.recalibration.band import Band, Spread, band, errors_by_team, estimate_spread
from domain.recalibration.candidate import Candidate, Fitted
from domain.recalibration.columns import DAY, FOREVER, Flags, Floats, Ints, add_up, distinct_pairs
from domain.recalibration.folds import Fold
from domain.recalibration.histories import ABANDONED, LOST, NO_MONTH
from domain.recalibration.labels import Target, month_bounds
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.rate_table import RateTable
from domain.recalibration.sample import Sample
from domain.recalibration.survivor import Survivor

LEAST_RESOLVED = 0.5
"""Share of a week's open amount that must be decided before the week is scored."""
LEAST_KNOWN = 20
"""Deals won, and deals lost or abandoned, that must be known before a fold is tested: with fewer, every
candidate guesses, and the test would compare guesses."""
MOST_BANDS = 200
"""Weekly forecasts whose bands are looked at."""


@dataclass(frozen=True)
class Walk:
    """What was forecast, row by row, and what happened.

    rows      landmark rows of the scored weeks of all folds
    fold      per row, index of its fold
    outcome   per row 1, 0, or the expectation of a deal still open
    closed    per row, when its deal was won, lost or abandoned, UTC microseconds; FOREVER while it is open
    known     per row, deals known to be won when it was forecast
    chance    per candidate, the forecast of each row by its rates, and under `deal_by_deal` that of an estimator
              which tells deals apart; NaN where it could not be fitted yet, or was fitted to more than was known then
    """

    rows: Landmarks
    fold: Ints
    known: Ints
    outcome: Floats
    closed: Ints
    chance: dict[str, Floats]
    tz: tzinfo

    @cached_property
    def weeks_left(self) -> Ints:
        """Per row, whole weeks to the end of its month, or without a month to its deal's close; -1 while neither is
        known."""
        _, ends = month_bounds(self.rows.close_month, self.tz)
        ends = np.where(self.rows.close_month == NO_MONTH, self.closed, ends)
        return np.where(ends == FOREVER, -1, np.maximum(ends - self.rows.at, 0) // (7 * DAY))

    @cached_property
    def unit(self) -> Ints:
        """Per row, index of the weekly forecast it belongs to (week and, where dated, expected month)."""
        *_, index = distinct_pairs(self.rows.at, self.rows.close_month)
        return index

    def where(self, chosen: Flags) -> "Walk":
        """The test of the chosen rows alone."""
        chance = {name: column[chosen] for name, column in self.chance.items()}
        return Walk(
            self.rows.where(chosen),
            self.fold[chosen],
            self.known[chosen],
            self.outcome[chosen],
            self.closed[chosen],
            chance,
            self.tz,
        )

    def value(self, name: str, weight: Floats | None = None) -> tuple[Floats, Floats]:
        """Forecast and actual value of each weekly forecast; `weight` counts deals as in a bootstrap."""
        unit = self.unit
        amount = self.rows.amount * (1.0 if weight is None else weight[self.rows.deal])
        size = int(unit.max(initial=-1)) + 1
        return (
            add_up(unit, amount * self.chance[name], size),
            add_up(unit, amount * self.outcome, size),
        )


def walk_forward(
    sample: Sample,
    candidates: Sequence[Candidate],
    folds: Sequence[Fold],
    learnt_until: Mapping[str, int] | None = None,
) -> Walk:
    """Fit every candidate before every fold and forecast at its week ends.

    learnt_until   of candidates that are the same in every fold, how far the history goes that they were learnt
                   from, UTC microseconds: they forecast later weeks only
    """
    rows = sample.rows
    outcome = _outcomes(sample)
    scored = _scored_weeks(sample) & ~np.isnan(outcome)
    fold, wins = np.full(len(rows), -1, dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    chance = {candidate.name: np.full(len(rows), np.nan) for candidate in candidates}
    for index, period in enumerate(folds):
        inside = scored & (rows.at > period.trained_until) & (rows.at <= period.until)
        if not inside.any():
            continue
        known = sample.at(period.trained_until)
        if not enough(known):
            continue
        fold[inside], wins[inside] = index, int(known.won.sum())
        for candidate in candidates:
            fitted = candidate.fit(known)
            if fitted is not None:
                here = rows.where(inside)
                chance[candidate.name][inside] = _without_gaps(RateTable(fitted.rates), here, known)
                if not isinstance(fitted, RateTable):
                    own = chance.setdefault(deal_by_deal(candidate.name), np.full(len(rows), np.nan))
                    own[inside] = _without_gaps(fitted, here, known)
    for name, learnt in (learnt_until or {}).items():
        chance[name][rows.at <= learnt] = np.nan
    tested = fold >= 0
    return Walk(
        rows.where(tested),
        fold[tested],
        wins[tested],
        outcome[tested],
        np.where(sample.open_at_end, FOREVER, sample.decided_at)[tested],
        {n: c[tested] for n, c in chance.items()},
        sample.tz,
    )


def deal_by_deal(candidate: str) -> str:
    """Under which name a test holds what a candidate's estimator forecast, beside what its rates did."""
    return f"{candidate}, deal by deal"


def enough(known: Sample) -> bool:
    """Whether a sample holds wins and losses enough to be fitted for a test."""
    outcome, _ = known.outcome
    return bool(known.won.sum() >= LEAST_KNOWN and np.isin(outcome, (LOST, ABANDONED)).sum() >= LEAST_KNOWN)


def coverage(walk: Walk, name: str, rng: Random, draws: int = 200) -> tuple[int, int]:
    """How many weekly forecasts there were, and how many actuals lay in their 80 % band.

    Of more than MOST_BANDS forecasts so many are looked at that are spread evenly over them.
    """
    held = tested = 0
    for here, fan in bands(walk, name, walk.unit, rng, draws):
        tested += 1
        held += fan.holds(float((walk.rows.amount[here] * walk.outcome[here]).sum()))
    return tested, held


def bands(walk: Walk, name: str, group: Ints, rng: Random, draws: int = 200) -> Iterator[tuple[Ints, Band]]:
    """The 80 % bands of a candidate's forecasts, by a grouping of the rows (0, 1, 2 ...) that keeps folds apart: of each
    its rows and its band.

    A fold's bands know the errors of earlier folds only, as they turned out. Of more than MOST_BANDS groups so many are
    taken that are spread evenly over them.
    """
    if not len(walk.rows):
        return
    order, groups = np.argsort(group, kind="stable"), int(group.max()) + 1
    bounds = np.searchsorted(group[order], np.arange(groups + 1))
    spreads = {
        fold: spread_of(walk, name, int(walk.known[walk.fold == fold].max()), walk.fold < fold)
        for fold in np.unique(walk.fold).tolist()
    }
    for one in np.unique(np.linspace(0, groups - 1, min(groups, MOST_BANDS)).round().astype(int)).tolist():
        here = order[bounds[one] : bounds[one + 1]]
        chance = walk.chance[name][here]
        if not np.isnan(chance).any():
            spread = spreads[int(walk.fold[here[0]])]
            yield here, band(walk.rows.amount[here], chance, walk.rows.team[here], spread, rng, draws)


def spread_of(walk: Walk, name: str, known: int, chosen: Flags | None = None) -> Spread:
    """How much deals move together, by the errors of the candidate's forecasts (or the chosen rows of them).

    known   deals known to be won now
    """
    used = ~np.isnan(walk.chance[name]) & (True if chosen is None else chosen)
    rows = walk.rows.where(used)
    weight = np.minimum(walk.known[used] / max(known, 1), 1.0)
    return estimate_spread(
        errors_by_team(
            walk.unit[used], rows.team, rows.amount, walk.chance[name][used], walk.outcome[used], weight
        )
    )


def _outcomes(sample: Sample) -> Floats:
    outcome = np.where(sample.resolved, sample.label.astype(np.float64), np.nan)
    reference = Survivor().fit(sample) if sample.target is Target.EVENTUALLY else None
    if reference is not None:
        still_open = sample.open_now
        expected = np.full(sample.histories.deals, np.nan)
        expected[still_open.deal] = reference.probability(still_open)
        outcome = np.where(sample.resolved, outcome, expected[sample.rows.deal])
    return outcome


def _scored_weeks(sample: Sample) -> Flags:
    if sample.target is Target.IN_PERIOD:
        # Of a month that goes on only the lost and the quick are resolved: nothing could be forecast of them.
        return month_bounds(sample.rows.close_month, sample.tz)[1] <= sample.cutoff
    week = np.searchsorted(sample.weeks, sample.rows.at)
    everything = add_up(week, sample.rows.amount, len(sample.weeks))
    decided = add_up(week, sample.rows.amount * sample.resolved, len(sample.weeks))
    return (decided >= LEAST_RESOLVED * everything)[week]


def _without_gaps(fitted: Fitted, rows: Landmarks, known: Sample) -> Floats:
    """A stage without a rate is forecast with the share won of all resolved rows, or half of nothing known."""
    chance = fitted.probability(rows)
    resolved = known.label[known.resolved]
    return np.where(np.isnan(chance), resolved.mean() if len(resolved) else 0.5, chance)
