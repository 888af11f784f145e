"""What the length of a visit says about those that follow it: who moves on late is won less often.

A chain of visits forgets how long the last one took, and so promises too much for old ones. Per stage, the log
odds of winning after a move change with the logarithm of the days that the visit took (a logistic regression on
one slope, which a normal prior holds near 0); over all moves the mean stays what it was.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats
from domain.recalibration.visit_counts import VisitIndex

PRIOR_SLOPE = 0.25
"""Standard deviation of the slopes before any move was seen: a few moves show none."""
STEPS = 12
"""Newton steps at most; four are enough except where all moves ended alike."""


@dataclass(frozen=True)
class Memory:
    """shift   [stage, day of age]: what moving on at that age adds to the log odds of winning after it"""

    shift: Floats

    def at(self, value: Floats, stage: int, days: int | slice) -> Floats:
        """Chances after a move out of a stage at an age, the ages along the last axis; 0 and 1 stay."""
        odds = value * np.exp(self.shift[stage, days])
        return odds / (1.0 - value + odds)


def fit_memory(index: VisitIndex, votes: Floats, outcome: Floats) -> Memory:
    """Fit the slopes; `outcome` is per deal 1, 0, or the chance of one still open."""
    size = index.stages * index.ages
    deal = index.deal[index.moved]
    moves, wins = (
        np.bincount(index.moved_at, each[deal], minlength=size).reshape(index.stages, index.ages)
        for each in (votes, votes * outcome)
    )
    days = np.log1p(np.arange(index.ages))
    shift = np.zeros((index.stages, index.ages))
    for stage in np.flatnonzero(moves.sum(axis=1) > 0):
        shift[stage] = _shift(moves[stage], wins[stage], days)
    return Memory(shift)


def slope_of(moves: Floats, wins: Floats, days: Floats) -> float:
    """The slope of the log odds along `days`, with its prior."""
    total = moves.sum()
    from_mean = days - (moves * days).sum() / total
    fit = np.array([_log_odds(wins.sum() / total), 0.0])
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-(fit[0] + fit[1] * from_mean)))
        weight, left = moves * chance * (1.0 - chance), wins - moves * chance
        gradient = np.array([left.sum(), (left * from_mean).sum() - fit[1] / PRIOR_SLOPE**2])
        crossed = (weight * from_mean).sum()
        curvature = np.array(
            [
                [weight.sum() + 1e-9, crossed],
                [crossed, (weight * from_mean**2).sum() + PRIOR_SLOPE**-2],
            ]
        )
        fit += np.clip(np.linalg.solve(curvature, gradient), -2.0, 2.0)
    return float(fit[1])


def _shift(moves: Floats, wins: Floats, days: Floats) -> Floats:
    """The slope's line, moved so that the mean chance over all moves is the share that was won."""
    share = wins.sum() / moves.sum()
    line = slope_of(moves, wins, days) * (days - (moves * days).sum() / moves.sum())
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-(_log_odds(share) + line)))
        excess = (moves * (chance - np.clip(share, 1e-3, 1.0 - 1e-3))).sum()
        line = line - excess / max(float((moves * chance * (1.0 - chance)).sum()), 1e-9)
    inside: Floats = np.clip(line, -4.0, 4.0)
    return inside


def _log_odds(share: float) -> float:
    inside = min(max(share, 1e-3), 1.0 - 1e-3)
    return float(np.log(inside / (1.0 - inside)))
