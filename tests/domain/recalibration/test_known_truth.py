"""What a seeded simulator was told is found again: rates, their intervals, seasons, and the biases of managers."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest

from domain.recalibration.entry import Entry
from domain.recalibration.folds import Unit, folds
from domain.recalibration.histories import WON
from domain.recalibration.landmark import Landmark
from domain.recalibration.landmarks import snapshot
from domain.recalibration.rates import Rates
from domain.recalibration.recalibrate import recalibrate
from domain.recalibration.resampling import bootstrap_weights, interval
from domain.recalibration.sample import Sample
from domain.recalibration.survivor import Survivor
from tests.domain.recalibration.builders import START, World, histories_of, sample_of

WORLD = World()
BIAS = (0.3, -0.2, 0.05)


def with_teams(deals: int, days: int, seed: int) -> Sample:
    """Deals of three teams, each with a manager."""
    told = {
        number: [version._replace(team=number % 3) for version in versions]
        for number, versions in WORLD.simulate(deals, days, seed).items()
    }
    return sample_of(histories_of(told), days)


def test_every_kind_of_move_happens_in_the_simulator() -> None:
    moves = set()
    for versions in World(reopen=0.3).simulate(400, 60, 1).values():
        moves |= {(a.state, b.state) for a, b in pairwise(versions)}
    assert (0, 2) in moves  # a skip
    assert (2, 1) in moves  # a regression
    assert (-2, 0) in moves  # a deal opened again


def test_the_bias_of_each_manager_is_what_their_forecasts_add_to_the_true_rates() -> None:
    sample = with_teams(3000, 150, 5)
    for team, bias in enumerate(BIAS):
        own = sample.rows.where(sample.rows.team == team)
        fitted = WORLD.said(own, BIAS, 0.15, seed=team).fit(sample)
        assert fitted is not None
        said, truth = fitted.probability(own), np.array(WORLD.win_chance())[own.stage]
        assert (own.amount @ said) / (own.amount @ truth) - 1 == pytest.approx(bias, abs=0.02)


def test_who_follows_biased_managers_is_scored_worse_and_not_recommended() -> None:
    sample = with_teams(2500, 150, 5)
    managers = WORLD.said(sample.rows, (0.4, 0.4, 0.4), 0.15, seed=1)
    periods = folds(START, sample.cutoff, Unit.MONTH, sample.tz)
    found = recalibrate(sample, (Survivor(), Landmark(), managers), periods, Random(2), replicates=20)
    followed, ours = found.results["f1_match/1"].scores, found.results["survivor/2"].scores
    assert followed is not None
    assert ours is not None
    assert followed.bias == pytest.approx(ours.bias + 0.4, abs=0.1)
    assert followed.wape > ours.wape
    assert found.decision.recommended == "survivor/2"


def test_nine_intervals_in_ten_hold_the_true_rate() -> None:
    held = []
    for seed in range(25):
        sample = sample_of(histories_of(WORLD.simulate(300, 150, seed)), 300)
        draws = [
            Entry().fit(sample, weight).rates.micros[:, 0] / 1e6
            for weight in bootstrap_weights(Random(seed), sample.histories.deals, 100)
        ]
        low, high = interval(np.array(draws))
        held += ((low <= WORLD.win_chance()) & (WORLD.win_chance() <= high)).tolist()
    assert np.mean(held) == pytest.approx(0.9, abs=0.1)


def test_over_a_whole_season_the_forecasts_come_true() -> None:
    # Within a season they lag behind it: the rates of a history are those of its whole year.
    world = World(quarterly=0.4)
    histories = histories_of(world.simulate(6000, 300, 11))
    state, _ = histories.final(START + 5000 * 86_400_000_000)
    f2 = came = 0.0
    for day in range(190, 281, 13):
        sample = sample_of(histories, day)
        rows, fitted = snapshot(histories, sample.cutoff), Survivor().fit(sample)
        assert fitted is not None
        f2 += float((rows.amount * fitted.rates.of(rows)).sum()) / 1e6
        came += float(rows.amount[state[rows.deal] == WON].sum())
    assert f2 / came == pytest.approx(1, abs=0.06)


def test_rates_of_any_table_are_those_of_the_stage_and_age_of_each_deal() -> None:
    sample = with_teams(200, 60, 3)
    table = Rates.rounded(np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]))
    expected = [table.micros[s, int(o)] for s, o in zip(sample.rows.stage, sample.rows.stalled, strict=True)]
    assert table.of(sample.rows).tolist() == expected
