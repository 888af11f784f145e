"""Landmark rows say what was known at each week's end, labels what is known at the cut-off."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.recalibration.columns import DAY
from domain.recalibration.histories import ABANDONED, GONE, LOST, WON
from domain.recalibration.labels import UNRESOLVED, Target, won_eventually, won_in_period
from domain.recalibration.landmarks import landmarks, microseconds, snapshot, week_ends
from domain.recalibration.visits import visits_until
from tests.domain.recalibration.builders import START, Version, World, histories_of, sample_of

JANUARY, FEBRUARY = 2024 * 12, 2024 * 12 + 1


def test_a_deal_has_a_row_for_every_week_end_at_which_it_is_open() -> None:
    sample = sample_of(histories_of({7: [Version(1, 0), Version(9, 2), Version(16, WON)]}), 30)
    assert sample.rows.stage.tolist() == [0, 2]
    assert (sample.rows.age / DAY).round(3).tolist() == [6.0, 5.0]
    assert sample.label.tolist() == [1, 1]


def test_an_event_at_midnight_on_monday_belongs_to_the_week_it_begins() -> None:
    sample = sample_of(histories_of({1: [Version(0, 0), Version(7, 1)]}), 7)
    assert sample.rows.stage.tolist() == [0]


def test_a_row_shows_what_was_known_then_although_it_had_happened_before() -> None:
    late = [Version(1, 0, amount=10), Version(3, 1, amount=10, known=8)]
    assert sample_of(histories_of({1: late}), 14).rows.stage.tolist() == [0, 1]


def test_a_version_back_dated_before_its_predecessor_takes_its_place() -> None:
    histories = histories_of({1: [Version(1, 0), Version(9, 1, known=9), Version(4, 2, known=9)]})
    assert snapshot(histories, START + 8 * DAY).stage.tolist() == [0]
    assert snapshot(histories, START + 10 * DAY).stage.tolist() == [2]


def test_lost_and_abandoned_are_not_won_and_an_open_deal_is_unresolved() -> None:
    ends = {1: WON, 2: LOST, 3: ABANDONED}
    deals = {deal: [Version(0, 0), Version(8, end)] for deal, end in ends.items()} | {4: [Version(0, 0)]}
    assert sample_of(histories_of(deals), 10).label.tolist() == [1, 0, 0, UNRESOLVED]


def test_voided_and_merged_deals_are_nowhere() -> None:
    sample = sample_of(histories_of({1: [Version(0, 0), Version(9, GONE)], 2: [Version(0, 0)]}), 10)
    assert sample.rows.deal.tolist() == [1]
    assert sample.visits.deal.tolist() == [1]


def test_a_reopened_deal_is_open_again_and_its_visit_a_repeated_one() -> None:
    deals = {1: [Version(0, 0), Version(2, LOST), Version(9, 0)]}
    sample = sample_of(histories_of(deals), 14)
    assert sample.label.tolist() == [UNRESOLVED]
    assert sample.rows.repeat.tolist() == [True]
    assert sample.visits.repeat.tolist() == [False, True]


@pytest.mark.parametrize(
    ("versions", "days", "label"),
    [
        ([Version(0, 0, month=JANUARY), Version(20, WON, month=JANUARY)], 25, 1),
        ([Version(0, 0, month=JANUARY), Version(40, WON, month=JANUARY)], 45, 0),
        ([Version(0, 0, month=FEBRUARY), Version(20, WON, month=FEBRUARY)], 25, 0),
        ([Version(0, 0, month=JANUARY), Version(20, LOST, month=JANUARY)], 25, 0),
        ([Version(0, 0, month=JANUARY)], 25, UNRESOLVED),
        ([Version(0, 0, month=JANUARY)], 31, 0),
    ],
)
def test_won_in_period_is_about_the_expected_month_alone(
    versions: list[Version], days: int, label: int
) -> None:
    histories, cutoff = histories_of({1: versions}), START + days * DAY
    rows = landmarks(histories, cutoff, [START + 7 * DAY])
    assert won_in_period(rows, histories, cutoff, UTC).tolist() == [label]


def test_a_deal_that_moves_between_months_is_judged_by_the_month_each_row_expected() -> None:
    moved = [Version(0, 0, month=JANUARY), Version(10, 0, month=FEBRUARY), Version(40, WON, month=FEBRUARY)]
    sample = sample_of(histories_of({1: moved}), 60, Target.IN_PERIOD)
    expected = [0 if month == JANUARY else 1 for month in sample.rows.close_month.tolist()]
    assert sample.label.tolist() == expected
    assert len(set(expected)) == 2
    assert (sample.rows.age >= 0).all()


def test_a_changed_date_does_not_make_a_deal_younger() -> None:
    sample = sample_of(histories_of({1: [Version(0, 0, month=JANUARY), Version(10, 0, month=FEBRUARY)]}), 14)
    assert (sample.rows.age / DAY).round().tolist() == [7, 14]


def test_week_ends_keep_their_local_time_when_the_clock_changes() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first, last = (microseconds(datetime(2024, 3, day, tzinfo=berlin)) for day in (11, 31))
    ends = week_ends(first, last + 10 * DAY, berlin)
    local = [
        datetime.fromtimestamp(end // 10**6, UTC).astimezone(berlin).strftime("%a %H:%M:%S") for end in ends
    ]
    assert set(local) == {"Sun 23:59:59"}
    assert sorted(set(np.diff(ends) // 3_600_000_000)) == [167, 168]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60))
def test_rows_and_visits_agree_with_a_fold_deal_by_deal(seed: int, days: int) -> None:
    deals = World(reopen=0.3).simulate(15, 40, seed)
    histories, cutoff = histories_of(deals), START + days * DAY
    sample = sample_of(histories, days)
    rows = [
        (int(week), deal, last.state, last.amount)
        for week in sample.weeks
        for deal, versions in sorted(deals.items())
        if (seen := [v for v in versions if START + round(v.day * DAY) <= week])
        and (last := seen[-1]).state >= 0
    ]
    got = zip(sample.rows.at, sample.rows.deal, sample.rows.stage, sample.rows.amount, strict=True)
    assert [tuple(map(int, row)) for row in got] == rows
    visits = visits_until(histories, cutoff)
    assert (visits.left_at <= cutoff).all()
    assert (visits.left_at >= visits.entered_at).all()
    opened = sum(v.state >= 0 for versions in deals.values() for v in versions if v.day <= days)
    assert len(visits.deal) == opened
    assert set(won_eventually(sample.rows, histories, cutoff).tolist()) <= {1, 0, UNRESOLVED}
