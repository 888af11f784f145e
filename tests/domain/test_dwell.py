import random
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.dwell import DwellSummary, KaplanMeier, nearest_rank, summarise

# Narrow durations make ties between visits, and between completed and open ones, common.
narrow = st.lists(st.integers(0, 12), max_size=25)
wide = st.lists(st.integers(0, 10**14), max_size=40)
durations = narrow | wide
some_durations = durations.filter(bool)


def survival_by_definition(completed: list[int], open_ages: list[int], t: int) -> Fraction:
    survival = Fraction(1)
    for time in sorted(set(completed)):
        if time <= t:
            at_risk = sum(d >= time for d in completed) + sum(a >= time for a in open_ages)
            survival *= 1 - Fraction(completed.count(time), at_risk)
    return survival


def first_time_at_most(share: Fraction, completed: list[int], open_ages: list[int]) -> int | None:
    times = (t for t in sorted(set(completed)) if survival_by_definition(completed, open_ages, t) <= share)
    return next(times, None)


@given(completed=durations, open_ages=durations)
@example(completed=[1, 3], open_ages=[2])
def test_kaplan_meier_quantiles_follow_the_definition_exactly(
    completed: list[int], open_ages: list[int]
) -> None:
    estimate = KaplanMeier(completed, open_ages)
    assert estimate.median == first_time_at_most(Fraction(1, 2), completed, open_ages)
    assert estimate.p75 == first_time_at_most(Fraction(1, 4), completed, open_ages)


@given(completed=durations, open_ages=durations, t=st.integers(0, 15) | st.integers(0, 10**14))
def test_survival_follows_the_definition_at_any_time(
    completed: list[int], open_ages: list[int], t: int
) -> None:
    estimate = KaplanMeier(completed, open_ages)
    expected = survival_by_definition(completed, open_ages, t)
    assert estimate.survival(t) == pytest.approx(float(expected), abs=1e-12)
    assert estimate.percentile_of(t) == pytest.approx(float(1 - expected), abs=1e-12)


@given(completed=durations, open_ages=durations)
def test_survival_never_rises_with_time(completed: list[int], open_ages: list[int]) -> None:
    estimate = KaplanMeier(completed, open_ages)
    curve = [estimate.survival(t) for t in sorted({0, *completed, *open_ages, 10**15})]
    assert curve == sorted(curve, reverse=True)
    assert all(0.0 <= share <= 1.0 for share in curve)


@given(completed=some_durations, t=st.integers(0, 15))
def test_without_open_visits_survival_is_the_share_that_lasted_longer(completed: list[int], t: int) -> None:
    longer = sum(d > t for d in completed)
    assert KaplanMeier(completed, []).survival(t) == longer / len(completed)


@given(completed=some_durations, open_ages=some_durations)
def test_an_open_visit_never_shortens_the_estimate(completed: list[int], open_ages: list[int]) -> None:
    alone, together = KaplanMeier(completed, []), KaplanMeier(completed, open_ages)
    assert alone.median is not None
    assert together.median is None or together.median >= alone.median
    assert all(together.survival(t) >= alone.survival(t) - 1e-12 for t in completed)


def test_a_textbook_sample() -> None:
    # The treated arm of Freireich et al., Blood 21 (1963): weeks in remission, and the published curve.
    relapsed = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    still_well = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    curve = KaplanMeier(relapsed, still_well)
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {t: round(curve.survival(t), 3) for t in published} == published
    assert curve.median == 23
    assert curve.p75 is None


def test_a_completed_visit_counts_before_an_open_one_of_the_same_age() -> None:
    assert KaplanMeier([5], [5]).survival(5) == 0.5
    assert KaplanMeier([5], [5]).median == 5
    assert KaplanMeier([5], [4]).survival(5) == 0.0


