"""A recalibration of a small company: the evidence does not depend on how the history came into the log."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from domain.deal import DealLost, DealOpened, DealWon, StageAdvanced
from domain.event import Knowledge
from domain.money import Money
from domain.playbook import STREAM_ID, Evidence, RateSetAdopted, StageRate
from domain.recalibration.landmarks import microseconds
from infra.postgres import Server
from infra.snapshot import one_snapshot
from projections.engine.running import run_to_head
from tests.projections.conftest import Playground
from tests.projections.written_log import Fact, playbook, recorded, stage
from workers.recalibration.pipeline import UNTESTED, forecast_pipeline
from workers.recalibration.record import NoSuchRecord, Record
from workers.recalibration.report import report
from workers.recalibration.running import Asked, NothingKnown, run_recalibration

START = datetime(2024, 1, 8, 9, tzinfo=UTC)
CUT = datetime(2024, 5, 6, tzinfo=UTC)
LOADED = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def playground(database: Server) -> Playground:
    return Playground(database)


def history(deals: int = 120) -> list[list[Fact]]:
    """Per deal its facts, as an import claims them: half of the offers are won, some deals are still open."""
    choose = Random(7)
    return [list(_deal(UUID(int=1 + n), choose)) for n in range(deals)]


def _deal(deal: UUID, choose: Random) -> Iterator[Fact]:
    at = START + timedelta(hours=choose.randrange(24 * 120))
    amount = Money(Decimal(choose.randrange(100, 9000)), "EUR")
    yield Fact(deal, DealOpened("small", "lead", amount=amount), at, LOADED, at)
    at += timedelta(hours=choose.randrange(24 * 20))
    yield Fact(deal, StageAdvanced("lead", "offer"), at, LOADED, at)
    at += timedelta(hours=choose.randrange(24 * 30))
    yield Fact(
        deal, DealWon("offer") if choose.random() < 0.5 else DealLost("offer", "price"), at, LOADED, at
    )


def log(*facts: Fact) -> list[Fact]:
    return [*playbook("small", [stage("lead"), stage("offer")]), *facts]


def recalibrated(
    playground: Playground, facts: list[Fact], until: datetime = CUT, knowledge: Knowledge = "source"
) -> Record:
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    return run_recalibration(playground.app_url, Asked("small", until, replicates=5, knowledge=knowledge))


def test_neither_the_order_of_the_log_nor_what_came_later_changes_the_evidence(
    playground: Playground,
) -> None:
    deals = history()
    by_time = log(*sorted((f for facts in deals for f in facts), key=lambda f: f.occurred_at))
    by_deal = log(*(f for facts in reversed(deals) for f in facts))
    ended = log(*(f for facts in deals for f in facts if f.occurred_at <= CUT))
    one, other, short = (recalibrated(playground, facts).answer for facts in (by_time, by_deal, ended))
    assert one.log.root != other.log.root
    assert one.digest == other.digest == short.digest
    assert one.candidates == other.candidates == short.candidates
    assert one.reason == other.reason == short.reason


def test_by_what_was_witnessed_the_evidence_is_that_of_a_log_without_claims(playground: Playground) -> None:
    """Half of the history came with an import in the middle of it, the rest was recorded as it happened."""
    taken_in = START + timedelta(days=60)
    facts = sorted((f for deal in history(240) for f in deal), key=lambda f: f.occurred_at)
    mixed = [replace(f, recorded_at=max(f.occurred_at, taken_in)) for f in facts]
    mixed = [replace(f, claimed=None if f.occurred_at >= taken_in else f.occurred_at) for f in mixed]
    unclaimed = [replace(f, claimed=None) for f in mixed]
    by_source = recalibrated(playground, log(*mixed))
    witnessed = recalibrated(playground, log(*mixed), knowledge="witnessed")
    with one_snapshot(playground.app_url, "test") as conn:
        again = forecast_pipeline(conn, "small", CUT, f"{witnessed.answer.record}:survivor/2", now=CUT)
    assert (again.rates.basis, again.knowledge) == ("estimator", "source")
    without = recalibrated(playground, log(*unclaimed))
    assert witnessed.answer.candidates == without.answer.candidates != by_source.answer.candidates
    assert witnessed.tested == without.tested
    assert witnessed.answer.digest not in {without.answer.digest, by_source.answer.digest}
    assert witnessed.first == microseconds(taken_in) > by_source.first
    assert min(week.at for week in witnessed.tested) > taken_in > min(week.at for week in by_source.tested)
    told = [(one.answer.knowledge, one.answer.claimed_events) for one in (by_source, witnessed, without)]
    assert told == [("source", 0), ("witnessed", 0), ("source", 0)]


def test_a_record_is_kept_and_forecasts_and_reports(playground: Playground) -> None:
    record = recalibrated(playground, log(*(f for facts in history() for f in facts)))
    answer = record.answer
    with one_snapshot(playground.app_url, "test") as conn:
        assert encode(Record.found(conn, answer.record)) == encode(record)
        said = {
            name: forecast_pipeline(conn, "small", CUT, f"{answer.record}:{name}", now=CUT)
            for name in ("survivor/2", "entry/1")
        }
        with pytest.raises(NoSuchRecord, match="No rates are in force"):
            forecast_pipeline(conn, "small", CUT, "current", now=LOADED)
        before = forecast_pipeline(
            conn, "small", CUT - timedelta(days=7), f"{answer.record}:entry/1", now=CUT
        )
    assert [one.rates.hindsight for one in (said["entry/1"], before)] == [False, True]
    assert said["survivor/2"].rates.basis == "estimator"
    assert said["entry/1"].rates.basis == "rates"
    for forecast in said.values():
        assert forecast.total.deals == len(forecast.deals) > 10
        assert sum(Decimal(d.f2) for d in forecast.deals) == Decimal(forecast.total.f2)
        assert sum(Decimal(s.f2) for s in forecast.stages) == Decimal(forecast.total.f2)
        assert Decimal(forecast.total.p10) <= Decimal(forecast.total.p50) <= Decimal(forecast.total.p90)
        for deal in forecast.deals:
            assert {deal.p10, deal.p50, deal.p90} <= {"0", deal.amount}

    page = report(record)
    assert "survivor/2" in page
    assert answer.digest in page
    assert page.count("<svg") > 4
    assert not any(word in page for word in ("http", "src=", "@import", "url("))


def adopting(evidence: Evidence | None, rates: tuple[StageRate, ...]) -> Fact:
    event = RateSetAdopted(UUID(int=9), "small", 1, CUT, rates, evidence, "Tested.")
    return Fact(STREAM_ID, event, CUT, LOADED, CUT)


def test_adopted_rates_have_the_band_of_their_evidence_and_no_test_on_what_they_were_learnt_from(
    playground: Playground,
) -> None:
    facts = log(*(f for facts in history() for f in facts))
    record = recalibrated(playground, facts)
    answer = record.answer
    rates = tuple(StageRate(r.stage, r.age, Decimal(str(r.rate))) for r in answer.candidate("entry/1").rates)
    adopted = adopting(Evidence(answer.record, answer.digest, "entry/1"), rates)
    playground.gains(recorded([adopted], len(facts), {STREAM_ID: 2}))
    run_to_head(playground.app_url)
    with one_snapshot(playground.app_url, "test") as conn:
        by_set = forecast_pipeline(conn, "small", CUT, "current", now=LOADED)
        by_record = forecast_pipeline(conn, "small", CUT, f"{answer.record}:entry/1", now=LOADED)
    assert record.spreads["entry/1"].common != UNTESTED.common
    assert by_set.total == by_record.total
    again = run_recalibration(playground.app_url, Asked("small", CUT, replicates=5)).answer
    assert again.current is not None
    assert again.recommended == "current"
    assert "0 weekly forecasts later than what the rates in force were learnt from" in again.reason
    assert again.candidate("entry/1").scores["forecasts"] > 0


def test_in_a_dated_funnel_undated_and_overdue_deals_add_nothing_under_any_rates(
    playground: Playground,
) -> None:
    closes = (None, date(2024, 2, 1), date(2024, 5, 31))
    dated = [
        replace(f, event=replace(f.event, expected_close=closes[f.stream_id.int % 3]))
        if isinstance(f.event, DealOpened)
        else f
        for facts in history()
        for f in facts
    ]
    currency, funnel = playbook("small", [stage("lead"), stage("offer")])
    funnel = replace(funnel, event=replace(funnel.event, dated=True))
    rates = tuple(StageRate(key, None, Decimal("0.5")) for key in ("lead", "offer"))
    record = recalibrated(playground, [currency, funnel, *dated, adopting(None, rates)]).answer
    with one_snapshot(playground.app_url, "test") as conn:
        for named in ("current", f"{record.record}:survivor/2"):
            shown = forecast_pipeline(conn, "small", CUT, named, now=LOADED)
            assert shown.target == "T2"
            rated = {d.deal_id.int % 3 for d in shown.deals if d.rate is not None}
            assert rated == {2}
            assert shown.total.unrated == sum(d.deal_id.int % 3 != 2 for d in shown.deals) > 0


def test_before_the_first_deal_nothing_is_known(playground: Playground) -> None:
    with pytest.raises(NothingKnown):
        recalibrated(playground, log(), CUT)
