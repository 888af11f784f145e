from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from random import Random
from statistics import median
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.calendar import parse_week
from domain.pipeline import (
    CohortDeal,
    DealState,
    Flow,
    StageConversion,
    Window,
    alert_after,
    conversion,
    dwell_alert,
    flow,
    norm_of,
    state_of,
    window_of,
)

DAY = 86_400_000_000
WEEK = 7 * DAY
BERLIN = ZoneInfo("Europe/Berlin")


# --- Four states


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (0, "entered"),
        (10 * DAY, "entered"),
        (10 * DAY + 1, "stalled"),
        (20 * DAY, "stalled"),
        (20 * DAY + 1, "pending_loss"),
    ],
)
def test_age_alone_makes_three_states_and_a_boundary_belongs_to_the_younger(age: int, state: str) -> None:
    assert state_of(age, 10) == DealState(state, state)  # type: ignore[arg-type]


def test_a_stage_may_set_its_own_day_of_pending_loss() -> None:
    assert state_of(12 * DAY, 10, 11).state == "pending_loss"
    assert state_of(25 * DAY, 10, 30).state == "stalled"


@given(age=st.integers(0, 50 * DAY), still_open=st.integers(1, 5))
def test_a_done_checklist_is_pending_advance_beside_the_age_state(age: int, still_open: int) -> None:
    by_age = state_of(age, 10)
    assert state_of(age, 10, required_open=still_open) == by_age
    assert state_of(age, 10, required_open=0) == DealState("pending_advance", by_age.age_state)


states = st.sampled_from(["entered", "stalled", "pending_loss", "pending_advance"])
boards = st.dictionaries(st.sampled_from("abcdefgh"), states)


@given(boards, boards)
def test_the_flow_counts_every_deal_once(before: dict, after: dict) -> None:
    rows = flow(before, after)
    assert sum(row.deals for row in rows) == len(before.keys() | after.keys())
    leaving, arriving = Counter(), Counter()
    for row in rows:
        leaving[row.before] += row.deals
        arriving[row.after] += row.deals
    for state in ("entered", "stalled", "pending_loss", "pending_advance"):
        assert leaving[state] == list(before.values()).count(state)
        assert arriving[state] == list(after.values()).count(state)
    assert (None, None) not in {(row.before, row.after) for row in rows}


def test_a_weeks_flow() -> None:
    assert flow(
        {"a": "entered", "b": "entered", "c": "stalled"}, {"a": "stalled", "b": "stalled", "d": "entered"}
    ) == (
        Flow(None, "entered", 1),
        Flow("entered", "stalled", 2),
        Flow("stalled", None, 1),
    )


# --- Dwell alert

durations = st.lists(st.integers(0, 30 * DAY) | st.integers(0, 12).map(lambda days: days * DAY), max_size=25)


def kaplan_meier_p75(completed: list[int], ages: list[int]) -> int | None:
    survival = Fraction(1)
    for time in sorted(set(completed)):
        at_risk = sum(d >= time for d in completed) + sum(a >= time for a in ages)
        survival *= 1 - Fraction(completed.count(time), at_risk)
        if survival <= Fraction(1, 4):
            return time
    return None


@given(completed=durations, ages=durations, age=st.integers(0, 40 * DAY), stall_after=st.integers(1, 20))
def test_an_alert_by_the_definition(
    completed: list[int], ages: list[int], age: int, stall_after: int
) -> None:
    enough = len(completed) >= 10
    norm = round(Fraction(sum(completed), len(completed))) if enough else stall_after * DAY
    p75 = kaplan_meier_p75(completed, ages)
    alert = dwell_alert(age, norm_of(completed, ages, stall_after))
    if age <= norm:
        assert alert is None
        return
    assert alert is not None
    assert (alert.age, alert.norm, alert.visits, alert.kaplan_meier_p75) == (age, norm, len(completed), p75)
    assert alert.norm_source == ("mean" if enough else "stall_after_days")
    assert alert.in_default == (not enough if p75 is None else age > p75)
    assert 0 <= alert.kaplan_meier_percentile <= 1
    assert not (alert.in_default and p75 is not None and alert.kaplan_meier_percentile < 0.75 - 1e-9)


@given(completed=durations, ages=durations, age=st.integers(0, 40 * DAY), older=st.integers(0, 10 * DAY))
def test_an_alert_stays_in_its_list_as_the_visit_ages(
    completed: list[int], ages: list[int], age: int, older: int
) -> None:
    norm = norm_of(completed, ages, 7)
    now, later = dwell_alert(age, norm), dwell_alert(age + older, norm)
    assert now is None or later is not None
    assert not (now and later) or now.in_default <= later.in_default


