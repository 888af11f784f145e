"""Whole recalibrations where there is little to learn from: a sensible answer, and why."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from domain.recalibration.columns import DAY
from domain.recalibration.entry import Entry
from domain.recalibration.folds import Unit, folds
from domain.recalibration.histories import LOST, WON, Histories
from domain.recalibration.labels import Target
from domain.recalibration.landmark import Landmark
from domain.recalibration.landmarks import EPOCH, microseconds, week_ends
from domain.recalibration.rate_table import Current
from domain.recalibration.rates import Rates
from domain.recalibration.recalibrate import STANDARD, Recalibration, recalibrate
from domain.recalibration.sample import Sample
from domain.recalibration.survivor import Survivor
from tests.domain.recalibration.builders import START, Version, World, histories_of, sample_of

IN_FORCE = Current(Rates.rounded(np.full((3, 1), 0.5)))
BERLIN = ZoneInfo("Europe/Berlin")


def whole(deals: dict[int, list[Version]], days: float, unit: Unit = Unit.MONTH) -> Recalibration:
    sample = sample_of(histories_of(deals), days)
    periods = folds(START, sample.cutoff, unit, UTC)
    return recalibrate(sample, (IN_FORCE, *STANDARD), periods, Random(1), replicates=5)


def test_a_stage_never_seen_leans_on_all_deals_or_has_no_rate() -> None:
    deals = {n: [Version(n, 0), Version(n + 5, WON if n % 4 else LOST)] for n in range(80)}
    found = whole(deals, 90)
    for name, result in found.results.items():
        unseen = result.rates.micros[2]
        assert result.counts.deals[2].sum() == 0
        if name == "outcome_match/1":
            assert (unseen == -1).all()  # no week tells anything of it
        elif name != "current":
            assert unseen / 1e6 == pytest.approx(0.75, abs=0.05), name


def test_in_a_period_with_no_wins_nothing_can_be_compared_and_the_rates_in_force_stay() -> None:
    early = {n: [Version(n / 2, 0), Version(n / 2 + 3, WON if n % 2 else LOST)] for n in range(50)}
    late = {100 + n: [Version(35 + n / 2, 0), Version(35 + n / 2 + 9, LOST)] for n in range(60)}
    found = whole(early | late, 80)
    scores = found.results["entry/1"].scores
    assert scores is not None
    assert (scores.forecasts > 3, scores.wape, scores.bias) == (True, None, None)
    assert found.decision.recommended == "current"
    assert "nothing was won in the weeks tested" in found.decision.reason


@pytest.mark.parametrize(("outcome", "rate"), [(WON, 1.0), (LOST, 0.0)])
def test_where_all_ended_alike_there_is_nothing_to_test_on(outcome: int, rate: float) -> None:
    found = whole({n: [Version(n, n % 3), Version(n + 9, outcome)] for n in range(120)}, 130)
    for name, result in found.results.items():
        if name != "current":
            assert result.rates.micros / 1e6 == pytest.approx(np.full(result.rates.micros.shape, rate))
    assert not len(found.walk.rows)
    assert found.decision.recommended == "current"
    assert "0 weekly forecasts" in found.decision.reason


def test_of_a_handful_of_deals_nothing_is_concluded() -> None:
    found = whole({n: [Version(8 * n, 0), Version(8 * n + 5, WON if n else LOST)] for n in range(6)}, 60)
    assert found.decision.recommended == "current"
    result = found.results["entry/1"]
    assert result.low[0, 0] < result.rates.micros[0, 0] <= result.high[0, 0]
    assert result.counts.deals[0, 0] == 4  # two of the six came and went within a week


def test_one_giant_deal_moves_amounts_and_no_rate() -> None:
    deals = World().simulate(400, 100, 6)
    one = whole(deals, 150)
    tested = int(one.walk.rows.deal[0])
    large = [version._replace(amount=10**9) for version in deals[tested]]
    other = whole(deals | {tested: large}, 150)
    for name in ("survivor/2", "entry/1", "landmark/1", "ipcw/1", "competing/1"):
        assert (one.results[name].rates.micros == other.results[name].rates.micros).all()
    before, after = (found.results["entry/1"].scores for found in (one, other))
    assert before is not None
    assert after is not None
    assert after.log_loss == pytest.approx(before.log_loss)
    assert after.wape != before.wape


def test_weeks_in_which_the_clocks_change_move_no_rate() -> None:
    # The same local times, once where summer time begins on 31 March, once where it does not.
    deals = World().simulate(500, 150, 4)
    plain = histories_of(deals)
    local = [(EPOCH + timedelta(microseconds=int(at))).replace(tzinfo=BERLIN) for at in plain.occurred_at]
    shifted = np.array([microseconds(at.astimezone(UTC)) for at in local])
    columns = {name: value for name, value in vars(plain).items() if name in Histories.__dataclass_fields__}
    moved = Histories(**columns | {"occurred_at": shifted, "known_at": shifted})

    ends = START + 120 * DAY
    berlin_ends = microseconds((EPOCH + timedelta(microseconds=ends)).replace(tzinfo=BERLIN).astimezone(UTC))
    there = Sample(plain, ends, week_ends(START, ends, UTC), Target.EVENTUALLY, UTC)
    begin = microseconds(datetime(2024, 1, 1, tzinfo=BERLIN))
    here = Sample(moved, berlin_ends, week_ends(begin, berlin_ends, BERLIN), Target.EVENTUALLY, BERLIN)
    assert len(here.rows) == len(there.rows)
    assert np.ptp(np.diff(here.weeks)) == DAY // 24  # one week is an hour shorter
    for candidate in (Entry(), Landmark()):
        assert (candidate.fit(here).rates.micros == candidate.fit(there).rates.micros).all()
    one, other = Survivor().fit(here), Survivor().fit(there)
    assert one is not None
    assert other is not None
    assert one.rates.micros / 1e6 == pytest.approx(other.rates.micros / 1e6, abs=2e-3)
