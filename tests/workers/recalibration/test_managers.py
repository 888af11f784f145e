"""`f1_match/1`: it learns from forecasts that were in force, may be adopted, and is never recommended."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from domain.deal import DealOpened, DealWon
from domain.manager_forecast import Forecast, ForecastSet, ForecastWithdrawn, Seen, forecast_stream
from domain.money import Money
from infra.postgres import Server
from infra.snapshot import one_snapshot
from projections.engine.running import run_to_head
from tests.projections.conftest import Playground
from tests.projections.written_log import Fact, playbook, recorded, stage
from workers import demo
from workers.first_start import fill_empty_log
from workers.recalibration.managers import forecast_match
from workers.recalibration.reading import histories_of
from workers.recalibration.record import NoSuchRecord, Record
from workers.recalibration.running import Asked, run_recalibration, sample_of

MONDAY = datetime(2024, 5, 6, 9, tzinfo=UTC)
DAY = timedelta(days=1)
SEEN = Seen(1, 0, "small", "lead", None, None, None, "ann", "north", None, ())


def euros(amount: int) -> Money:
    return Money(Decimal(amount), "EUR")


def said(deal: UUID, amount: int, at: datetime) -> Fact:
    event = ForecastSet(deal, Forecast("eventually", euros(amount)), None, "as told", False, SEEN)
    return Fact(forecast_stream(deal), event, at, at, partition_key=deal)


def test_a_forecast_counts_from_when_it_was_set_until_it_was_followed_or_the_deal_was_closed(
    database: Server,
) -> None:
    playground, kept, won, dropped = Playground(database), *(UUID(int=n) for n in (1, 2, 3))
    withdrawn = ForecastWithdrawn(dropped, Forecast("eventually", euros(9)), "no more", False, SEEN)
    facts = [
        *playbook("small", [stage("lead")]),
        *(
            Fact(deal, DealOpened("small", "lead", amount=euros(100)), MONDAY, MONDAY)
            for deal in (kept, won, dropped)
        ),
        said(kept, 50, MONDAY + DAY),
        said(kept, 80, MONDAY + 8 * DAY),
        said(won, 60, MONDAY + DAY),
        Fact(won, DealWon("lead"), MONDAY + 9 * DAY, MONDAY + 9 * DAY),
        said(dropped, 9, MONDAY + DAY),
        Fact(forecast_stream(dropped), withdrawn, MONDAY + 9 * DAY, MONDAY + 9 * DAY, partition_key=dropped),
    ]
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    with one_snapshot(playground.app_url, "test") as conn:
        known = histories_of(conn, "small", MONDAY + 21 * DAY)
        sample, _ = sample_of(known)
        found = forecast_match(conn, known, sample.rows)
    weeks = {int(at): number for number, at in enumerate(sample.weeks)}
    told = [
        (weeks[int(at)], known.deals[deal].int, amount / 100)
        for at, deal, amount in zip(found.rows.at, found.rows.deal, found.forecast, strict=True)
    ]
    assert told == [(0, 1, 50.0), (0, 2, 60.0), (0, 3, 9.0), (1, 1, 80.0), (2, 1, 80.0)]
    assert found.fit(sample) is None  # three deals would tell what was said about each


@pytest.mark.slow
def test_the_demonstration_company_finds_its_own_truth_and_does_not_follow_its_managers(
    database: Server,
) -> None:
    fill_empty_log(database.app_url, with_demo=True)
    run_to_head(database.app_url)
    record = run_recalibration(
        database.app_url, Asked("tas_plus", demo.monday(datetime.now(UTC)), replicates=50)
    )
    answer = record.answer
    truth = demo.truth()["stage_win_rates"]["tas_plus"]  # type: ignore[index]
    for rate in answer.candidate("entry/1").rates:
        assert rate.rate == pytest.approx(truth[rate.stage], abs=0.08), rate.stage
        assert rate.low - 0.03 <= truth[rate.stage] <= rate.high + 0.03, rate.stage
    managers, best = answer.candidate("f1_match/1"), answer.candidate(answer.recommended)
    assert best.full_name == "survivor/2"
    assert managers.scores["wape"] > best.scores["wape"]
    assert all(rate.rate is not None for rate in managers.rates)
    assert any(week.f1 for week in record.tested)


def test_a_candidate_that_does_not_apply_says_why(database: Server) -> None:
    facts = [
        *playbook("small", [stage("lead")]),
        Fact(UUID(int=1), DealOpened("small", "lead"), MONDAY, MONDAY),
    ]
    playground = Playground(database)
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    record: Record = run_recalibration(playground.app_url, Asked("small", MONDAY + 30 * DAY, replicates=2))
    assert "f1_match/1" in [missing.candidate for missing in record.answer.not_applicable]
    with pytest.raises(
        NoSuchRecord, match="f1_match/1 does not apply: managers have forecast fewer than 20 deals"
    ):
        record.answer.candidate("f1_match")
