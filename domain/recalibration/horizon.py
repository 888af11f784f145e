"""The chance to be won within a number of days, for funnels whose deals carry an expected close date."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats, Ints
from domain.recalibration.hazards import Hazards
from domain.recalibration.landmarks import Landmarks

FARTHEST = 400
"""Days ahead at most: an expected close beyond them is treated as if it were so far away."""
CALIBRATION_PRIOR = 20.0


@dataclass(frozen=True)
class Ahead:
    """Visits, each with a number of days ahead: put in order of these days once, then asked for every draw.

    Those that stand alike are asked for together.

    cell, today, age   where each kind of visits stands at the beginning of a day: `today` is the day of the week
    upto               per number of days, how many kinds have no more than that; kinds are in the order of days
    kind               per visit, its kind
    """

    cell: Ints
    today: Ints
    age: Ints
    upto: Ints
    kind: Ints

    @classmethod
    def of(cls, cell: Ints, weekday: Ints, age: Ints, days: Ints) -> "Ahead":
        """Put visits in order; more than FARTHEST days count as FARTHEST."""
        days, today = np.minimum(days, FARTHEST), (weekday + age) % 7
        cells, ages = int(cell.max(initial=0)) + 1, int(age.max(initial=0)) + 1
        kinds, kind = np.unique(((days * 7 + today) * cells + cell) * ages + age, return_inverse=True)
        days, rest = np.divmod(kinds, 7 * cells * ages)
        today, rest = np.divmod(rest, cells * ages)
        upto = np.searchsorted(days, np.arange(int(days.max(initial=0)) + 1), side="right")
        return cls(rest // ages, today, rest % ages, upto, kind)


def within(hazards: Hazards, ahead: Ahead) -> Floats:
    """Per visit the chance to be won before so many further local days are over, from the beginning of a day.

    One step a day, for all cells, days of the week and ages at once. Moving on takes no time of its own: the
    next visit begins on the same day.
    """
    on_day = _by_day_of_week(hazards)
    cells, ages = on_day.shape[1], on_day.shape[3]
    won, staying = on_day[:, :, cells], 1.0 - on_day.sum(axis=2)
    # On the day of entry a deal may go through several stages: entering solves a small system per weekday.
    through = np.linalg.inv(np.eye(cells) - 0.999999 * on_day[:, :, :cells, 0])
    # From a cell few others are ever reached: as many columns as the cell that reaches most.
    reached = on_day[:, :, :cells].any(axis=(0, 3))
    onto = np.argsort(~reached, axis=1, kind="stable")[:, : int(reached.sum(axis=1).max())]
    moves = on_day[:, np.arange(cells)[:, None], onto]
    place = (ahead.today * cells + ahead.cell) * ages + np.minimum(ahead.age, ages - 1)
    result = np.zeros(len(place))
    chance = np.zeros((7, cells, ages))
    for days in range(1, len(ahead.upto)):
        tomorrow = np.concatenate([chance[1:], chance[:1]])
        later = np.concatenate([tomorrow[:, :, 1:], tomorrow[:, :, -1:]], axis=2)
        today = won + staying * later
        entry = (through @ today[:, :, :1])[:, onto, 0]
        chance = today + (entry[:, :, None] @ moves)[:, :, 0]
        due = slice(ahead.upto[days - 1], ahead.upto[days])
        result[due] = chance.ravel()[place[due]]
    inside: Floats = np.clip(result, 0.0, 1.0)[ahead.kind]
    return inside


def _by_day_of_week(hazards: Hazards) -> Floats:
    """[day of the week, cell, cause, day of age]: hazards by the day that they are of, the tail's on every day
    from its beginning, of which the last age stands for all that follow."""
    cells, causes, _, known = hazards.daily.shape
    length = hazards.length[np.arange(cells) % (cells // 2)]
    ages = np.arange(int(length.max(initial=0)) + 1)
    entry = (np.arange(7)[:, None] - ages) % 7
    daily = hazards.daily[:, :, entry, np.minimum(ages, known - 1)].transpose(2, 0, 1, 3)
    tail = hazards.tail[np.arange(cells) % (cells // 2)].reshape(cells, causes, 1)
    return np.where((ages >= length[:, None])[None, :, None, :], tail, daily)


@dataclass(frozen=True)
class Calibration:
    """Per stage, what an expected date adds to the log odds: deals are dated by people who know them."""

    shift: Floats

    def apply(self, chance: Floats, stage: Ints) -> Floats:
        """The chances with their odds shifted."""
        inside = np.clip(chance, 1e-4, 1.0 - 1e-4)
        return 1.0 / (1.0 + np.exp(-(np.log(inside / (1.0 - inside)) + self.shift[stage])))


@dataclass(frozen=True)
class Lessons:
    """Rows to calibrate on: of each its stage, deal and label, and what share of its deals' weight it carries."""

    stage: Ints
    deal: Ints
    label: Ints
    share: Floats

    @classmethod
    def of(cls, rows: Landmarks, label: Ints) -> "Lessons":
        """All rows of a stage count alike, for a deal that stays long is met more often; together they weigh what
        their deals do."""
        share = np.zeros(len(rows))
        for stage in np.unique(rows.stage):
            here = rows.stage == stage
            share[here] = len(np.unique(rows.deal[here])) / here.sum()
        return cls(rows.stage, rows.deal, label, share)


def calibrate(lessons: Lessons, chance: Floats, votes: Floats, stages: int) -> Calibration:
    """The shift per stage under which resolved rows were won as often as expected.

    CALIBRATION_PRIOR deals without any shift stand behind each stage. Newton's method; the sum is monotone.
    """
    shift, pull = np.zeros(stages), CALIBRATION_PRIOR / 4.0
    inside = np.clip(chance, 1e-4, 1.0 - 1e-4)
    all_odds, all_weight = np.log(inside / (1.0 - inside)), votes[lessons.deal] * lessons.share
    for stage in np.unique(lessons.stage):
        here = lessons.stage == stage
        odds, weight = all_odds[here], all_weight[here]
        # Sums rather than scalar products: BLAS would start threads for these, which costs more than it brings.
        wins = float((weight * lessons.label[here]).sum())
        for _ in range(25):
            now = 1.0 / (1.0 + np.exp(-(odds + shift[stage])))
            expected = weight * now
            slope = float((expected * (1.0 - now)).sum())
            step = (wins - float(expected.sum()) - pull * shift[stage]) / (slope + pull)
            shift[stage] += np.clip(step, -1.0, 1.0)
            if abs(step) < 1e-9:
                break
    return Calibration(shift)
