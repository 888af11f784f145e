"""A recalibration of a small company: the evidence does not depend on how the history came into the log."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import pytest
from msgspec.json import encode

from domain.deal import DealLost, DealOpened, DealWon, StageAdvanced
from domain.money import Money
from infra.postgres import Server
from infra.snapshot import one_snapshot
from projections.engine.running import run_to_head
from tests.projections.conftest import Playground
from tests.projections.written_log import Fact, playbook, recorded, stage
from workers.recalibration.pipeline import forecast_pipeline
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


def recalibrated(playground: Playground, facts: list[Fact], until: datetime = CUT) -> Record:
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    return run_recalibration(playground.app_url, Asked("small", until, replicates=5))


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


def test_before_the_first_deal_nothing_is_known(playground: Playground) -> None:
    with pytest.raises(NothingKnown):
        recalibrated(playground, log(), CUT)
