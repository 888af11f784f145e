"""Histories read from the log are those of a log that ended at the cut-off, and say what the funnel says."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.deal import DealOpened, DealVoided, DealWon, StageAdvanced
from domain.errors import UnknownFunnel
from domain.event import Recorded
from domain.money import Money
from domain.recalibration.histories import GONE, WON
from domain.recalibration.labels import Target
from domain.recalibration.landmarks import microseconds, snapshot
from infra.postgres import Server
from infra.snapshot import one_snapshot
from projections import funnel
from projections.engine.running import run_to_head
from tests.projections.conftest import Playground
from tests.projections.sales_histories import START, sales_history
from tests.projections.written_log import Fact, playbook, recorded, stage
from workers.recalibration.reading import Known, histories_of

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


@pytest.fixture
def playground(database: Server) -> Playground:
    return Playground(database)


def read(playground: Playground, log: list[Recorded], funnel_key: str, until: datetime) -> Known:
    playground.holding(log)
    run_to_head(playground.app_url)
    with one_snapshot(playground.app_url, "test") as conn:
        return histories_of(conn, funnel_key, until)


def ended_at(log: list[Recorded], cut: datetime) -> list[Recorded]:
    """The log as it would be if nothing had happened or become known after the cut."""
    kept = [e for e in log if e.known_at <= cut and e.meta.occurred_at <= cut]
    counted: dict[UUID, int] = {}
    short = []
    for position, e in enumerate(kept, 1):
        counted[e.stream_id] = counted.get(e.stream_id, 0) + 1
        short.append(msgspec.structs.replace(e, position=position, version=counted[e.stream_id]))
    return short


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), days=st.integers(0, 60))
def test_a_cut_off_reads_what_a_log_that_ends_there_holds(
    playground: Playground, seed: int, days: int
) -> None:
    log, cut = sales_history(seed), START + timedelta(days=days)
    short = read(playground, ended_at(log, cut), "sales", cut)
    whole = read(playground, log, "sales", cut)
    assert whole.deals == short.deals
    for name, column in vars(short.histories).items():
        assert np.array_equal(vars(whole.histories)[name], column), name


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), days=st.integers(0, 60))
def test_the_deals_open_at_a_moment_are_those_of_the_funnel(
    playground: Playground, seed: int, days: int
) -> None:
    cut = START + timedelta(days=days)
    known = read(playground, sales_history(seed), "sales", cut)
    rows = snapshot(known.histories, known.cutoff)
    with playground.connected() as conn:
        shown = funnel.snapshot(conn, "sales", as_of=cut, known_at=cut)
    ours = [
        (stage, int((rows.stage == place).sum()), int(rows.amount[rows.stage == place].sum()))
        for place, stage in enumerate(known.histories.stages)
    ]
    assert ours == [(s.stage, s.deals, int(float(s.amount) * 100)) for s in shown.stages]


def test_outcomes_amounts_and_rules_are_read_as_they_are(playground: Playground) -> None:
    won, gone = UUID(int=7), UUID(int=3)
    amount = Money(Decimal("12.34"), "EUR")
    facts = [
        *playbook("small", [stage("lead"), stage("offer")]),
        Fact(won, DealOpened("small", "lead", amount=amount), NOON, NOON),
        Fact(gone, DealOpened("small", "lead"), NOON, NOON),
        Fact(won, StageAdvanced("lead", "offer"), NOON + timedelta(days=1), NOON + timedelta(days=1)),
        Fact(won, DealWon("offer"), NOON + timedelta(days=2), NOON + timedelta(days=2)),
        Fact(gone, DealVoided("a test"), NOON + timedelta(days=3), NOON + timedelta(days=3)),
    ]
    known = read(playground, recorded(facts), "small", NOON + timedelta(days=3))
    histories = known.histories
    assert known.deals == (gone, won)
    assert histories.state.tolist() == [0, GONE, 0, 1, WON]
    assert histories.amount.tolist() == [0, 0, 1234, 1234, 1234]
    assert histories.occurred_at[1] == microseconds(NOON + timedelta(days=3))
    assert histories.stall_after.tolist() == [14 * 86_400_000_000] * 2
    assert (known.target, known.decimals, known.position) == (Target.EVENTUALLY, 2, 7)


def test_an_unknown_funnel_is_refused(playground: Playground) -> None:
    with pytest.raises(UnknownFunnel):
        read(playground, recorded(playbook("small", [stage("lead")])), "large", NOON)
