"""`survivor/2`: what a deal that has lasted this long in its stage is still worth.

Textbook rates follow deals from their entry, landmark rates average over the ages that a history happens to
hold; both are wrong for a pipeline of other ages. This one asks how visits of this age went on from here:
competing daily hazards of moving on, going back, winning and losing, by age in local days and weekday, with
open visits counted for as long as they were seen, carried through the chain of stages until the end (a
semi-Markov multi-state model; Putter, Fiocco and Geskus 2007). First and repeated visits of a stage differ, and
so does what follows a quick visit from what follows a slow one; see `memory.py`.
For a dated funnel the chain runs only to the end of the expected month; see `horizon.py`.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.chain import Chances, chain
from domain.recalibration.columns import DAY, Floats, Ints
from domain.recalibration.hazards import Hazards, fit_hazards
from domain.recalibration.histories import ABANDONED, LOST, NO_MONTH
from domain.recalibration.horizon import Calibration, calibrate
from domain.recalibration.labels import Target
from domain.recalibration.landmark import Landmark
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.memory import fit_memory
from domain.recalibration.positions import InMonth, Positions
from domain.recalibration.rates import Rates, age_group
from domain.recalibration.sample import Sample


@dataclass(frozen=True)
class FittedSurvivor:
    """Hazards, what follows from them, and the rates that come nearest to it.

    chances       of target T1, by cell, weekday of entry and age
    calibration   of target T2, what an expected date adds
    """

    sample: Sample
    hazards: Hazards
    chances: Chances | None
    calibration: Calibration | None
    rates: Rates

    def probability(self, rows: Landmarks) -> Floats:
        """The chance of each open deal, by its own age: not the rate of its stage."""
        stages, tz = len(self.sample.histories.stages), self.sample.tz
        if self.chances is not None:
            return np.round(_eventually(self.chances, Positions.of(rows, stages, tz)), 6)
        assert self.calibration is not None
        result, dated = np.full(len(rows), np.nan), rows.close_month != NO_MONTH
        rows = rows.where(dated)
        result[dated] = self.calibration.apply(InMonth.of(rows, stages, tz).chance(self.hazards), rows.stage)
        return np.round(result, 6)


@dataclass(frozen=True)
class Survivor:
    """The candidate. Its constants stand in `hazards.py`."""

    name: str = "survivor/2"

    def fit(self, sample: Sample, weight: Floats | None = None) -> FittedSurvivor | None:
        """Fit to all visits as known at the cut-off; None before any deal has come to an end."""
        outcome, _ = sample.outcome
        votes = np.ones(len(outcome)) if weight is None else weight
        won, lost = float(votes[sample.won].sum()), float(votes[np.isin(outcome, (LOST, ABANDONED))].sum())
        if won + lost == 0:
            return None
        hazards = fit_hazards(sample.visit_index.count(weight))
        chance, calibration, stages = None, None, len(sample.histories.stages)
        if sample.target is Target.IN_PERIOD:
            lessons, ahead = sample.lessons
            taught, recent = np.split(ahead.chance(hazards), [len(lessons.stage)])
            calibration = calibrate(lessons, taught, votes, stages)
            seen = calibration.apply(recent, sample.recent.stage)
            parent = _shares(sample, weight)
        else:
            links = chain(hazards, won / (won + lost), sample.reopening)
            expected = sample.won.astype(np.float64)
            expected[sample.open_now.deal] = _eventually(links.chances(), sample.open_positions)
            chance = links.chances(fit_memory(sample.visit_index, votes, expected))
            seen = _eventually(chance, sample.recent_positions)
            parent = _at_age(chance, sample.histories.stall_after)
        parent = np.where(np.isnan(parent), won / (won + lost), parent)
        rates = _mean_by_cell(sample.recent, seen, votes[sample.recent.deal], parent)
        return FittedSurvivor(sample, hazards, chance, calibration, Rates.rounded(rates))


def _eventually(chance: Chances, here: Positions) -> Floats:
    return chance.of(here.cell, here.weekday, here.age, here.elapsed)


def _at_age(chance: Chances, stall_after: Ints) -> Floats:
    """The chance of a first visit that has just begun, and of one that has just stalled, over all weekdays."""
    stages, last = len(stall_after), chance.open.shape[2] - 1
    stage, mean = np.arange(stages), chance.open.mean(axis=1)
    return np.stack([mean[:stages, 0], mean[stage, np.minimum(stall_after // DAY, last)]], axis=1)


def _shares(sample: Sample, weight: Floats | None) -> Floats:
    """The share won within the month of resolved rows, by stage and age group."""
    rates = Landmark(by_age=True).fit(sample, weight).rates.micros
    return np.where(rates < 0, np.nan, rates / 1_000_000)


def _mean_by_cell(rows: Landmarks, chance: Floats, votes: Floats, parent: Floats) -> Floats:
    """Mean chance per stage and age group of recent rows; an empty cell has its parent's.

    These are not shares of a few deals but chances that the whole history speaks for: few rows need no shrinkage.
    """
    cell = rows.stage * 2 + age_group(rows, by_age=True)
    total = np.bincount(cell, votes, minlength=parent.size)
    gained = np.bincount(cell, votes * chance, minlength=parent.size)
    return np.divide(gained, total, out=parent.ravel().copy(), where=total > 0).reshape(parent.shape)
