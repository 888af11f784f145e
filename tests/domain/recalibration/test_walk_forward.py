"""The walk-forward test, its scores, the decision and the evidence."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

import numpy as np
import pytest

from domain.recalibration.band import Spread, band, errors_by_team, estimate_spread
from domain.recalibration.columns import DAY, ints
from domain.recalibration.decision import decide
from domain.recalibration.entry import Entry
from domain.recalibration.folds import Unit, folds
from domain.recalibration.forecast import forecast
from domain.recalibration.histories import WON
from domain.recalibration.labels import Target, month_bounds
from domain.recalibration.landmark import Landmark
from domain.recalibration.landmarks import Landmarks, microseconds, snapshot
from domain.recalibration.rate_table import Current
from domain.recalibration.rates import Rates
from domain.recalibration.recalibrate import STANDARD, Recalibration, recalibrate
from domain.recalibration.sample import Sample
from domain.recalibration.scorecard import Scorecard, score
from domain.recalibration.scores import bias, brier, calibration, log_loss, wape
from domain.recalibration.survivor import Survivor
from domain.recalibration.walk_forward import deal_by_deal, walk_forward
from tests.domain.recalibration.builders import START, Version, World, histories_of, sample_of


def instant(text: str) -> int:
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def run(deals: dict, days: int = 150, seed: int = 1) -> Recalibration:
    sample = sample_of(histories_of(deals), days)
    wrong = Current(Rates.rounded(np.array([[0.9], [0.9], [0.9]])))
    periods = folds(START, sample.cutoff, Unit.MONTH, UTC)
    return recalibrate(sample, (wrong, *STANDARD), periods, Random(seed), replicates=30)


@pytest.fixture(scope="module")
def recalibrated() -> Recalibration:
    return run(World(expiry=25).simulate(1500, 150, 21))


def test_folds_are_quarters_once_there_are_two_whole_ones() -> None:
    labels = [fold.label for fold in folds(instant("2023-02-10"), instant("2024-01-20"), None, UTC)]
    assert labels == ["FY2023-Q2", "FY2023-Q3", "FY2023-Q4", "FY2024-Q1"]


def test_folds_are_months_and_then_weeks_while_the_history_is_short() -> None:
    months = folds(instant("2023-02-10"), instant("2023-07-05"), None, UTC)
    assert [fold.label for fold in months] == ["2023-03", "2023-04", "2023-05", "2023-06", "2023-07"]
    weeks = folds(instant("2023-02-10"), instant("2023-03-05"), None, UTC)
    assert [fold.label for fold in weeks] == ["2023-W07", "2023-W08", "2023-W09"]


def test_a_fold_is_trained_up_to_the_moment_before_it_begins() -> None:
    fold = folds(instant("2023-02-10"), instant("2023-05-05"), Unit.MONTH, UTC)[0]
    assert fold.trained_until == instant("2023-03-01") - 1
    assert fold.until == instant("2023-04-01") - 1


def test_no_forecast_of_the_test_knows_what_came_after_its_fold_began() -> None:
    histories = histories_of(World().simulate(800, 120, 3))
    sample = sample_of(histories, 120)
    periods = folds(START, sample.cutoff, Unit.MONTH, UTC)
    walk = walk_forward(sample, (Landmark(),), periods)
    for index in np.unique(walk.fold):
        known = sample_of(histories, (periods[index].trained_until - START) / DAY)
        fitted = Landmark().fit(known)
        here = walk.fold == index
        assert (walk.chance["landmark/1"][here] == fitted.probability(walk.rows.where(here))).all()


def test_a_candidate_is_tested_by_the_rates_it_would_have_had_adopted_and_once_more_deal_by_deal() -> None:
    histories = histories_of(World(expiry=25).simulate(800, 120, 3))
    sample = sample_of(histories, 120)
    periods = folds(START, sample.cutoff, Unit.MONTH, UTC)
    walk = walk_forward(sample, (Survivor(), Landmark()), periods)
    assert set(walk.chance) == {"survivor/2", deal_by_deal("survivor/2"), "landmark/1"}
    for index in np.unique(walk.fold):
        fitted = Survivor().fit(sample_of(histories, (periods[index].trained_until - START) / DAY))
        assert fitted is not None
        here = walk.fold == index
        rows = walk.rows.where(here)
        assert (walk.chance["survivor/2"][here] == fitted.rates.of(rows) / 1e6).all()
        assert (walk.chance[deal_by_deal("survivor/2")][here] == fitted.probability(rows)).all()


@dataclass(frozen=True)
class Clairvoyant:
    """Knows of each deal whether it will be won, and puts nothing of it into its rates."""

    name: str = "clairvoyant/1"

    def fit(self, sample: Sample, weight: np.ndarray | None = None) -> "Clairvoyant":
        return self

    @property
    def rates(self) -> Rates:
        return Rates.rounded(np.full((3, 1), 0.99))

    def probability(self, rows: Landmarks) -> np.ndarray:
        return self.won[rows.deal]

    won: np.ndarray = field(default_factory=lambda: np.zeros(0))


def test_who_forecasts_well_deal_by_deal_is_not_recommended_for_rates_that_do_not() -> None:
    sample = sample_of(histories_of(World(expiry=25).simulate(1500, 150, 21)), 150)
    wrong = Current(Rates.rounded(np.array([[0.9], [0.9], [0.9]])))
    periods = folds(START, sample.cutoff, Unit.MONTH, UTC)
    knows = Clairvoyant(won=sample.won.astype(float))
    found = recalibrate(sample, (wrong, knows), periods, Random(1), replicates=30)
    result = found.results["clairvoyant/1"]
    assert result.scores is not None
    assert result.deal_by_deal is not None
    assert result.deal_by_deal.wape < 0.2 < result.scores.wape
    assert result.deal_by_deal.improvement_low > 0
    assert found.decision.recommended == "current"


def test_errors_by_weeks_before_close_are_of_the_deals_that_closed_so_much_later() -> None:
    sample = sample_of(histories_of(World().simulate(800, 120, 3)), 120)
    walk = walk_forward(sample, (Landmark(),), folds(START, sample.cutoff, Unit.MONTH, UTC))
    state, since = sample.histories.final(sample.cutoff)
    closes = np.where(state < 0, since, -1)[walk.rows.deal]
    assert (walk.weeks_left == np.where(closes < 0, -1, (closes - walk.rows.at) // (7 * DAY))).all()
    card = score(walk, "landmark/1", Random(1), 5)["landmark/1"]
    chance, value = walk.chance["landmark/1"], walk.rows.amount
    for left in card.by_weeks_left:
        here = walk.weeks_left == left.weeks
        came = (value * walk.outcome)[here].sum()
        assert left.actual == pytest.approx(came / (value * walk.outcome)[closes >= 0].sum())
        weekly = [
            abs((value * (chance - walk.outcome))[here & (walk.rows.at == at)].sum())
            for at in np.unique(walk.rows.at)
        ]
        assert left.wape == (pytest.approx(sum(weekly) / came) if came else None)
        assert left.bias == (
            pytest.approx((value * (chance - walk.outcome))[here].sum() / came) if came else None
        )


def test_scores_are_what_their_formulas_say() -> None:
    forecast_, actual = np.array([10.0, 30.0]), np.array([20.0, 20.0])
    assert wape(forecast_, actual) == pytest.approx(0.5)
    assert bias(forecast_, actual) == pytest.approx(0.0)
    assert wape(forecast_, np.zeros(2)) is None
    chance, outcome = np.array([0.8, 0.3]), np.array([1.0, 0.0])
    assert brier(chance, outcome) == pytest.approx((0.04 + 0.09) / 2)
    assert log_loss(chance, outcome) == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2)
    assert np.isfinite(log_loss(np.array([0.0]), np.array([1.0])))


def test_an_expected_outcome_stands_for_both_outcomes_in_its_proportion() -> None:
    both = brier(np.array([0.4] * 4), np.array([1.0, 0.0, 0.0, 0.0]))
    assert brier(np.array([0.4]), np.array([0.25])) == pytest.approx(both)


def test_calibration_has_ten_bins_of_equal_mass_in_order() -> None:
    rng = np.random.default_rng(2)
    chance = rng.random(1000)
    bins = calibration(chance, (rng.random(1000) < chance).astype(float))
    assert [one.rows for one in bins] == [100] * 10
    assert [one.forecast for one in bins] == sorted(one.forecast for one in bins)
    assert all(abs(one.actual - one.forecast) < 0.2 for one in bins)


def test_rates_that_are_far_off_are_replaced_by_the_best_candidate(recalibrated: Recalibration) -> None:
    chosen = recalibrated.results[recalibrated.decision.recommended].scores
    assert chosen is not None
    assert recalibrated.decision.recommended != "current"
    assert chosen.improvement_low is not None
    assert chosen.improvement_low > 0
    assert "90 % interval" in recalibrated.decision.reason
    current = recalibrated.results["current"].scores
    assert current is not None
    assert chosen.log_loss < current.log_loss


def test_intervals_hold_their_rates(recalibrated: Recalibration) -> None:
    for result in recalibrated.results.values():
        assert (result.low <= result.high).all()
        well_known = result.counts.deals > 100
        assert ((result.low <= result.rates.micros) & (result.rates.micros <= result.high))[
            well_known
        ].mean() > 0.7


CARD = Scorecard(8, 0.2, 0.1, 0.2, 0.5, (), 0.8, None, None, None, ())


def test_an_improvement_that_may_be_chance_replaces_nothing() -> None:
    rival = replace(CARD, wape=0.15, improvement=0.05, improvement_low=-0.01, improvement_high=0.11)
    verdict = decide({"current": CARD, "landmark/1": rival}, ["current", "landmark/1"])
    assert verdict.recommended == "current"
    assert "5.0 percentage points) may be chance" in verdict.reason


def test_a_worse_log_loss_replaces_nothing_and_managers_are_never_recommended() -> None:
    better = {"wape": 0.1, "improvement": 0.1, "improvement_low": 0.05, "improvement_high": 0.2}
    worse = replace(CARD, **better, log_loss_gain=-0.1)
    better["log_loss_gain"] = 0.0
    assert decide({"current": CARD, "entry/1": worse}, ["current"]).recommended == "current"
    assert (
        decide({"current": CARD, "f1_match/1": replace(CARD, **better)}, ["current"]).recommended == "current"
    )
    assert decide({"current": CARD, "entry/1": replace(CARD, **better)}, ["current"]).recommended == "entry/1"


def test_rates_are_not_compared_on_the_weeks_that_they_were_learnt_from() -> None:
    sample = sample_of(histories_of(World(expiry=25).simulate(1500, 150, 21)), 150)
    wrong = Current(Rates.rounded(np.array([[0.9], [0.9], [0.9]])))
    periods, candidates = folds(START, sample.cutoff, Unit.MONTH, UTC), (wrong, *STANDARD)
    whole = walk_forward(sample, candidates, periods)
    weeks = np.unique(whole.rows.at)

    def judged(learnt: int) -> Recalibration:
        return recalibrate(
            sample, candidates, periods, Random(1), replicates=10, learnt_until={"current": learnt}
        )

    late = judged(int(weeks[5])).results
    assert late["current"].scores is not None
    assert late["entry/1"].scores is not None
    assert late["current"].scores.forecasts == late["entry/1"].scores.compared == len(weeks) - 6
    assert late["entry/1"].scores.forecasts == len(weeks)
    after = whole.where(whole.rows.at > weeks[5])
    gain = wape(*after.value("current")) - wape(*after.value("entry/1"))
    assert late["entry/1"].scores.improvement == pytest.approx(gain)
    fresh = judged(int(weeks[-3]))
    assert fresh.decision.recommended == "current"
    assert "2 weekly forecasts later than what the rates in force were learnt from" in fresh.decision.reason
    adopted_now = judged(sample.cutoff)
    assert adopted_now.results["current"].scores is None
    assert adopted_now.decision.recommended == "current"
    assert "0 weekly forecasts later" in adopted_now.decision.reason


def test_before_any_week_has_ended_nothing_is_tested_and_the_rates_in_force_stay() -> None:
    found = run({n: [Version(n / 20, 0), Version(n / 20 + 2, WON)] for n in range(60)}, days=4)
    assert not len(found.walk.rows)
    assert found.decision.recommended == "current"


def test_scores_say_how_much_of_the_actual_is_expected_only(recalibrated: Recalibration) -> None:
    walk, scores = recalibrated.walk, recalibrated.results["entry/1"].scores
    assert scores is not None
    value = walk.rows.amount * walk.outcome
    expected = value[(walk.outcome != 0) & (walk.outcome != 1)].sum() / value.sum()
    assert scores.expected == pytest.approx(expected)
    assert 0 < expected < 0.5


def test_with_no_rates_in_force_and_little_evidence_the_default_is_taken() -> None:
    verdict = decide({"survivor/2": replace(CARD, forecasts=2), "entry/1": CARD}, ["survivor/2", "entry/1"])
    assert verdict.recommended == "survivor/2"
    assert "fewer than 4" in verdict.reason


def test_the_digest_is_of_the_history_and_not_of_its_order_or_of_chance(recalibrated: Recalibration) -> None:
    deals = World(expiry=25).simulate(1500, 150, 21)
    again = run(dict(reversed(deals.items())), seed=99)
    assert again.digest == recalibrated.digest
    fewer = run({number: versions for number, versions in deals.items() if number})
    assert fewer.digest != recalibrated.digest


def test_the_digest_is_of_what_was_asked_and_not_of_the_number_of_draws() -> None:
    deals = World().simulate(80, 60, 2)

    def digest(replicates: int, stall_days: int = 14, **asked: str | None) -> str:
        sample = sample_of(histories_of(deals, stall_days=stall_days), 90)
        return recalibrate(sample, (Entry(),), [], Random(1), replicates, asked=asked).digest

    assert digest(2, funnel="loan", period=None) == digest(3, funnel="loan", period=None)
    others = [{"funnel": "lease", "period": None}, {"funnel": "loan", "period": "week"}]
    kept = {digest(2, funnel="loan", period=None), digest(2, 15, funnel="loan", period=None)}
    assert len(kept | {digest(2, **asked) for asked in others}) == 4


def test_shared_movements_are_found_in_errors_of_past_weeks() -> None:
    rng = np.random.default_rng(4)
    weeks, teams, deals = 200, 4, 60
    week, team = (
        np.repeat(np.arange(weeks), teams * deals),
        np.tile(np.repeat(np.arange(teams), deals), weeks),
    )
    move = rng.normal(0, 0.3, weeks)[week] + rng.normal(0, 0.2, (weeks, teams))[week, team]
    chance = np.full(len(week), 0.4)
    odds = np.log(0.4 / 0.6) + move
    outcome = (rng.random(len(week)) < 1 / (1 + np.exp(-odds))).astype(float)
    spread = estimate_spread(errors_by_team(week, team, np.full(len(week), 100), chance, outcome))
    assert spread.common**0.5 == pytest.approx(0.3, abs=0.06)
    assert spread.team**0.5 == pytest.approx(0.2, abs=0.06)


def test_bands_of_deals_that_move_together_hold_four_fifths_of_the_outcomes() -> None:
    rng, held, naive = np.random.default_rng(5), 0, 0
    for _ in range(200):
        amount, team = ints(rng.integers(10, 500, 400)), ints(rng.integers(0, 3, 400))
        chance = rng.uniform(0.1, 0.7, 400)
        move = rng.normal(0, 0.3) + rng.normal(0, 0.2, 3)[team]
        won = rng.random(400) < 1 / (1 + np.exp(-(np.log(chance / (1 - chance)) + move)))
        actual = float(amount[won].sum())
        random = Random(int(rng.integers(10**6)))
        held += band(amount, chance, team, Spread(0.09, 0.04), random, 300).holds(actual)
        naive += band(amount, chance, team, Spread(0.0, 0.0), random, 300).holds(actual)
    assert held / 200 == pytest.approx(0.8, abs=0.07)
    assert naive / 200 < 0.5


def test_one_giant_deal_makes_a_band_from_with_to_without_it() -> None:
    fan = band(ints([10**9] + [1000] * 50), np.full(51, 0.5), ints([0] * 51), Spread(0.01, 0.0), Random(1))
    assert fan.p10 < 10**8
    assert fan.p90 > 10**9


def test_the_sum_of_a_forecast_is_exact_and_its_stages_add_up() -> None:
    sample = sample_of(histories_of(World().simulate(300, 100, 7)), 80)
    rows = snapshot(sample.histories, sample.cutoff)
    fitted = Survivor().fit(sample)
    assert fitted is not None
    chance = fitted.probability(rows)
    whole = forecast(rows, chance, 3)
    assert (
        whole.total
        == sum(whole.per_stage)
        == sum(int(a) * round(p * 10**6) for a, p in zip(rows.amount.tolist(), chance.tolist(), strict=True))
    )
    assert whole.unrated == 0


def test_of_a_dated_funnel_only_months_that_are_over_are_scored() -> None:
    deals = {
        number: [v._replace(month=2024 * 12 + min(int(versions[0].day + 45) // 30, 11)) for v in versions]
        for number, versions in World().simulate(1500, 200, 7).items()
    }
    sample = sample_of(histories_of(deals), 160, Target.IN_PERIOD)
    walk = walk_forward(sample, (Landmark(),), folds(START, sample.cutoff, Unit.MONTH, UTC))
    assert len(walk.rows) > 100
    _, ends = month_bounds(walk.rows.close_month, UTC)
    assert (ends <= sample.cutoff).all()
    going_on = month_bounds(sample.rows.close_month, UTC)[1] > sample.cutoff
    assert (sample.label[going_on] == 0).any()


def test_errors_of_rates_that_knew_little_say_little_about_those_of_now() -> None:
    rng = np.random.default_rng(4)
    week, team = np.repeat(np.arange(40), 50), np.zeros(2000, dtype=np.int64)
    move = np.where(np.arange(40) < 10, 1.0, 0.0)[week]
    chance = np.full(2000, 0.4)
    outcome = (rng.random(2000) < 1 / (1 + np.exp(-(np.log(0.4 / 0.6) + move)))).astype(float)
    amount = np.full(2000, 100)
    early_knew_little = np.where(np.arange(40) < 10, 0.05, 1.0)[week]
    alike, weighed = (
        estimate_spread(errors_by_team(week, team, amount, chance, outcome, weight)).common
        for weight in (None, early_knew_little)
    )
    assert weighed < alike / 3
