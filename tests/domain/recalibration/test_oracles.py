"""Each estimator and score against an independent implementation: statsmodels, scikit-learn, scipy."""

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import lstsq
from scipy.optimize import minimize
from scipy.stats import beta, betabinom, bootstrap, poisson_binom
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss
from statsmodels.duration.survfunc import CumIncidenceRight, SurvfuncRight
from statsmodels.genmod.families import Binomial, Poisson
from statsmodels.genmod.generalized_linear_model import GLM

from domain.dwell import KaplanMeier
from domain.recalibration.band import Spread, band
from domain.recalibration.censoring import LARGEST_WEIGHT, Weighted, censoring_weights
from domain.recalibration.chain import chain
from domain.recalibration.columns import ints
from domain.recalibration.competing import share_won
from domain.recalibration.entry import Entry
from domain.recalibration.hazards import WEEKDAY_PRIOR, _weekday_factors, fit_hazards
from domain.recalibration.histories import LOST, WON
from domain.recalibration.horizon import CALIBRATION_PRIOR, Lessons, calibrate
from domain.recalibration.landmark import Landmark
from domain.recalibration.matching import bounded
from domain.recalibration.memory import PRIOR_SLOPE, slope_of
from domain.recalibration.resampling import bootstrap_weights, interval
from domain.recalibration.sample import Sample
from domain.recalibration.scores import brier, calibration, log_loss
from domain.recalibration.shrinkage import estimated_m, isotonic, shrink
from domain.recalibration.visit_counts import VisitCounts
from tests.domain.recalibration.builders import Version, World, histories_of, sample_of
from workers.recalibration.dwell import percentiles

followed = st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=60)
"""How long something was followed, and whether it had ended by then."""


@pytest.fixture(scope="module")
def simulated() -> Sample:
    return sample_of(histories_of(World(reopen=0.2).simulate(400, 120, 5)), 100)


