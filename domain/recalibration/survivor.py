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
from domain.recalibration.horizon import FARTHEST, Calibration, calibrate, within
from domain.recalibration.labels import Target, month_bounds
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.local_days import LocalDays
from domain.recalibration.memory import fit_memory
from domain.recalibration.rates import Rates, age_group
from domain.recalibration.sample import Sample


@dataclass(frozen=True)
class FittedSurvivor:
    """Hazards, the chances that follow from them, and the rates that come nearest to these."""

    sample: Sample
    hazards: Hazards
    chances: Chances
    calibration: Calibration | None
    rates: Rates

    def probability(self, rows: Landmarks) -> Floats:
        """The chance of each open deal, by its own age: not the rate of its stage."""
        return np.round(_probability(self.sample, self.hazards, self.chances, self.calibration, rows), 6)


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
        links = chain(hazards, won / (won + lost), sample.reopening)
        chance, calibration = links.chances(), None
        chance = links.chances(fit_memory(sample.visit_index, votes, _expected(sample, hazards, chance)))
        if sample.target is Target.IN_PERIOD:
            # Of a month that goes on, only the quick ends are known: it would teach that few deals are won.
            over = sample.resolved & (month_bounds(sample.rows.close_month, sample.tz)[1] <= sample.cutoff)
            used = sample.rows.where(over)
            raw = _in_period(sample, hazards, used)
            calibration = calibrate(used, raw, sample.label[over], votes, len(sample.histories.stages))
        recent = sample.recent
        seen = _probability(sample, hazards, chance, calibration, recent)
        rates = _mean_by_cell(recent, seen, votes[recent.deal], len(sample.histories.stages))
        return FittedSurvivor(sample, hazards, chance, calibration, Rates.rounded(rates))


def _expected(sample: Sample, hazards: Hazards, chance: Chances) -> Floats:
    """Per deal 1 if it is won, its chance while it is open, else 0."""
    expected, rows = sample.won.astype(np.float64), sample.open_now
    expected[rows.deal] = _probability(sample, hazards, chance, None, rows)
    return expected


def _probability(
    sample: Sample, hazards: Hazards, chance: Chances, calibration: Calibration | None, rows: Landmarks
) -> Floats:
    if calibration is not None:
        return calibration.apply(_in_period(sample, hazards, rows), rows.stage)
    cell, weekday, age, elapsed, _ = _position(sample, rows)
    return chance.of(cell, weekday, age, elapsed)


def _in_period(sample: Sample, hazards: Hazards, rows: Landmarks) -> Floats:
    """The chance to be won between the beginning and the end of the expected month; NaN without a month."""
    result, dated = np.full(len(rows), np.nan), rows.close_month != NO_MONTH
    if not dated.any():
        return result
    rows = rows.where(dated)
    cell, weekday, age, elapsed, _ = _position(sample, rows)
    begins, ends = month_bounds(rows.close_month, sample.tz)
    farthest = rows.at + (FARTHEST + 1) * DAY
    days = LocalDays.covering(int(rows.at.min()), int(farthest.max()), sample.tz)

    def by(instants: Ints) -> Floats:
        left = days.number(np.clip(instants, rows.at, farthest)) - days.number(rows.at)
        now = within(hazards, cell, weekday, age, left)
        tomorrow = within(hazards, cell, weekday, age + 1, np.maximum(left - 1, 0))
        return now + (tomorrow - now) * elapsed

    result[dated] = np.clip(by(ends) - by(begins), 0.0, 1.0)
    return result


def _position(sample: Sample, rows: Landmarks) -> tuple[Ints, Ints, Ints, Floats, LocalDays]:
    earliest = int(rows.entered_at.min(initial=sample.cutoff))
    days = LocalDays.covering(earliest, int(rows.at.max(initial=sample.cutoff)), sample.tz)
    entered, today = days.number(rows.entered_at), days.number(rows.at)
    cell = rows.stage + len(sample.histories.stages) * rows.repeat
    return cell, entered % 7, today - entered, days.elapsed(rows.at, rows.entered_at), days


def _mean_by_cell(rows: Landmarks, chance: Floats, votes: Floats, stages: int) -> Floats:
    """Mean chance per stage and age group of recent rows; an empty cell has the mean of its stage."""
    cell = rows.stage * 2 + age_group(rows, by_age=True)
    total = np.bincount(cell, votes, minlength=2 * stages).reshape(stages, 2)
    gained = np.bincount(cell, votes * chance, minlength=2 * stages).reshape(stages, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, whole = gained / total, (gained.sum(axis=1) / total.sum(axis=1))[:, None]
    return np.where(total > 0, mean, np.broadcast_to(whole, mean.shape))
