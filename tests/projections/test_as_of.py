"""As of T, known at K: the answers equal folding exactly the events that both clocks select, by the definition."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.deal import Deal, DealOpened, DealVoided, OwnerRevised
from domain.dwell import summarise
from domain.event import Knowledge, Recorded
from domain.money import plain
from domain.playbook import MacroStage
from domain.registry import evolve
from projections.engine.knowledge import known_by
from projections.engine.running import run_to_head
from projections.filters import Filters
from projections.funnel import cell, rollup, snapshot
from projections.playbook import MACRO_STAGES
from projections.visits import dwell
from tests.projections import loan_history
from tests.projections.conftest import Playground
from tests.projections.written_log import SPACE, Fact, playbook, recorded, stage
from tests.strategies import ACCOUNTS, MACRO, OWNERS, REGIONS, STAGES, START, histories, moments_of

macro_of: dict[str, MacroStage] = {**dict(zip(STAGES, MACRO, strict=True)), "after": "delivery_and_payment"}  # type: ignore[arg-type]
some_filters = st.builds(
    Filters, owner=st.sampled_from(OWNERS), account_id=st.sampled_from(ACCOUNTS), region=st.sampled_from(REGIONS)
) | st.builds(Filters, owners=st.frozensets(st.sampled_from([o for o in OWNERS if o])))  # fmt: skip
QUESTIONS = 8  # asked of each log
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def questions(log: list[Recorded]) -> st.SearchStrategy[tuple[datetime, datetime | None, Knowledge, Filters]]:
    """T, K, whose knowledge K is about, and filters, around the moments at which answers change."""
    filters = st.just(Filters()) | some_filters
    knowledges = st.sampled_from(get_args(Knowledge))
    return st.tuples(moments_of(log), st.none() | moments_of(log), knowledges, filters)


class Then:
    """A deal folded from the events that (T, K) select, and its visits, as plainly as can be."""

    def __init__(self, events: list[Recorded]) -> None:
        self.opened: DealOpened = events[0].event
        self.deal: Deal | None = None
        self.completed: list[tuple[str, timedelta, str | None]] = []
        self.entered: datetime | None = None
        for e in events:
            before, self.deal = self.deal, evolve(self.deal, e.event)
            was = before and before.status == "open" and before.stage
            now = self.deal.status == "open" and self.deal.stage
            if was and was != now:
                assert before is not None
                assert self.entered is not None
                self.completed.append((was, e.meta.occurred_at - self.entered, before.owner))
            if now and was != now:
                self.entered = e.meta.occurred_at

    @property
    def counts(self) -> bool:
        return self.deal is not None and self.deal.status not in ("voided", "merged")

    @property
    def open(self) -> bool:
        return self.deal is not None and self.deal.status == "open"

    def passes(self, f: Filters, owner: str | None) -> bool:
        return (
            f.owner in (None, owner)
            and (f.owners is None or owner in f.owners)
            and f.account_id in (None, self.opened.account_id)
            and f.region in (None, self.opened.region)
        )


def deals_then(
    log: list[Recorded], as_of: datetime, known_at: datetime | None, knowledge: Knowledge
) -> dict[UUID, Then]:
    selected: dict[UUID, list[Recorded]] = {}
    for e in log:
        of_a_deal_state = e.topic.startswith("deal.") and e.event.GROUP is not None
        known = e.recorded_at if knowledge == "witnessed" else e.known_at
        if of_a_deal_state and e.meta.occurred_at <= as_of and (known_at is None or known <= known_at):
            selected.setdefault(e.stream_id, []).append(e)
    return {deal: then for deal, events in selected.items() if (then := Then(events)).counts}


def figures(deals: Iterable[Then]) -> tuple[int, int, str]:
    found = list(deals)
    amounts = [t.deal.amount.amount for t in found if t.deal and t.deal.amount]
    customers = {t.opened.account_id for t in found} - {None}
    return len(found), len(customers), plain(sum(amounts, Decimal()))


@few
@given(log=histories(min_steps=15), data=st.data())
def test_a_snapshot_is_filter_then_fold(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    for _ in range(QUESTIONS):
        assert_figures(playground, log, *data.draw(questions(log)))


def assert_figures(
    playground: Playground,
    log: list[Recorded],
    as_of: datetime,
    known_at: datetime | None,
    knowledge: Knowledge,
    filters: Filters,
) -> None:
    found = {
        deal: t
        for deal, t in deals_then(log, as_of, known_at, knowledge).items()
        if t.open and t.deal and t.passes(filters, t.deal.owner)
    }
    with playground.connected() as conn, known_by(conn, knowledge):
        shown = snapshot(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
        rolled = rollup(conn, as_of=as_of, known_at=known_at, filters=filters)
        pages = paged(conn, as_of, known_at, filters)
    for row in shown.stages:
        expected = figures(t for t in found.values() if t.deal and t.deal.stage == row.stage)
        assert (row.deals, row.customers, row.amount) == expected
        assert row.macro_stage == macro_of[row.stage]
    assert [row.stage for row in shown.stages if row.stage != "after"] == STAGES
    assert (shown.total.deals, shown.total.customers, shown.total.amount) == figures(found.values())
    assert (shown.position, shown.as_of, shown.known_at) == (len(log), as_of, known_at)
    for macro in rolled.macro_stages:
        expected = figures(
            t for t in found.values() if t.deal and macro_of[t.deal.stage] == macro.macro_stage
        )
        assert (macro.deals, macro.customers, macro.amount) == expected
        assert macro.customers_at_furthest == furthest_customers(found.values(), macro.macro_stage)
    assert sum(m.customers_at_furthest for m in rolled.macro_stages) == shown.total.customers
    assert rolled.total == shown.total
    assert {d.deal_id for d in pages} == found.keys()
    assert len(pages) == len(found)


def furthest_customers(deals: Iterable[Then], macro_stage: str) -> int:
    furthest: dict[UUID, int] = {}
    for t in deals:
        if t.deal and t.opened.account_id:
            place = MACRO_STAGES.index(macro_of[t.deal.stage])
            furthest[t.opened.account_id] = max(place, furthest.get(t.opened.account_id, 0))
    return sum(place == MACRO_STAGES.index(macro_stage) for place in furthest.values())  # type: ignore[arg-type]


def paged(conn: Any, as_of: datetime, known_at: datetime | None, filters: Filters) -> list[Any]:
    """Every deal of every cell, two at a time."""
    found = []
    for macro_stage in MACRO_STAGES:
        after = None
        while page := cell(
            conn, "sales", as_of=as_of, known_at=known_at, macro_stage=macro_stage, filters=filters, after=after,
            limit=2,
        ):  # fmt: skip
            found.extend(page)
            amount = page[-1].amount
            after = (None if amount is None else Decimal(amount), page[-1].deal_id)
    return found


@few
@given(log=histories(min_steps=15), data=st.data())
def test_dwell_is_filter_then_fold(playground: Playground, log: list[Recorded], data: st.DataObject) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    for _ in range(QUESTIONS):
        assert_dwell(playground, log, *data.draw(questions(log)))


def assert_dwell(
    playground: Playground,
    log: list[Recorded],
    as_of: datetime,
    known_at: datetime | None,
    knowledge: Knowledge,
    filters: Filters,
) -> None:
    with playground.connected() as conn, known_by(conn, knowledge):
        shown = dwell(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
    deals = deals_then(log, as_of, known_at, knowledge).values()
    for row in shown.stages:
        completed = [
            microseconds(stay)
            for t in deals
            for stage, stay, owner in t.completed
            if stage == row.stage and t.passes(filters, owner)
        ]
        ages = [
            microseconds(as_of - t.entered)
            for t in deals
            if t.open
            and t.deal
            and t.entered
            and t.deal.stage == row.stage
            and t.passes(filters, t.deal.owner)
        ]
        expected = summarise(completed, ages)
        assert (row.completed_visits, row.open_visits) == (len(completed), len(ages))
        assert row.median_days == in_days(expected.median)
        assert row.mean_days == in_days(expected.mean)
        assert row.open_max_age_days == in_days(expected.open_max_age)
        assert row.kaplan_meier_p75_days == in_days(expected.kaplan_meier_p75)
    assert (shown.position, shown.formula) == (len(log), "dwell/1")


def microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def in_days(us: int | None) -> object:
    return None if us is None else pytest.approx(us / 86_400_000_000, abs=0.000_051)


DAY = timedelta(days=1)
DEAL = uuid5(SPACE, "handed over")


def open_visits(
    playground: Playground, as_of: datetime, known_at: datetime | None = None, **only: Any
) -> int:
    with playground.connected() as conn:
        shown = dwell(conn, "sales", as_of=as_of, known_at=known_at, filters=Filters(**only))
    return sum(s.open_visits for s in shown.stages)


def test_an_open_visit_belongs_to_the_owner_of_that_moment(playground: Playground) -> None:
    facts = playbook("sales", [stage("lead")])
    for day, event in enumerate(
        [DealOpened("sales", "lead", owner="ann"), OwnerRevised("ann", "bob"), OwnerRevised("bob", "cid")]
    ):
        facts.append(Fact(DEAL, event, START + day * DAY, START + (day + 10) * DAY, None))
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    for day, owner in enumerate(["ann", "bob", "cid"]):
        for other in ("ann", "bob", "cid"):
            assert open_visits(playground, START + day * DAY, owner=other) == (other == owner)
            assert open_visits(playground, START + 9 * DAY, START + (day + 10) * DAY, owner=other) == (
                other == owner
            )


def test_a_voided_deal_counts_until_both_clocks_reach_it(playground: Playground) -> None:
    facts = [
        *playbook("sales", [stage("lead")]),
        Fact(DEAL, DealOpened("sales", "lead"), START, START),
        Fact(DEAL, DealVoided("a test"), START + DAY, START + 5 * DAY),
    ]
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    assert open_visits(playground, START) == 1
    assert open_visits(playground, START + DAY) == 0
    assert open_visits(playground, START + DAY, START + 4 * DAY) == 1
    assert open_visits(playground, START + DAY, START + 5 * DAY) == 0


@pytest.mark.skipif(not loan_history.HISTORY.exists(), reason="the real history is not beside this project")
def test_the_real_funnel_gives_the_figures_computed_elsewhere(playground: Playground) -> None:
    playground.holding(recorded(loan_history.facts()))
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        november = snapshot(conn, "loan", as_of=datetime.fromisoformat("2011-11-01T00:00:00Z"))
        mid_november = snapshot(conn, "loan", as_of=datetime.fromisoformat("2011-11-15T00:00:00Z"))
        stays = dwell(conn, "loan", as_of=datetime.fromisoformat("2011-12-31T00:00:00Z"))
    assert [(s.stage, s.deals, s.amount) for s in november.stages] == [
        ("submitted", 4, "63500"),
        ("preaccepted", 126, "1700311"),
        ("accepted", 1, "12500"),
        ("offer_sent", 430, "6823607"),
        ("offer_returned", 119, "1727633"),
    ]
    assert (mid_november.total.deals, mid_november.total.amount) == (735, "11502877")
    found = {s.stage: (s.completed_visits, s.mean_days, s.median_days) for s in stays.stages}
    assert found["offer_sent"] == (2486, 12.5585, 9.6096)
    assert found["offer_returned"] == (1656, 4.0213, 3.2679)
    assert found["preaccepted"] == (3990, 2.1992, 0.1613)
