"""The scores of one candidate in the walk-forward test, and how it did against the rates in force."""

from dataclasses import dataclass
from random import Random

import numpy as np

from domain.recalibration.columns import Floats, add_up, distinct_pairs
from domain.recalibration.resampling import bootstrap_weights, interval
from domain.recalibration.scores import Bin, bias, brier, calibration, log_loss, wape
from domain.recalibration.walk_forward import Walk, coverage


@dataclass(frozen=True)
class WeeksLeft:
    """The error over the parts of weekly forecasts that had so many whole weeks left: of a dated funnel to the end of
    the month, of an undated one to the close of each deal, of those that are closed.

    No forecast knows when an undated deal will close, and the quick are won more often than the slow: part of this
    error is of that, whatever the rates.

    wape, bias   null where the actual is 0
    actual       the share of the actual that came with so many weeks left
    """

    weeks: int
    wape: float | None
    bias: float | None
    actual: float


@dataclass(frozen=True)
class Scorecard:
    """Scores over all weekly forecasts of the test; shares of 1.

    forecasts          weekly forecasts scored
    improvement        WAPE of the rates compared with, less that of this candidate, over the weekly forecasts that
                       both made
    improvement_low, improvement_high   its 90 % interval by bootstrap over deals
    covered            share of actuals within the 80 % band
    by_weeks_left      the error by weeks before close
    compared           weekly forecasts that the improvement rests on
    log_loss_gain      log loss of the rates compared with, less that of this candidate, over the same forecasts
    expected           share of the actual that is the expectation of deals still open
    """

    forecasts: int
    wape: float | None
    bias: float | None
    brier: float
    log_loss: float
    calibration: tuple[Bin, ...]
    covered: float | None
    improvement: float | None
    improvement_low: float | None
    improvement_high: float | None
    by_weeks_left: tuple[WeeksLeft, ...]
    compared: int = 0
    log_loss_gain: float | None = None
    expected: float | None = None


def score(walk: Walk, against: str, rng: Random, replicates: int) -> dict[str, Scorecard]:
    """Score every candidate, and every estimator deal by deal, that could forecast every row of the test; `against`
    names the one compared with.

    That one is scored, and the others are compared with it, on the rows that it could forecast.
    """
    able = [name for name, chance in walk.chance.items() if len(chance) and not np.isnan(chance).any()]
    both = walk.where(~np.isnan(walk.chance[against])) if against in walk.chance else walk
    compared = len(np.unique(both.unit)) if against in walk.chance else 0
    if compared and against not in able:
        able.append(against)
    draws = _improvements(both, able, against, rng, replicates) if compared else {}
    cards = {}
    for name in able:
        seen = both if name == against else walk
        forecast, actual = seen.value(name)
        error = wape(forecast, actual)
        tested, held = coverage(seen, name, rng)
        gain = low = high = sharper = None
        if name in draws and name != against:
            base, here = wape(*both.value(against)), wape(*both.value(name))
            gain = None if base is None or here is None else base - here
            bounds = interval(draws[name])
            low, high = float(bounds[0]), float(bounds[1])
            sharper = log_loss(both.chance[against], both.outcome) - log_loss(both.chance[name], both.outcome)
        cards[name] = Scorecard(
            forecasts=len(forecast),
            wape=error,
            bias=bias(forecast, actual),
            brier=brier(seen.chance[name], seen.outcome),
            log_loss=log_loss(seen.chance[name], seen.outcome),
            calibration=calibration(seen.chance[name], seen.outcome),
            covered=held / tested if tested else None,
            improvement=gain,
            improvement_low=low,
            improvement_high=high,
            by_weeks_left=_by_weeks_left(seen, name),
            compared=compared,
            log_loss_gain=sharper,
            expected=_expected(seen),
        )
    return cards


def _by_weeks_left(walk: Walk, name: str) -> tuple[WeeksLeft, ...]:
    known = walk.weeks_left >= 0
    left, unit = walk.weeks_left[known], walk.unit[known]
    _, weeks_left, part = distinct_pairs(unit, left)
    amount = walk.rows.amount[known]
    forecast = add_up(part, amount * walk.chance[name][known], len(weeks_left))
    actual = add_up(part, amount * walk.outcome[known], len(weeks_left))
    whole = float(actual.sum())
    found = []
    for weeks in np.unique(left).tolist():
        here = weeks_left == weeks
        came = float(actual[here].sum())
        found.append(
            WeeksLeft(
                weeks,
                wape(forecast[here], actual[here]),
                bias(forecast[here], actual[here]),
                came / whole if whole > 0 else 0.0,
            )
        )
    return tuple(found)


def _expected(walk: Walk) -> float | None:
    open_still = (walk.outcome > 0) & (walk.outcome < 1)
    value = walk.rows.amount * walk.outcome
    return float(value[open_still].sum() / value.sum()) if value.sum() > 0 else None


def _improvements(
    walk: Walk, names: list[str], against: str, rng: Random, replicates: int
) -> dict[str, Floats]:
    from scipy.sparse import csr_array  # half a second that no other verb of the program should wait for

    size = (int(walk.unit.max()) + 1, int(walk.rows.deal.max()) + 1)

    def by_deal(share: Floats) -> csr_array:
        return csr_array((walk.rows.amount * share, (walk.unit, walk.rows.deal)), shape=size)

    forecasts, actual = {name: by_deal(walk.chance[name]) for name in names}, by_deal(walk.outcome)
    draws: dict[str, list[float]] = {name: [] for name in names}
    for weight in bootstrap_weights(rng, size[1], replicates):
        came = actual @ weight
        errors = {name: wape(forecast @ weight, came) for name, forecast in forecasts.items()}
        base = errors[against]
        for name, error in errors.items():
            draws[name].append(np.nan if base is None or error is None else base - error)
    return {name: np.array(column) for name, column in draws.items()}
