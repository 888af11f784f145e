"""`survivor/2` finds the truth of simulated funnels, where the textbook does not."""

import numpy as np
import pytest

from domain.recalibration.histories import WON
from domain.recalibration.labels import Target
from domain.recalibration.landmarks import landmarks, snapshot
from domain.recalibration.sample import Sample
from domain.recalibration.survivor import FittedSurvivor, Survivor
from tests.domain.recalibration.builders import START, Version, World, histories_of, sample_of


def fit(sample: Sample) -> FittedSurvivor:
    fitted = Survivor().fit(sample)
    assert fitted is not None
    return fitted


def test_without_memory_the_chance_of_a_stage_is_that_of_absorption() -> None:
    world = World()
    fitted = fit(sample_of(histories_of(world.simulate(6000, 300, 1)), 300))
    rows = snapshot(fitted.sample.histories, fitted.sample.cutoff)
    chance = fitted.probability(rows)
    for stage, truth in enumerate(world.win_chance()):
        assert chance[rows.stage == stage].mean() == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(season=0.9),
        World(reopen=0.3),
        World(expiry=25),
        World(drift=-0.3),
    ],
    ids=["plain", "quiet week ends", "reopenings", "expiry", "drift"],
)
def test_forecasts_of_the_open_pipeline_come_true(world: World) -> None:
    deals = world.simulate(4000, 200, 11)
    histories, errors = histories_of(deals), []
    for day in (110, 131, 152, 173):
        sample = sample_of(histories, day)
        rows = snapshot(histories, sample.cutoff)
        state, _ = histories.final(START + 5000 * 86_400_000_000)
        came = rows.amount[state[rows.deal] == WON].sum()
        errors.append((rows.amount * fit(sample).probability(rows)).sum() / came - 1)
    assert abs(np.mean(errors)) < 0.08


def test_a_deal_about_to_expire_is_worth_less_than_a_fresh_one() -> None:
    fitted = fit(sample_of(histories_of(World(expiry=25).simulate(3000, 200, 2)), 200))
    rows = landmarks(fitted.sample.histories, fitted.sample.cutoff, fitted.sample.weeks)
    chance, age = fitted.probability(rows), rows.age / 86_400_000_000
    old, fresh = ((rows.stage == 1) & (age > 22), (rows.stage == 1) & (age < 3))
    assert chance[old].mean() < 0.5 * chance[fresh].mean()


def test_a_young_history_does_not_trust_the_ages_it_has_not_seen() -> None:
    histories = histories_of(World(expiry=40).simulate(3000, 200, 2))
    young = fit(sample_of(histories, 25))
    mature = fit(sample_of(histories, 190))
    assert young.hazards.worth[1] < 0.9
    assert mature.hazards.worth[1] > 0.95


def test_a_stage_never_seen_is_worth_the_share_won_of_all_deals() -> None:
    deals = {n: [Version(n, 0), Version(n + 5, WON if n % 4 else -2)] for n in range(80)}
    deals[500] = [Version(85, 2)]
    fitted = fit(sample_of(histories_of(deals), 86))
    rows = snapshot(fitted.sample.histories, fitted.sample.cutoff)
    assert fitted.probability(rows.where(rows.stage == 2)).tolist() == pytest.approx([0.75], abs=0.02)


def test_rates_are_the_mean_chance_of_the_pipelines_of_the_last_weeks() -> None:
    fitted = fit(sample_of(histories_of(World().simulate(800, 120, 3)), 120))
    rows = fitted.sample.recent
    stalled = (rows.stage == 1) & rows.stalled
    expected = fitted.probability(rows)[stalled].mean()
    assert fitted.rates.micros[1, 1] / 1e6 == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("target", Target)
def test_a_stage_and_age_that_no_recent_deal_is_in_has_a_rate_of_its_own(target: Target) -> None:
    month = 2024 * 12 + 1
    deals = {
        number: [v._replace(month=month) for v in versions]
        for number, versions in World(expiry=25).simulate(400, 30, 3).items()
    }
    fitted = fit(sample_of(histories_of(deals), 200, target))
    assert not len(fitted.sample.recent)
    rates = fitted.rates.micros
    assert (rates >= 0).all()
    assert rates[1, 0] != rates[1, 1]


def test_a_dated_funnel_asks_for_wins_within_the_month() -> None:
    dated = {
        number: [v._replace(month=2024 * 12 + min(int(versions[0].day + 45) // 30, 11)) for v in versions]
        for number, versions in World().simulate(8000, 240, 7).items()
    }
    histories = histories_of(dated)
    sample = sample_of(histories, 200, Target.IN_PERIOD)
    fitted = fit(sample)
    later = sample_of(histories, 330, Target.IN_PERIOD)
    rows = landmarks(histories, later.cutoff, later.weeks[12:34])
    chance = fitted.probability(rows)
    assert fitted.calibration is not None
    used = later.rows.at >= later.weeks[12]
    used &= later.rows.at <= later.weeks[33]
    label = later.label[used]
    assert (rows.deal == later.rows.deal[used]).all()
    assert chance[label >= 0].mean() == pytest.approx(label[label >= 0].mean(), rel=0.1)
    assert np.abs(fitted.calibration.shift).max() < 0.2


def test_a_deal_without_an_expected_month_has_no_chance_within_one() -> None:
    month = 2024 * 12 + 1
    deals = {n: [Version(n / 4, 0, month=month), Version(n / 4 + 35, WON, month=month)] for n in range(60)}
    histories = histories_of(deals | {900: [Version(50, 0)], 901: [Version(50, 0, month=9999 * 12)]})
    fitted = fit(sample_of(histories, 70, Target.IN_PERIOD))
    rows = snapshot(histories, START + 70 * 86_400_000_000)
    chance = dict(zip(histories.deal_id[rows.deal].tolist(), fitted.probability(rows).tolist(), strict=True))
    assert np.isnan(chance[900])
    assert chance[901] < 0.02
