"""What if: under the rules in force a week is what was shown then; under others, what those rules make of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.event import Recorded
from domain.exact import total, weighted_total
from domain.forecast_sight import BLIND, Sight
from domain.money import plain
from domain.pipeline import state_of
from domain.playbook import StageRate
from projections.engine.running import run_to_head
from projections.forecast_rows import Then, horizon, open_rows, then
from projections.forecasting import forecast
from projections.funnel import snapshot
from projections.pipeline import states
from projections.rate_sets import in_force, rate_sets
from projections.what_if import Basis, RatesBasis, Tried, TriedRates, WhatIf, what_if
from tests.projections.conftest import Playground
from tests.strategies import STAGES, histories, moments_of

few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
ALL = Sight(any=True, owners=None)


@contextmanager
def a_moment(playground: Playground, log: list[Recorded], data: st.DataObject) -> Iterator[tuple[Any, Then]]:
    """A moment of the log, as it was shown then."""
    playground.holding(log)
    run_to_head(playground.app_url)
    moment: datetime = data.draw(moments_of(log)).astimezone(UTC)
    with playground.connected() as conn:
        conn.execute("SET TimeZone = 'UTC'")
        yield conn, then(conn, "sales", moment, moment)


def asked(conn: Any, at: Then, tried: Tried, sight: Sight = ALL) -> WhatIf:
    return what_if(conn, at, "a week", horizon(at), sight, tried)


@few
@given(log=histories(min_steps=20), data=st.data())
def test_under_the_rules_in_force_it_is_what_was_shown(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    with a_moment(playground, log, data) as (conn, at):
        adopted = in_force(rate_sets(conn, "sales"), at.as_of, at.as_of)
        tried = Tried(TriedRates(adopted.rates, number=adopted.number) if adopted else None)
        found = asked(conn, at, tried)
        assert found.total.what_if == found.total.shown
        assert [row.what_if for row in found.stages] == [row.shown for row in found.stages]
        funnel = snapshot(conn, "sales", as_of=at.as_of, known_at=at.as_of)
        assert [(r.stage, r.deals, r.amount) for r in found.stages] == [
            (s.stage, s.deals, s.amount) for s in funnel.stages
        ]
        assert (found.total.deals, found.total.amount) == (funnel.total.deals, funnel.total.amount)
        in_states = states(conn, "sales", as_of=at.as_of, known_at=at.as_of)
        names = ("entered", "stalled", "pending_loss", "pending_advance")
        assert [[getattr(row.shown, name) for name in names] for row in found.stages] == [
            [getattr(row, name) for name in names] for row in in_states.stages
        ]
        table = forecast(conn, at, horizon(at), ALL)
        assert (found.total.f1_open, found.total.shown.f2_open) == (table.total.f1_open, table.total.f2_open)
        assert (found.rate_set, found.period, found.position) == (table.rate_set, table.period, len(log))


@few
@given(
    log=histories(min_steps=20),
    data=st.data(),
    stall=st.integers(1, 20),
    rate=st.decimals(0, 1, places=6),
)
def test_other_rates_and_days_count_each_deal_by_them(
    playground: Playground, log: list[Recorded], data: st.DataObject, stall: int, rate: Decimal
) -> None:
    with a_moment(playground, log, data) as (conn, at):
        tried = TriedRates(
            (
                StageRate("talk", "fresh", rate),
                StageRate("talk", "stalled", 1 - rate),
                StageRate("offer", None, rate),
            )
        )
        days = dict.fromkeys(STAGES, stall)
        found = asked(conn, at, Tried(tried, days, dict.fromkeys(STAGES, stall + 5)))
        other = msgspec.structs.replace(at, stall_after_days={**at.stall_after_days, **days})
        rows = open_rows(conn, other, horizon(at).months, other.rates(tried))
        expected = [r.deal for r in rows if r.deal.month in horizon(at).months]
        weighed = [
            (d.amount, d.stage_rate) for d in expected if d.amount is not None and d.stage_rate is not None
        ]
        f2 = plain(weighted_total(weighed)) if weighed or not expected else None
        f1 = total(d.forecast.amount for d in expected if d.forecast and d.forecast.month == d.month)
        assert (found.total.what_if.f2_open, found.total.f1_open) == (f2, plain(f1))
        ages = conn.execute(
            "SELECT (extract(epoch FROM %(at)s - entered_at) * 1000000)::bigint FROM projection.deal_states_v1"
            " WHERE status = 'open' AND occurred_at <= %(at)s AND known_at <= %(at)s"
            " AND NOT coalesce(next_occurred_at <= %(at)s AND next_known_at <= %(at)s, false)",
            {"at": at.as_of},
        ).fetchall()  # fmt: skip
        now = [state_of(age, stall, stall + 5).state for (age,) in ages]
        said = found.total.what_if
        assert (said.entered, said.stalled, said.pending_loss) == (
            now.count("entered"), now.count("stalled"), now.count("pending_loss"),
        )  # fmt: skip
        assert found.total.shown == asked(conn, at, Tried()).total.shown
        assert total(Decimal(row.amount) for row in found.stages) == Decimal(found.total.amount)


@few
@given(log=histories(min_steps=20), data=st.data())
def test_it_says_what_the_rates_on_both_sides_rest_on(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    with a_moment(playground, log, data) as (conn, at):
        then_in_force, tried = RatesBasis(1), RatesBasis(None, UUID(int=1), "0" * 64, "entry/1")
        rates = TriedRates((StageRate("talk", None, Decimal("0.5")),), basis=tried)
        found = [
            what_if(conn, at, "a week", horizon(at), ALL, each, shown_by=then_in_force).basis
            for each in (Tried(), Tried(rates))
        ]
        assert found == [Basis(then_in_force, then_in_force), Basis(then_in_force, tried)]


@few
@given(log=histories(min_steps=20), data=st.data())
def test_who_never_sees_f1_finds_none_of_it(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    with a_moment(playground, log, data) as (conn, at):
        body = msgspec.json.encode(asked(conn, at, Tried(), BLIND))
        for name in (b"f1_open", b"f1_final", b"difference"):
            assert name not in body