@given(completed=durations, ages=durations, age=st.integers(0, 40 * DAY), default=st.booleans())
def test_the_age_from_which_a_list_alerts_tells_what_is_in_it(
    completed: list[int], ages: list[int], age: int, default: bool
) -> None:
    norm = norm_of(completed, ages, 7)
    least = alert_after(norm, default=default)
    for asked in {age, *((least, least + 1) if least is not None else ())}:
        alert = dwell_alert(asked, norm)
        listed = alert is not None and (alert.in_default or not default)
        assert listed == (least is not None and asked > least)


def test_fifteen_days_where_the_average_is_ten_alert() -> None:
    alert = dwell_alert(15 * DAY, norm_of([10 * DAY] * 10, [15 * DAY], stall_after_days=30))
    assert alert is not None
    assert (alert.norm, alert.norm_source, alert.in_default) == (10 * DAY, "mean", True)
    assert dwell_alert(10 * DAY, norm_of([10 * DAY] * 10, [10 * DAY], stall_after_days=1)) is None


def test_nine_visits_make_no_norm() -> None:
    norm = norm_of([10 * DAY] * 9, [], stall_after_days=30)
    assert (norm.norm, norm.source, norm.visits) == (30 * DAY, "stall_after_days", 9)
    assert dwell_alert(15 * DAY, norm) is None


def test_instant_passes_make_an_alert_that_the_default_list_leaves_out() -> None:
    # Twelve of twenty pass at once, so that the mean is 8 days, and a fair share of the rest takes 20.
    completed = [0] * 12 + [20 * DAY] * 8
    alert = dwell_alert(9 * DAY, norm_of(completed, [9 * DAY], stall_after_days=14))
    assert alert is not None
    assert (alert.norm, alert.kaplan_meier_p75, alert.in_default) == (8 * DAY, 20 * DAY, False)
    at_p75, above = (dwell_alert(age, norm_of(completed, [age], 14)) for age in (20 * DAY, 20 * DAY + 1))
    assert at_p75 is not None
    assert above is not None
    assert (at_p75.in_default, above.in_default) == (False, True)


def test_a_young_log_shows_its_stalled_deals_by_default() -> None:
    alert = dwell_alert(15 * DAY, norm_of([], [15 * DAY], stall_after_days=14))
    assert alert is not None
    assert (alert.kaplan_meier_p75, alert.kaplan_meier_percentile, alert.in_default) == (None, 0.0, True)


# --- Cohort conversion


@given(st.lists(st.integers(0, 60 * WEEK) | st.integers(0, 60).map(lambda weeks: weeks * WEEK), max_size=20))
@example([5 * WEEK] * 5)  # 1.2 x 5 is 6 and not a week more
@example([10 * WEEK] * 6)
def test_the_window_is_the_median_cycle_and_a_fifth_rounded_up(cycles: list[int]) -> None:
    window = window_of(cycles, default_weeks=13)
    if len(cycles) < 5:
        assert window == Window(13, "default", len(cycles))
    else:
        exact = Fraction(6, 5) * median(Fraction(cycle) for cycle in cycles) / WEEK
        assert window == Window(max(1, ceil(exact)), "median_cycle", len(cycles))


def test_a_nine_week_cycle_looks_back_eleven() -> None:
    assert window_of([9 * WEEK] * 5, 11).weeks == 11


STAGES = ("first", "second", "third")
AT = datetime(2011, 12, 31, tzinfo=UTC)


@st.composite
def cohort_deals(draw: st.DrawFn) -> CohortDeal:
    opened_at = AT - timedelta(hours=draw(st.integers(0, 60 * 7 * 24)))
    won_at = draw(st.none() | st.datetimes(opened_at.replace(tzinfo=None), AT.replace(tzinfo=None)))
    return CohortDeal(
        opened_at=opened_at,
        entered=frozenset(draw(st.sets(st.sampled_from([*STAGES, "gone"]), min_size=1))),
        won_at=None if won_at is None else won_at.replace(tzinfo=UTC),
        open=won_at is None and draw(st.booleans()),
    )


def four_places(part: int, whole: int) -> Decimal | None:
    return Decimal(round(Fraction(part * 10**4, whole))) / 10**4 if whole else None


