"""The chance to be won within a number of days, for funnels whose deals carry an expected close date."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats, Ints
from domain.recalibration.hazards import Hazards
from domain.recalibration.landmarks import Landmarks

FARTHEST = 400
"""Days ahead at most: an expected close beyond them is treated as if it were so far away."""
CALIBRATION_PRIOR = 20.0


def within(hazards: Hazards, cell: Ints, weekday: Ints, age: Ints, days: Ints) -> Floats:
    """Per visit the chance to be won before so many further local days are over, from the beginning of a day.

    One step a day, for all cells, weekdays of entry and ages at once. Moving on takes no time of its own: the
    next visit begins on the same day.
    """
    daily, length = _with_tail(hazards)
    cells, ages = daily.shape[0], daily.shape[3]
    weekdays = (np.arange(7)[:, None] + np.arange(ages)) % 7
    staying = 1.0 - daily.sum(axis=1)
    moves = daily[:, :cells]
    # On the day of entry a deal may go through several stages: entering solves a small system per weekday.
    through = np.linalg.inv(np.eye(cells) - 0.999999 * moves[:, :, :, 0].transpose(2, 0, 1))
    result = np.zeros(len(cell))
    chance = np.zeros((cells, 7, ages))
    horizon = np.minimum(days, FARTHEST)
    at = np.minimum(age, length[cell])
    for ahead in range(1, int(horizon.max(initial=0)) + 1):
        later = np.concatenate([chance[:, :, 1:], chance[:, :, -1:]], axis=2)
        today = daily[:, cells] + staying * later
        entry = np.einsum("gkc,cg->kg", through, today[:, :, 0])
        chance = today + np.einsum("kcgu,cgu->kgu", moves, entry[:, weekdays])
        due = horizon == ahead
        result[due] = chance[cell[due], weekday[due], at[due]]
    return np.clip(result, 0.0, 1.0)


def _with_tail(hazards: Hazards) -> tuple[Floats, Ints]:
    """Daily hazards with the tail's on each later day, and one day that stands for all beyond."""
    cells, _, _, ages = hazards.daily.shape
    stage_of = np.arange(cells) % (cells // 2)
    length = hazards.length[stage_of]
    daily = np.concatenate([hazards.daily, hazards.daily[..., -1:]], axis=3)
    late = np.arange(ages + 1) >= length[:, None]
    daily = np.where(late[:, None, None, :], hazards.tail[stage_of][:, :, None, None], daily)
    return daily, np.full(cells, ages, dtype=np.int64)


@dataclass(frozen=True)
class Calibration:
    """Per stage, what an expected date adds to the log odds: deals are dated by people who know them."""

    shift: Floats

    def apply(self, chance: Floats, stage: Ints) -> Floats:
        """The chances with their odds shifted."""
        inside = np.clip(chance, 1e-4, 1.0 - 1e-4)
        return 1.0 / (1.0 + np.exp(-(np.log(inside / (1.0 - inside)) + self.shift[stage])))


def calibrate(rows: Landmarks, chance: Floats, label: Ints, votes: Floats, stages: int) -> Calibration:
    """The shift per stage under which resolved rows were won as often as expected, every deal one vote.

    CALIBRATION_PRIOR deals without any shift stand behind each stage. Newton's method; the sum is monotone.
    """
    shift = np.zeros(stages)
    for stage in np.unique(rows.stage):
        here = rows.stage == stage
        deals, where, rows_of = np.unique(rows.deal[here], return_inverse=True, return_counts=True)
        weight = votes[deals][where] / rows_of[where]
        inside = np.clip(chance[here], 1e-4, 1.0 - 1e-4)
        odds = np.log(inside / (1.0 - inside))
        for _ in range(25):
            now = 1.0 / (1.0 + np.exp(-(odds + shift[stage])))
            slope = float((weight * now * (1.0 - now)).sum())
            pull = CALIBRATION_PRIOR / 4.0
            step = (float((weight * (label[here] - now)).sum()) - pull * shift[stage]) / (slope + pull)
            shift[stage] += np.clip(step, -1.0, 1.0)
    return Calibration(shift)
