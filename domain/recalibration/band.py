"""How sure a forecast of the open pipeline is: P10, P50 and P90 of what it will bring in.

Deals are not independent: those of one week share a market, those of one team a manager, and all of them the
error of the rates. The log odds of every deal therefore move by a shared amount, common to all, and by one of
its team's; how much they move is estimated from the errors of past weekly forecasts, beyond what independent
deals would give.
"""

from dataclasses import dataclass
from random import Random

import numpy as np

from domain.recalibration.columns import Floats, Ints, add_up, distinct_pairs
from domain.recalibration.resampling import uniforms

PRIOR_SPREAD = 0.10
"""Standard deviation of the common movement of log odds that is assumed before any forecast was tested."""
PRIOR_WEEKS = 4.0
"""Tested weeks that the assumption is worth."""

LARGEST = 300
"""Deals drawn one by one, by amount."""


@dataclass(frozen=True)
class Errors:
    """Errors of past forecasts, per week and team.

    week, team   which
    error        actual - forecast, minor units
    leverage     sum of amount x p x (1 - p): what a movement of the log odds by 1 adds to the forecast
    chance       sum of amount^2 x p x (1 - p): variance of independent deals
    weight       what the forecast knew, as a share of what is known now
    """

    week: Ints
    team: Ints
    error: Floats
    leverage: Floats
    chance: Floats
    weight: Floats


@dataclass(frozen=True)
class Spread:
    """Variances of the shared movements of the log odds: of all deals, and of the deals of one team."""

    common: float
    team: float


@dataclass(frozen=True)
class Band:
    """Percentiles of the value brought in, minor units: a fan of 80 % between p10 and p90."""

    p10: int
    p50: int
    p90: int

    def holds(self, actual: float) -> bool:
        """Whether the value lies in the band, ends included."""
        return self.p10 <= actual <= self.p90


def errors_by_team(
    week: Ints, team: Ints, amount: Ints, chance: Floats, outcome: Floats, weight: Floats | None = None
) -> Errors:
    """Errors per week and team of forecasts per deal; an outcome between 0 and 1 is an expectation.

    weight   per row, as in Errors; without it all weeks count alike
    """
    weeks, teams, cell = distinct_pairs(week, team)
    size = len(weeks)
    variance = chance * (1.0 - chance)
    decided = (outcome == 0.0) | (outcome == 1.0)
    known = np.ones(len(week)) if weight is None else weight
    return Errors(
        week=weeks,
        team=teams,
        error=add_up(cell, amount * (outcome - chance), size),
        leverage=add_up(cell, amount * variance, size),
        chance=add_up(cell, amount.astype(np.float64) ** 2 * variance * decided, size),
        weight=add_up(cell, known, size) / np.maximum(add_up(cell, np.ones(len(week)), size), 1.0),
    )


def estimate_spread(errors: Errors) -> Spread:
    """Method of moments, leaning on PRIOR_SPREAD; what teams share within a week is common.

    Products of different teams' errors hold the common movement alone; squares hold both and chance. Rates that
    were fitted on a quarter of what is known now were surer to be off: their errors count a quarter.
    """
    _, first, index = np.unique(errors.week, return_index=True, return_inverse=True)
    if not (errors.leverage > 0).any():
        return Spread(PRIOR_SPREAD**2, 0.0)
    weight = errors.weight[first]
    total_error = np.bincount(index, errors.error)
    total_leverage = np.bincount(index, errors.leverage)
    total_chance = np.bincount(index, errors.chance)
    assumed = PRIOR_WEEKS * float((total_leverage**2).mean())
    whole = float((weight * (total_error**2 - total_chance)).sum()) + assumed * PRIOR_SPREAD**2
    scale = float((weight * total_leverage**2).sum()) + assumed
    both = max(whole / scale, 0.0)
    own_scale = float((errors.weight * errors.leverage**2).sum())
    crossed_scale = float((weight * total_leverage**2).sum()) - own_scale
    if crossed_scale <= 1e-9 * max(own_scale, 1.0):
        return Spread(both, 0.0)
    own = (
        float((errors.weight * (errors.error**2 - errors.chance)).sum()) / own_scale if own_scale > 0 else 0.0
    )
    crossed = float((weight * total_error**2).sum() - (errors.weight * errors.error**2).sum())
    common = max((crossed + assumed * PRIOR_SPREAD**2) / (crossed_scale + assumed), 0.0)
    return Spread(common, max(own - common, 0.0))


def band(amount: Ints, chance: Floats, team: Ints, spread: Spread, rng: Random, draws: int = 1000) -> Band:
    """P10, P50 and P90 by drawing whole futures: first the shared movements, then the deals.

    The LARGEST deals are won or not, one by one: a giant decides where the band lies. The many others, taken
    together by team and like odds, are drawn as the normal sum that they come to.
    """
    from scipy.special import ndtri  # a quarter of a second that no other verb of the program should wait for

    inside = np.clip(chance, 1e-9, 1.0 - 1e-9)
    odds = np.log(inside / (1.0 - inside))
    teams, member = np.unique(team, return_inverse=True)
    large = np.zeros(len(amount), dtype=np.bool_)
    large[np.argsort(-amount, kind="stable")[:LARGEST]] = True
    crowd, twentieths, like = distinct_pairs(member[~large], np.rint(odds * 20).astype(np.int64)[~large])
    crowd_odds = twentieths / 20
    value = add_up(like, amount[~large], len(crowd))
    square = add_up(like, amount[~large].astype(np.float64) ** 2, len(crowd))

    moves = ndtri(uniforms(rng, draws * (2 + len(teams)))).reshape(draws, 2 + len(teams))
    shift = moves[:, :1] * spread.common**0.5 + moves[:, 2:] * spread.team**0.5
    many = 1.0 / (1.0 + np.exp(-(crowd_odds + shift[:, crowd])))
    noise = ((many * (1.0 - many)) @ square) ** 0.5
    few = 1.0 / (1.0 + np.exp(-(odds[large] + shift[:, member[large]])))
    won = (uniforms(rng, few.size).reshape(few.shape) < few) @ amount[large].astype(np.float64)
    totals = won + np.maximum(many @ value + moves[:, 1] * noise, 0.0)
    p10, p50, p90 = np.percentile(totals, [10, 50, 90])
    return Band(round(float(p10)), round(float(p50)), round(float(p90)))
