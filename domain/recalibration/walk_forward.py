"""The walk-forward test: fit on what was known before a period, forecast at every week in it, score later.

A deal still open at the cut-off has no outcome yet. Leaving it out would favour forecasts that are too high,
since the slow are left: on target T1 it stands with its expectation under one reference for all candidates,
and a week is scored once half of its amount is decided. On T2 rows are scored once their month is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from random import Random

import numpy as np

from domain.recalibration.band import Band, Spread, band, errors_by_team, estimate_spread
from domain.recalibration.candidate import Candidate, Fitted
from domain.recalibration.columns import DAY, Flags, Floats, Ints, add_up
from domain.recalibration.folds import Fold
from domain.recalibration.histories import ABANDONED, LOST, NO_MONTH
from domain.recalibration.labels import Target, month_bounds
from domain.recalibration.landmarks import Landmarks
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
    known     per row, deals known to be won when it was forecast
    chance    per candidate, the forecast of each row; NaN where it could not be fitted yet, or was fitted to more
              than was known then
    """

    rows: Landmarks
    fold: Ints
    known: Ints
    outcome: Floats
    chance: dict[str, Floats]
    tz: tzinfo

    @property
    def weeks_left(self) -> Ints:
        """Per weekly forecast, whole weeks to the end of its month; -1 where there is no month."""
        _, first = np.unique(self.unit, return_index=True)
        _, ends = month_bounds(self.rows.close_month[first], self.tz)
        weeks = np.maximum(ends - self.rows.at[first], 0) // (7 * DAY)
        return np.where(self.rows.close_month[first] == NO_MONTH, -1, weeks)

    @cached_property
    def unit(self) -> Ints:
        """Per row, index of the weekly forecast it belongs to (week and, where dated, expected month)."""
        _, index = np.unique(np.stack([self.rows.at, self.rows.close_month]), axis=1, return_inverse=True)
        return index.ravel().astype(np.int64)

    def where(self, chosen: Flags) -> "Walk":
        """The test of the chosen rows alone."""
        chance = {name: column[chosen] for name, column in self.chance.items()}
        return Walk(
            self.rows.where(chosen),
            self.fold[chosen],
            self.known[chosen],
            self.outcome[chosen],
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
                chance[candidate.name][inside] = _without_gaps(fitted, rows.where(inside), known)
    for name, learnt in (learnt_until or {}).items():
        chance[name][rows.at <= learnt] = np.nan
    tested = fold >= 0
    return Walk(
        rows.where(tested),
        fold[tested],
        wins[tested],
        outcome[tested],
        {n: c[tested] for n, c in chance.items()},
        sample.tz,
    )


def enough(known: Sample) -> bool:
    """Whether a sample holds wins and losses enough to be fitted for a test."""
    outcome, _ = known.outcome
    return bool(known.won.sum() >= LEAST_KNOWN and np.isin(outcome, (LOST, ABANDONED)).sum() >= LEAST_KNOWN)


def coverage(walk: Walk, name: str, rng: Random, draws: int = 200) -> tuple[int, int]:
    """How many weekly forecasts there were, and how many actuals lay in their 80 % band.

    A fold's bands know the errors of earlier folds only, as they turned out. Of more than MOST_BANDS forecasts so
    many are looked at that are spread evenly over them.
    """
    if not len(walk.rows):
        return 0, 0
    order, units = np.argsort(walk.unit, kind="stable"), int(walk.unit.max()) + 1
    bounds = np.searchsorted(walk.unit[order], np.arange(units + 1))
    spreads = {
        fold: spread_of(walk, name, int(walk.known[walk.fold == fold].max()), walk.fold < fold)
        for fold in np.unique(walk.fold).tolist()
    }
    held = tested = 0
    for one in np.unique(np.linspace(0, units - 1, min(units, MOST_BANDS)).round().astype(int)).tolist():
        here = order[bounds[one] : bounds[one + 1]]
        amount, chance = walk.rows.amount[here], walk.chance[name][here]
        if np.isnan(chance).any():
            continue
        fan: Band = band(amount, chance, walk.rows.team[here], spreads[int(walk.fold[here[0]])], rng, draws)
        tested += 1
        held += fan.holds(float((amount * walk.outcome[here]).sum()))
    return tested, held


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