@pytest.mark.parametrize(
    ("completed", "open_ages", "median"),
    [
        ([1, 1, 1, 2, 4, 4, 6, 8, 8, 8], [3, 3, 5, 5, 7, 7], 6),
        ([1, 2, 2, 2, 4, 5, 5, 5, 7, 10, 10], [3, 3, 6, 6, 8, 9, 11, 11, 11], 7),
        ([1, 2, 2, 3, 4, 4, 8, 8, 10, 11, 11, 11], [5, 5, 5, 6, 6, 6, 7, 7, 9, 9, 12, 12], 10),
    ],
)
def test_a_survival_of_exactly_a_half_counts_where_floats_stay_above(
    completed: list[int], open_ages: list[int], median: int
) -> None:
    estimate = KaplanMeier(completed, open_ages)
    assert survival_by_definition(completed, open_ages, median) == Fraction(1, 2) < estimate.survival(median)
    assert estimate.median == median


@given(values=some_durations, p=st.integers(1, 100))
def test_nearest_rank_is_the_smallest_value_that_p_percent_do_not_exceed(values: list[int], p: int) -> None:
    enough = [v for v in values if 100 * sum(other <= v for other in values) >= p * len(values)]
    assert nearest_rank(sorted(values), p) == min(enough)


@given(count=st.integers(1, 500), p=st.integers(1, 100))
@example(count=100, p=7)  # 0.07 * 100 is 7.000000000000001 as a float
def test_nearest_rank_has_no_rounding_of_its_own(count: int, p: int) -> None:
    assert nearest_rank(range(1, count + 1), p) == ceil(Fraction(p, 100) * count)


@pytest.mark.parametrize("p", [0, 101, -5])
def test_a_percentile_outside_1_to_100_is_refused(p: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 100"):
        nearest_rank([1, 2, 3], p)


@given(completed=some_durations, open_ages=some_durations)
def test_the_summary_gives_each_figure_by_its_definition(completed: list[int], open_ages: list[int]) -> None:
    def middle(values: list[int]) -> int:
        ranked, n = sorted(values), len(values)
        return round(Fraction(ranked[(n - 1) // 2] + ranked[n // 2], 2))

    assert summarise(completed, open_ages) == DwellSummary(
        completed_visits=len(completed),
        mean=round(Fraction(sum(completed), len(completed))),
        median=middle(completed),
        p75=nearest_rank(sorted(completed), 75),
        p90=nearest_rank(sorted(completed), 90),
        open_visits=len(open_ages),
        open_mean_age=round(Fraction(sum(open_ages), len(open_ages))),
        open_median_age=middle(open_ages),
        open_max_age=max(open_ages),
        kaplan_meier_median=first_time_at_most(Fraction(1, 2), completed, open_ages),
        kaplan_meier_p75=first_time_at_most(Fraction(1, 4), completed, open_ages),
    )


@given(completed=durations, open_ages=durations, seed=st.integers())
def test_the_order_of_the_visits_does_not_matter(
    completed: list[int], open_ages: list[int], seed: int
) -> None:
    shuffled, shuffled_ages = list(completed), list(open_ages)
    random.Random(seed).shuffle(shuffled)
    random.Random(seed).shuffle(shuffled_ages)
    assert summarise(shuffled, shuffled_ages) == summarise(completed, open_ages)


def test_of_no_visits_nothing_is_known() -> None:
    assert summarise([], []) == DwellSummary(0, None, None, None, None, 0, None, None, None, None, None)
    assert KaplanMeier([], []).survival(10) == 1.0


def test_open_visits_alone_have_ages_and_no_median() -> None:
    assert summarise([], [4, 8]) == DwellSummary(0, None, None, None, None, 2, 6, 6, 8, None, None)


def test_one_completed_visit_is_every_figure() -> None:
    assert summarise([7], []) == DwellSummary(1, 7, 7, 7, 7, 0, None, None, None, 7, 7)


def test_halves_of_a_microsecond_round_to_even() -> None:
    assert [summarise(pair, []).mean for pair in ([0, 1], [1, 2], [2, 3])] == [0, 2, 2]
    assert [summarise(pair, []).median for pair in ([0, 1], [1, 2], [2, 3])] == [0, 2, 2]


def test_the_mean_is_exact_where_floats_are_not() -> None:
    assert summarise([10**17 + 1, 10**17 + 3], []).mean == 10**17 + 2


@pytest.mark.parametrize(("completed", "open_ages"), [([3, -1], []), ([], [-1])])
def test_a_negative_duration_is_refused(completed: list[int], open_ages: list[int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        summarise(completed, open_ages)
