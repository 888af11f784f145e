"""Each estimator against an independent derivation, and at the edges."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, nnls
from scipy.stats import CensoredData, ecdf

from domain.recalibration.candidate import Candidate
from domain.recalibration.censoring import Weighted, censoring_weights
from domain.recalibration.columns import DAY
from domain.recalibration.competing import Competing, share_won
from domain.recalibration.entry import Entry
from domain.recalibration.histories import LOST, WON
from domain.recalibration.landmark import Landmark
from domain.recalibration.matching import ForecastMatch, OutcomeMatch, bounded
from domain.recalibration.rates import count
from domain.recalibration.recalibrate import STANDARD
from domain.recalibration.resampling import bootstrap_weights
from domain.recalibration.sample import Sample
from domain.recalibration.shrinkage import estimated_m, isotonic, shrink
from domain.recalibration.survivor import Survivor
from tests.domain.recalibration.builders import Version, World, histories_of, sample_of


@pytest.fixture(scope="module")
def simulated() -> Sample:
    return sample_of(histories_of(World(reopen=0.2).simulate(400, 120, 5)), 100)


def test_entry_is_won_of_closed_among_deals_that_ever_entered(simulated: Sample) -> None:
    rates = Entry().fit(simulated).rates.micros[:, 0]
    deals = World(reopen=0.2).simulate(400, 120, 5)
    for stage in range(3):
        seen = [[v.state for v in versions if v.day <= 100] for versions in deals.values()]
        closed = [states for states in seen if states and states[-1] < 0 and stage in states]
        won = sum(states[-1] == WON for states in closed)
        assert rates[stage] == round(1_000_000 * won / len(closed))


def test_landmark_rates_are_won_of_resolved_rows(simulated: Sample) -> None:
    rows, label = simulated.rows, simulated.label
    whole, split = Landmark().fit(simulated).rates.micros, Landmark(by_age=True).fit(simulated).rates.micros
    for stage in range(3):
        here = [
            (int(y), bool(s)) for y, s, k in zip(label, rows.stalled, rows.stage, strict=True) if k == stage
        ]
        known = [y for y, _ in here if y >= 0]
        assert whole[stage, 0] == round(1_000_000 * sum(known) / len(known))
        for age in (0, 1):
            aged = [y for y, s in here if y >= 0 and s == bool(age)]
            if len(aged) > 100:
                assert split[stage, age] == round(1_000_000 * sum(aged) / len(aged))


def test_incidence_equals_weighting_by_the_kaplan_meier_of_censoring() -> None:
    # Satten and Datta (2001): with 1 / G from the Kaplan-Meier curve of being hidden, both are the same.
    rng = np.random.default_rng(3)
    wait, hidden = rng.permutation(np.arange(200)), rng.random(200) < 0.35
    won = (rng.random(200) < 0.4) & ~hidden
    wait[199 - np.argmax(wait[::-1] == 199)], hidden[wait == 199] = 199, False
    curve = ecdf(CensoredData(uncensored=wait[hidden], right=wait[~hidden])).sf
    weight = np.where(hidden, 0.0, 1.0 / np.maximum(curve.evaluate(wait - 0.5), 1e-12))
    left, ended, wins = (np.bincount(wait, flags, minlength=200) for flags in (np.ones(200), ~hidden, won))
    assert share_won(left, ended.astype(float), wins.astype(float)) == pytest.approx(
        (weight * won).sum() / weight.sum()
    )


def test_incidence_without_censoring_is_a_plain_share() -> None:
    left = np.array([2.0, 3.0, 5.0])
    assert share_won(left, left, np.array([1.0, 0.0, 4.0])) == pytest.approx(0.5)


def test_censoring_weights_are_one_over_the_share_of_rows_followed_as_long(simulated: Sample) -> None:
    weights = censoring_weights(simulated, np.ones(simulated.histories.deals))
    rows, follow = simulated.rows, simulated.cutoff - simulated.rows.at
    for row in range(0, len(rows), 37):
        here = rows.stage == rows.stage[row]
        waited = simulated.decided_at[row] - rows.at[row]
        expected = 1 / (follow[here] >= waited).mean() if simulated.label[row] >= 0 else 0
        assert weights[row] == pytest.approx(expected)


def test_nothing_unresolved_makes_weighting_and_complete_cases_the_same() -> None:
    deals = {n: [Version(n % 20, 0), Version(n % 20 + 9, WON if n % 3 else LOST)] for n in range(60)}
    sample = sample_of(histories_of(deals), 400)
    assert (count(sample, by_age=False).unresolved == 0).all()
    rates = [c.fit(sample).rates.micros[0, 0] for c in (Landmark(), Competing())]
    assert rates[0] == rates[1]


def test_outcome_match_recovers_rates_that_explain_every_week() -> None:
    rng = np.random.default_rng(1)
    open_value, truth = rng.uniform(1e3, 1e6, (12, 3)), np.array([0.1, 0.35, 0.8])
    assert bounded(open_value, open_value @ truth) == pytest.approx(truth, abs=5e-3)
    assert bounded(open_value, open_value @ truth) == pytest.approx(
        nnls(open_value, open_value @ truth)[0], abs=5e-3
    )


def test_outcome_match_stays_within_bounds_and_knows_no_stage_it_never_saw() -> None:
    rates = bounded(np.array([[10.0, 0.0], [20.0, 0.0]]), np.array([50.0, 90.0]))
    assert rates[0] == pytest.approx(1.0)
    assert np.isnan(rates[1])


def test_f1_match_follows_the_managers_and_needs_forecasts(simulated: Sample) -> None:
    rows = simulated.rows
    fitted = ForecastMatch(rows, rows.amount * np.array([0.2, 0.4, 0.6])[rows.stage]).fit(simulated)
    assert fitted is not None
    assert fitted.rates.micros[:, 0] / 1e6 == pytest.approx([0.2, 0.4, 0.6], abs=0.02)
    assert ForecastMatch(rows.where(rows.at < 0), np.zeros(0)).fit(simulated) is None


def test_a_small_sample_borrows_from_its_parent_and_a_large_one_does_not() -> None:
    share, deals = np.array([1.0, 1.0, np.nan]), np.array([10.0, 20.0, 0.0])
    assert shrink(share, deals, 0.4).tolist() == pytest.approx([(10 + 20 * 0.4) / 30, 1.0, 0.4])


def test_the_estimated_borrowing_tells_samples_that_differ_from_those_that_do_not() -> None:
    rng = np.random.default_rng(8)
    deals = np.full(400, 50.0)
    alike = estimated_m(rng.binomial(50, 0.3, 400).astype(float), deals)
    differing = estimated_m(rng.binomial(50, rng.beta(6, 14, 400)).astype(float), deals)
    assert differing == pytest.approx(20, rel=0.35)
    assert alike > 200


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50)), min_size=1, max_size=12))
def test_isotonic_rates_rise_and_are_the_closest_that_do(pairs: list[tuple[float, int]]) -> None:
    rates, weight = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    assert isotonic(rates, weight) == pytest.approx(isotonic_regression(rates, weights=weight).x, abs=1e-9)


def test_isotonic_rates_pass_over_what_is_unknown() -> None:
    fixed = isotonic(np.array([0.5, np.nan, 0.3]), np.ones(3))
    assert fixed[[0, 2]].tolist() == pytest.approx([0.4, 0.4])
    assert np.isnan(fixed[1])


EDGES = {
    "one open deal": {1: [Version(0, 0)]},
    "one deal won": {1: [Version(0, 0), Version(9, WON)]},
    "all won": {n: [Version(n, 0), Version(n + 9, WON)] for n in range(40)},
    "all lost": {n: [Version(n, 1), Version(n + 9, LOST)] for n in range(40)},
    "closed at once": {n: [Version(n, 0), Version(n, WON)] for n in range(40)},
    "only going round": {n: [Version(d, d % 2) for d in range(30)] for n in range(30)},
    "one giant": {1: [Version(0, 0, 10**12), Version(20, WON, 10**12)]}
    | {n: [Version(n, 0, 1), Version(n + 9, LOST, 1)] for n in range(2, 40)},
    "no week has ended": {n: [Version(n / 20, 0), Version(n / 20 + 2, WON)] for n in range(80)},
}
CUT_OFF = {"no week has ended": 4}


@pytest.mark.parametrize("candidate", STANDARD, ids=lambda candidate: candidate.name)
@pytest.mark.parametrize("edge", EDGES)
def test_every_candidate_gives_rates_or_says_it_has_none(candidate: Candidate, edge: str) -> None:
    sample = sample_of(histories_of(EDGES[edge]), CUT_OFF.get(edge, 60))
    fitted = candidate.fit(sample)
    if fitted is None:
        return
    assert ((fitted.rates.micros >= -1) & (fitted.rates.micros <= 1_000_000)).all()
    chance = fitted.probability(sample.rows)
    assert (np.isnan(chance) | ((chance >= 0) & (chance <= 1))).all()
    if edge == "all won":
        assert np.nanmin(chance) > 0.99
    if edge == "all lost":
        assert np.nanmax(chance) < 0.01


@pytest.mark.parametrize("candidate", STANDARD, ids=lambda candidate: candidate.name)
def test_a_deal_counted_twice_is_the_same_as_two_deals(candidate: Candidate) -> None:
    deals = World().simulate(60, 60, 2)
    double = histories_of(deals | {number + 1000: versions for number, versions in deals.items()})
    once, twice = sample_of(histories_of(deals), 90), sample_of(double, 90)
    one, other = candidate.fit(once, np.full(60, 2.0)), candidate.fit(twice)
    assert one is not None
    assert other is not None
    assert np.abs(one.rates.micros - other.rates.micros).max() <= 1


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_rates_do_not_depend_on_the_order_of_import(random: Random) -> None:
    deals = World(reopen=0.2).simulate(60, 60, 9)
    shuffled = list(deals.items())
    random.shuffle(shuffled)
    for candidate in (Entry(), Landmark(by_age=True), Weighted(), Competing(), OutcomeMatch(), Survivor()):
        fits = [candidate.fit(sample_of(histories_of(d), 80)) for d in (deals, dict(shuffled))]
        assert fits[0] is not None
        assert fits[1] is not None
        assert (fits[0].rates.micros == fits[1].rates.micros).all()


@pytest.mark.parametrize("candidate", STANDARD, ids=lambda candidate: candidate.name)
def test_nothing_after_the_cut_off_is_seen(candidate: Candidate) -> None:
    histories = histories_of(World(reopen=0.2).simulate(150, 100, 4))
    whole = sample_of(histories, 70)
    ended = Sample(histories.until(whole.cutoff), whole.cutoff, whole.weeks, whole.target, whole.tz)
    one, other = candidate.fit(whole), candidate.fit(ended)
    assert one is not None
    assert other is not None
    assert (one.rates.micros == other.rates.micros).all()
    assert (one.probability(whole.rows) == other.probability(ended.rows)).all()


def test_bootstrap_weights_come_from_the_seed_and_count_every_deal_once_on_average() -> None:
    first, again = (np.array(list(bootstrap_weights(Random(3), 1000, 50))) for _ in range(2))
    assert (first == again).all()
    assert first.mean() == pytest.approx(1.0, abs=0.02)
    assert first.var() == pytest.approx(1.0, abs=0.05)


def test_counts_are_of_rows_and_of_deals(simulated: Sample) -> None:
    counts = count(simulated, by_age=True)
    assert counts.rows.sum() == len(simulated.rows)
    assert counts.unresolved.sum() == (simulated.label == -1).sum()
    here = (simulated.rows.stage == 1) & simulated.rows.stalled
    assert counts.deals[1, 1] == len(set(simulated.rows.deal[here]))
    assert counts.wins[1, 1] == len(set(simulated.rows.deal[here & (simulated.label == 1)]))
    assert DAY == 86_400_000_000
