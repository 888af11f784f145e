"""What a long visit says about those after it: found where it is so, absent where it is not."""

from random import Random

import numpy as np
import pytest
from scipy.optimize import minimize

from domain.recalibration.histories import LOST, WON
from domain.recalibration.landmarks import snapshot
from domain.recalibration.memory import PRIOR_SLOPE, Memory, fit_memory, slope_of
from domain.recalibration.sample import Sample
from domain.recalibration.survivor import Survivor
from tests.domain.recalibration.builders import START, Version, histories_of, sample_of


def slow_deals_win_less(deals: int, seed: int, worst: float) -> dict[int, list[Version]]:
    """Two stages; who leaves the first one within a week is won in 7 cases of 10, who leaves it later in `worst`."""
    rng, told = Random(seed), {}
    for number in range(deals):
        born, first = rng.random() * 200, rng.choice([rng.random() * 7, 7 + rng.random() * 30])
        won = rng.random() < (0.7 if first < 7 else worst)
        amount = rng.randint(50, 150)
        told[number] = [
            Version(born, 0, amount),
            Version(born + first, 1, amount),
            Version(born + first + 1 + rng.random() * 10, WON if won else LOST, amount),
        ]
    return told


def memory_of(sample: Sample) -> Memory:
    votes = np.ones(sample.histories.deals)
    return fit_memory(sample.visit_index, votes, sample.won.astype(float))


def test_the_slope_is_the_most_likely_one_under_its_prior() -> None:
    rng = np.random.default_rng(3)
    moves = rng.integers(0, 60, 40).astype(float)
    days = np.log1p(np.arange(40))
    wins = rng.binomial(moves.astype(int), 1 / (1 + np.exp(-(0.8 - 0.5 * days)))).astype(float)

    def unlikely(at: np.ndarray) -> float:
        odds = at[0] + at[1] * days
        return float((moves * np.log1p(np.exp(odds)) - wins * odds).sum() + at[1] ** 2 / (2 * PRIOR_SLOPE**2))

    best = minimize(unlikely, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8})
    assert slope_of(moves, wins, days) == pytest.approx(best.x[1], abs=1e-4)


def test_over_all_moves_the_mean_chance_stays_the_share_that_was_won() -> None:
    sample = sample_of(histories_of(slow_deals_win_less(1500, 1, 0.2)), 230)
    index, memory = sample.visit_index, memory_of(sample)
    moved = index.moved_at // index.ages == 0
    share = sample.won[index.deal[index.moved][moved]].mean()
    days = index.moved_at[moved] % index.ages
    chances = [float(memory.at(np.array([share]), 0, int(day))[0]) for day in days]
    assert np.mean(chances) == pytest.approx(share, abs=1e-3)
    assert chances[int(np.argmin(days))] > share > chances[int(np.argmax(days))]


def test_nothing_is_remembered_where_slow_deals_do_as_well_as_quick_ones() -> None:
    memory = memory_of(sample_of(histories_of(slow_deals_win_less(1500, 2, 0.7)), 230))
    assert np.abs(memory.shift[0, :30]).max() < 0.25


def test_with_its_memory_the_forecast_of_old_visits_comes_true() -> None:
    histories = histories_of(slow_deals_win_less(12_000, 4, 0.2))
    sample = sample_of(histories, 150)
    fitted = Survivor().fit(sample)
    assert fitted is not None
    rows = snapshot(histories, sample.cutoff)
    old = (rows.stage == 0) & (rows.age > 14 * 86_400_000_000)
    state, _ = histories.final(START + 5000 * 86_400_000_000)
    came = (state[rows.deal[old]] == WON).mean()
    assert old.sum() > 200
    assert fitted.probability(rows)[old].mean() == pytest.approx(came, abs=0.06)