@given(st.lists(cohort_deals(), max_size=15), st.randoms(use_true_random=False))
def test_conversion_by_the_definition(deals: list[CohortDeal], order: Random) -> None:
    result = conversion(deals, STAGES, AT, UTC, default_weeks=8)
    wins = [d for d in deals if d.won_at is not None and d.won_at > datetime(2010, 12, 31, tzinfo=UTC)]
    cycles = [(d.won_at - d.opened_at) // timedelta(microseconds=1) for d in wins if d.won_at is not None]
    assert result.window == window_of(cycles, 8)
    weeks = timedelta(weeks=result.window.weeks)
    for cohort, end, immature in ((result.current, AT, True), (result.previous, AT - weeks, False)):
        members = [d for d in deals if end - weeks < d.opened_at <= end]
        counts = [
            sum(d.won_at is not None or bool({*STAGES[i:]} & {*d.entered}) for d in members) for i in range(3)
        ]
        assert (cohort.start, cohort.end, cohort.immature) == (end - weeks, end, immature)
        assert cohort.deals == len(members)
        assert cohort.open_deals == sum(d.open for d in members)
        assert [stage.reached for stage in cohort.stages] == counts
        assert [stage.share for stage in cohort.stages] == [four_places(n, len(members)) for n in counts]
        steps = [None, four_places(counts[1], counts[0]), four_places(counts[2], counts[1])]
        assert [stage.step for stage in cohort.stages] == steps
        assert [stage.skipped for stage in cohort.stages] == [
            counts[i] - sum(STAGES[i] in d.entered for d in members) for i in range(3)
        ]
        won = sum(d.won_at is not None for d in members)
        assert (cohort.won, cohort.won_share) == (won, four_places(won, len(members)))
        assert cohort.won_step == four_places(won, counts[2])
    order.shuffle(deals)
    assert conversion(deals, STAGES, AT, UTC, default_weeks=8) == result


def test_a_skipped_stage_counts_and_is_flagged() -> None:
    opened = AT - timedelta(weeks=1)
    deals = [
        CohortDeal(opened, ("first", "second", "third"), AT, open=False),
        CohortDeal(opened, ("first", "third")),
        CohortDeal(opened, ("first",), AT, open=False),  # won straight from the first stage
        CohortDeal(opened, ("first",), open=False),
    ]
    cohort = conversion(deals, STAGES, AT, UTC, 11).current
    assert cohort.stages == (
        StageConversion("first", 4, Decimal(1), None, 0),
        StageConversion("second", 3, Decimal("0.75"), Decimal("0.75"), 2),
        StageConversion("third", 3, Decimal("0.75"), Decimal(1), 1),
    )
    assert (cohort.won, cohort.won_share, cohort.won_step) == (2, Decimal("0.5"), Decimal("0.6667"))


def test_a_deal_that_went_back_has_still_reached_its_furthest_stage() -> None:
    deals = [CohortDeal(AT, ("first", "third", "second"))]
    assert [stage.reached for stage in conversion(deals, STAGES, AT, UTC, 11).current.stages] == [1, 1, 1]


def test_of_an_empty_cohort_nothing_is_claimed() -> None:
    cohort = conversion([], STAGES, AT, UTC, 11).current
    assert (cohort.deals, cohort.won_share, cohort.won_step) == (0, None, None)
    assert {(stage.share, stage.step) for stage in cohort.stages} == {(None, None)}


def test_windows_tile_and_keep_their_local_time_over_a_change_of_the_clock() -> None:
    at = parse_week("2011-W46", BERLIN).as_of  # winter time; the window reaches back into summer time
    result = conversion([], STAGES, at, BERLIN, default_weeks=6)
    assert result.current.start == parse_week("2011-W40", BERLIN).as_of
    assert result.previous.end == result.current.start
    assert result.previous.start == parse_week("2011-W34", BERLIN).as_of
    opened = parse_week("2011-W41", BERLIN).start
    assert conversion([CohortDeal(opened, ("first",))], STAGES, at, BERLIN, 6).current.deals == 1
    last_of_before = opened - timedelta(microseconds=1)
    assert conversion([CohortDeal(last_of_before, ("first",))], STAGES, at, BERLIN, 6).current.deals == 0


def test_wins_older_than_a_year_do_not_set_the_window() -> None:
    def wins(won_at: datetime) -> list[CohortDeal]:
        return [CohortDeal(won_at - timedelta(weeks=9), STAGES, won_at, open=False)] * 5

    assert conversion(wins(datetime(2010, 12, 31, tzinfo=UTC)), STAGES, AT, UTC, 4).window.source == "default"
    assert conversion(wins(datetime(2011, 1, 1, tzinfo=UTC)), STAGES, AT, UTC, 4).window.weeks == 11
    leap_day = datetime(2012, 2, 29, tzinfo=UTC)
    assert conversion(wins(datetime(2011, 3, 1, tzinfo=UTC)), STAGES, leap_day, UTC, 4).window.weeks == 11