def incidence(wait: np.ndarray, status: np.ndarray) -> CumIncidenceRight:
    """The curves of statsmodels, whose standard errors divide by nothing where all have ended."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return CumIncidenceRight(wait, status)


@given(followed)
def test_kaplan_meier_is_that_of_statsmodels(visits: list[tuple[int, bool]]) -> None:
    days, ended = (np.array(column) for column in zip(*visits, strict=True))
    oracle = SurvfuncRight(days, ended.astype(int))
    ours = KaplanMeier([d for d, e in visits if e], [d for d, e in visits if not e])
    for day in range(1, 41):
        surviving = np.append(1.0, oracle.surv_prob)[np.searchsorted(oracle.surv_times, day, "right")]
        assert ours.survival(day) == pytest.approx(surviving)


@given(followed)
def test_the_percentiles_of_the_report_are_those_of_statsmodels(visits: list[tuple[int, bool]]) -> None:
    days, ended = (np.array(column) for column in zip(*visits, strict=True))
    oracle = SurvfuncRight(days, ended.astype(int))
    for percent, ours in zip(
        (25, 50, 75), percentiles(days.astype(float), ended.astype(int), (25, 50, 75)), strict=True
    ):
        reached = np.flatnonzero(oracle.surv_prob <= 1 - percent / 100 + 1e-12)
        assert ours == (oracle.surv_times[reached[0]] if len(reached) else None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0, 1, 2])), min_size=2, max_size=80))
def test_the_incidence_of_winning_is_aalen_and_johansens(rows: list[tuple[int, int]]) -> None:
    wait, status = (np.array(column) for column in zip(*rows, strict=True))
    if {1, 2} - set(status.tolist()):
        return  # statsmodels wants every cause to happen
    oracle = incidence(wait.astype(float), status)
    left, ended, won = (
        np.bincount(wait, flags, minlength=31) for flags in (np.ones(len(wait)), status > 0, status == 1)
    )
    won_in_all, lost_in_all = (curve[-1] for curve in oracle.cinc)
    assert share_won(left, ended, won) == pytest.approx(won_in_all / (won_in_all + lost_in_all))


def test_censoring_weights_are_one_over_the_survival_of_follow_up(simulated: Sample) -> None:
    weights = censoring_weights(simulated, np.ones(simulated.histories.deals))
    follow, wait = simulated.cutoff - simulated.rows.at, simulated.decided_at - simulated.rows.at
    for stage in range(3):
        here = (simulated.rows.stage == stage) & simulated.resolved
        curve = SurvfuncRight(
            follow[simulated.rows.stage == stage], np.ones((simulated.rows.stage == stage).sum())
        )
        just_before = np.searchsorted(curve.surv_times, wait[here], "left") - 1
        followed_as_long = np.where(just_before >= 0, curve.surv_prob[np.maximum(just_before, 0)], 1.0)
        assert weights[here] == pytest.approx(1 / followed_as_long)


def test_the_weighted_rate_is_the_intercept_of_a_weighted_regression(simulated: Sample) -> None:
    weights = np.minimum(censoring_weights(simulated, np.ones(simulated.histories.deals)), LARGEST_WEIGHT)
    rates = Weighted().fit(simulated).rates.micros[:, 0]
    used = simulated.resolved
    stages = np.eye(3)[simulated.rows.stage[used]]
    fit = GLM(simulated.label[used] == 1, stages, family=Binomial(), var_weights=weights[used]).fit()
    assert rates / 1e6 == pytest.approx(1 / (1 + np.exp(-fit.params)), abs=1e-6)


def test_landmark_rates_are_those_of_a_saturated_logistic_regression() -> None:
    sample = sample_of(histories_of(World().simulate(1500, 200, 5), stall_days=5), 180)
    used = sample.resolved
    cell = sample.rows.stage[used] * 2 + sample.rows.stalled[used]
    fit = GLM(sample.label[used] == 1, np.eye(6)[cell], family=Binomial()).fit()
    ours = Landmark(by_age=True).fit(sample).rates.micros.ravel() / 1e6
    assert ours == pytest.approx(1 / (1 + np.exp(-fit.params)), abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50)), min_size=1, max_size=12))
def test_isotonic_rates_are_those_of_scikit_learn(pairs: list[tuple[float, int]]) -> None:
    rates, weight = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    oracle = IsotonicRegression().fit_transform(np.arange(len(rates)), rates, sample_weight=weight)
    assert isotonic(rates, weight) == pytest.approx(oracle, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance = rng.random(200)
    outcome = (rng.random(200) < chance).astype(float)
    assert log_loss(chance, outcome) == pytest.approx(sklearn_log_loss(outcome, chance))
    assert brier(chance, outcome) == pytest.approx(brier_score_loss(outcome, chance))
    won, forecast = calibration_curve(outcome, chance, n_bins=10, strategy="quantile")
    bins = calibration(chance, outcome)
    assert [one.actual for one in bins] == pytest.approx(won)
    assert [one.forecast for one in bins] == pytest.approx(forecast)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_bounded_least_squares_are_the_best_of_all_ways_to_put_rates_at_their_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    open_value, brought_in = rng.uniform(0, 1, (10, 3)), rng.uniform(0, 2, 10)
    anchor = np.sqrt(1e-4 * (open_value**2).sum(axis=0))
    overall = min(brought_in.sum() / open_value.sum(), 1.0)
    design = np.vstack([open_value, np.diag(anchor)])
    target = np.concatenate([brought_in, anchor * overall])

    best, found = np.inf, np.zeros(3)
    for bounds in product((0.0, 1.0, np.nan), repeat=3):
        rates = np.array(bounds)
        free = np.isnan(rates)
        rates[free] = lstsq(design[:, free], target - design[:, ~free] @ rates[~free])[0] if free.any() else 0
        off = float(((design @ rates - target) ** 2).sum())
        if off < best and (rates >= 0).all() and (rates <= 1).all():
            best, found = off, rates
    assert bounded(open_value, brought_in) == pytest.approx(found, abs=1e-5)


def test_a_shrunk_rate_is_the_mean_of_the_conjugate_posterior() -> None:
    for deals, wins in ((1, 1), (7, 0), (19, 12)):
        posterior = beta(20 * 0.3 + wins, 20 * 0.7 + deals - wins).mean()
        ours = shrink(np.array([wins / deals]), np.array([float(deals)]), 0.3)
        assert ours == pytest.approx([posterior])


def test_the_estimated_borrowing_is_near_the_most_likely_one() -> None:
    rng = np.random.default_rng(12)
    deals = rng.integers(20, 80, 300)
    wins = rng.binomial(deals, rng.beta(4.5, 10.5, 300))

    def unlikely(at: np.ndarray) -> float:
        share, m = 1 / (1 + np.exp(-at[0])), np.exp(at[1])
        return -float(betabinom.logpmf(wins, deals, share * m, (1 - share) * m).sum())

    most_likely = float(np.exp(minimize(unlikely, np.array([0.0, 2.0]), method="Nelder-Mead").x[1]))
    assert estimated_m(wins.astype(float), deals.astype(float)) == pytest.approx(most_likely, rel=0.25)


def test_the_slope_after_a_move_is_that_of_a_ridge_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    moves, days = rng.integers(1, 60, 40), np.log1p(np.arange(40))
    wins = rng.binomial(moves, 1 / (1 + np.exp(-(0.8 - 0.5 * days))))
    oracle = LogisticRegression(C=PRIOR_SLOPE**2, solver="newton-cholesky", tol=1e-10)
    oracle.fit(
        np.tile(days, 2)[:, None],
        np.repeat([1, 0], 40),
        sample_weight=np.concatenate([wins, moves - wins]),
    )
    assert slope_of(moves.astype(float), wins.astype(float), days) == pytest.approx(
        float(oracle.coef_[0, 0]), abs=1e-5
    )


def test_what_an_expected_date_adds_is_a_ridge_intercept_beside_an_offset() -> None:
    rng = np.random.default_rng(4)
    chance, label = rng.uniform(0.05, 0.9, 300), rng.integers(0, 2, 300)
    lessons = Lessons(ints([0] * 300), ints(range(300)), ints(label), rng.uniform(0.2, 1.0, 300))
    ours = calibrate(lessons, chance, np.ones(300), 1).shift[0]
    fit = GLM(
        label,
        np.ones((300, 1)),
        family=Binomial(),
        offset=np.log(chance / (1 - chance)),
        freq_weights=lessons.share,
    )
    # statsmodels takes its penalty per observation.
    oracle = fit.fit_regularized(alpha=CALIBRATION_PRIOR / 4 / fit.nobs, L1_wt=0.0)
    assert ours == pytest.approx(oracle.params[0], abs=1e-5)


def test_the_days_of_the_week_are_those_of_a_poisson_regression() -> None:
    rng = np.random.default_rng(6)
    ages, truth = 12, np.array([1.3, 1.2, 1.1, 1.0, 0.9, 0.3, 0.2])
    at_risk = np.sort(rng.integers(50, 900, (1, 7, ages)), axis=2)[:, :, ::-1].astype(float)
    weekday = (np.arange(7)[:, None] + np.arange(ages)) % 7
    exits = rng.poisson(at_risk * 0.05 * truth[weekday])[:, None].astype(float)
    ours = _weekday_factors(VisitCounts(exits, at_risk))[0, 0]

    day = weekday[:, 1:].ravel()
    age = np.tile(np.arange(ages - 1), 7)
    # Behind each day of the week stand so many exits that were expected on it: a row without an age.
    behind = np.hstack([np.eye(7), np.zeros((7, ages - 1))])
    rows = np.vstack([np.hstack([np.eye(7)[day], np.eye(ages - 1)[age]]), behind])
    fit = GLM(
        np.append(exits[0, 0, :, 1:].ravel(), np.full(7, WEEKDAY_PRIOR)),
        rows,
        family=Poisson(),
        exposure=np.append(at_risk[0, :, 1:].ravel(), np.full(7, WEEKDAY_PRIOR)),
    ).fit()
    # Eight rounds of alternation come so near to the end of them.
    assert ours == pytest.approx(np.exp(fit.params[:7]), rel=5e-3)


def test_how_visits_of_a_stage_end_is_aalen_and_johansens_incidence() -> None:
    # All of them begin on one weekday, so that days of age and of the week are one.
    rng = Random(8)
    deals, waits, status = {}, [], []
    for number in range(900):
        born, stay = 7 * rng.randrange(10) + 0.5, rng.choice([rng.randrange(1, 9), rng.randrange(5, 40)])
        won = rng.random() < (0.7 if stay < 9 else 0.2)
        deals[number] = [Version(born, 0), Version(born + stay, WON if won else LOST)]
        seen = min(stay, int(100 - born))
        waits.append(seen)
        status.append((1 if won else 2) if stay <= seen and born + stay < 100 else 0)
    sample = sample_of(histories_of(deals, stages=1), 100)
    hazards = fit_hazards(sample.visit_index.count(None))
    links = chain(hazards, 0.5, np.zeros(2))
    oracle = incidence(np.array(waits, dtype=float), np.array(status))
    length, entry = int(hazards.length[0]), 0
    for cause, curve in ((2, oracle.cinc[0]), (3, oracle.cinc[1])):
        ours = links.ending[0, cause, entry].cumsum()
        for day in range(1, min(length, 38)):
            theirs = curve[np.searchsorted(oracle.times, day, "right") - 1]
            assert ours[day] == pytest.approx(theirs, abs=1e-9), day


def test_intervals_are_about_those_of_a_bootstrap_that_draws_deals(simulated: Sample) -> None:
    draws = np.array(
        [
            Entry().fit(simulated, weight).rates.micros[:, 0] / 1e6
            for weight in bootstrap_weights(Random(2), simulated.histories.deals, 400)
        ]
    )
    low, high = interval(draws)
    outcome, _ = simulated.outcome
    deal, stage = simulated.entered
    for place in range(3):
        closed = deal[(stage == place) & np.isin(outcome[deal], (WON, LOST))]
        won = (outcome[closed] == WON).astype(float)
        oracle = bootstrap(
            (won,), np.mean, confidence_level=0.9, method="percentile", n_resamples=2000, rng=1
        ).confidence_interval
        assert low[place] == pytest.approx(oracle.low, abs=0.02)
        assert high[place] == pytest.approx(oracle.high, abs=0.02)


def test_the_band_of_independent_deals_is_that_of_the_poisson_binomial() -> None:
    chance = np.random.default_rng(9).uniform(0.05, 0.8, 600)
    fan = band(ints([1000] * 600), chance, ints([0] * 600), Spread(0.0, 0.0), Random(4), 4000)
    cumulated = poisson_binom.cdf(np.arange(601), chance)
    for ours, quantile in ((fan.p10, 0.1), (fan.p50, 0.5), (fan.p90, 0.9)):
        assert ours / 1000 == pytest.approx(int(np.searchsorted(cumulated, quantile)), abs=1.5)
