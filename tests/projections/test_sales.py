"""The questions of a sales week equal a slow, obvious recomputation from the raw events, at any (T, K)."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from domain import deal as d
from domain.calendar import month_of, time_zone, week_of, weeks_between
from domain.deal.rating import Result
from domain.event import Recorded
from domain.money import plain
from domain.pipeline import CohortDeal, conversion, dwell_alert, flow, norm_of, state_of
from domain.playbook import EMPTY, STREAM_ID, Playbook, grade_group
from domain.playbook import evolve as evolve_playbook
from domain.registry import evolve
from domain.relations import depth
from domain.win_rate import Change, RatedDeal, drop, roll_up
from projections.cohort_series import Every, cohort_series
from projections.cohorts import cohort
from projections.deal_contacts import deal_contacts
from projections.deal_teams import deal_team
from projections.dwell_alerts import overdue_deals
from projections.engine.catalogue import catalogue
from projections.engine.digests import digest, replay
from projections.engine.rebuilding import rebuild
from projections.engine.running import run_to_head
from projections.filters import Filters
from projections.funnel import snapshot
from projections.hygiene import stale
from projections.pipeline import open_deals, state_flow, states
from projections.process import checklist
from projections.visits import dwell
from projections.win_rate_weeks import alerts, curve, last_weeks, weekly
from projections.win_rates import NOTHING_KNOWN, comparison
from tests.projections.conftest import Playground
from tests.projections.sales_histories import ACCOUNT, OWNERS, STAGES, START, sales_history

QUESTIONS = 6  # asked of each log
MICROSECOND = timedelta(microseconds=1)
seeds = given(seed=st.integers(0, 10**9))
few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
OURS = (
    "win_rates", "process", "accounts", "contacts", "deal_teams", "visits", "funnel", "playbook", "deals", "timeline",
)  # fmt: skip
_COMPARISON = "comparison"


class Then:
    """What the events that (T, K) select say, as plainly as can be."""

    def __init__(self, log: list[Recorded], as_of: datetime, known_at: datetime | None) -> None:
        self.as_of = as_of
        self.events: dict[UUID, list[Recorded]] = defaultdict(list)
        for e in log:
            if e.meta.occurred_at <= as_of and (known_at is None or e.known_at <= known_at):
                self.events[e.stream_id].append(e)
        self.book: Playbook = EMPTY
        for e in self.events.pop(STREAM_ID, []):
            self.book = evolve_playbook(self.book, e.event)
        self.events.pop(ACCOUNT, None)
        self.deals: dict[UUID, OneDeal] = {}
        self.of_deals: list[list[Recorded]] = []
        """The events of every deal that is not gone; activities may lie before its opening."""
        for deal_id, events in self.events.items():
            if not isinstance(events[0].event, d.DealOpened):
                self.of_deals.append(events)
                continue
            deal = OneDeal(events)
            if deal.state.status not in ("voided", "merged"):
                self.deals[deal_id] = deal
                self.of_deals.append(events)

    @property
    def zone(self) -> Any:
        return time_zone(self.book.time_zone)

    def open(self, filters: Filters = Filters()) -> dict[UUID, "OneDeal"]:  # noqa: B008
        return {
            i: deal
            for i, deal in self.deals.items()
            if deal.state.status == "open" and passes(filters, deal.state.owner, deal.state.grade)
        }


def passes(filters: Filters, owner: str | None, grade: str | None) -> bool:
    return (
        filters.owner in (None, owner)
        and filters.grade in (None, grade)
        and (filters.owners is None or owner in filters.owners)
    )


class OneDeal:
    """A deal folded from its selected events."""

    def __init__(self, events: list[Recorded]) -> None:
        self.events = events
        self.state: d.Deal
        state: Any = None
        self.opened_at = events[0].meta.occurred_at
        self.entered_at = self.opened_at
        self.closed_at: datetime | None = None
        self.stages: set[str] = set()
        self.completed: list[tuple[str, str | None, datetime, timedelta]] = []
        self.left: list[tuple[str, str | None, str | None]] = []
        """Of every completed visit the stage, and owner and grade at leaving."""
        for e in events:
            before, state = state, evolve(state, e.event)
            was = before is not None and before.status == "open" and before.stage
            now = state.status == "open" and state.stage
            if was and was != now:
                self.completed.append(
                    (was, before.grade, e.meta.occurred_at, e.meta.occurred_at - self.entered_at)
                )
                self.left.append((was, before.owner, before.grade))
                self.closed_at = e.meta.occurred_at
            if now and was != now:
                self.entered_at = e.meta.occurred_at
                self.stages.add(now)
        self.state = state

    @property
    def results(self) -> list[tuple[Recorded, Result]]:
        return [(e, e.event.result) for e in self.events if e.event.GROUP == _COMPARISON]

    @property
    def win_rate(self) -> Any:
        return self.results[-1][1].win_rate if self.results else NOTHING_KNOWN


FILTERS = (
    Filters(),
    *(Filters(owner=owner) for owner in OWNERS),
    *(Filters(grade=grade) for grade in ("A", "C")),
    *(Filters(owners=frozenset(people)) for people in ((), ("ann",), ("ann", "bob"))),
    Filters(owner="ann", grade="C", owners=frozenset({"ann"})),
)


def asked(
    playground: Playground, seed: int
) -> Iterator[tuple[Any, list[Recorded], datetime, datetime | None, Filters]]:
    """Several questions of one log: T, K and filters, around the moments at which answers change."""
    log, choose = sales_history(seed), Random(seed)
    playground.holding(log)
    run_to_head(playground.app_url, projections=[catalogue()[name] for name in OURS])
    clocks = sorted(
        {START} | {e.meta.occurred_at for e in log} | {e.known_at for e in log if e.known_at > START}
    )
    near = [-MICROSECOND, timedelta(), MICROSECOND, timedelta(days=8)]
    with playground.connected() as conn:
        for number in range(QUESTIONS):
            as_of = choose.choice(clocks[len(clocks) // 2 :] if number % 2 else clocks) + choose.choice(near)
            known_at = choose.choice([None, choose.choice(clocks) + choose.choice(near)])
            filters = choose.choice(FILTERS)
            yield conn, log, max(as_of, START - timedelta(days=30)), known_at, filters


@few
@seeds
def test_live_rebuilt_and_replayed_are_the_same(playground: Playground, seed: int) -> None:
    log = sales_history(seed)
    ours = [catalogue()[name] for name in OURS]
    expected = replay(log, ours)
    playground.holding(log)
    run_to_head(playground.app_url, projections=ours, batch_events=7)
    with playground.connected() as conn:
        assert {p.name: digest(conn, p) for p in ours} == expected
        rebuild(playground.app_url, projections=ours, processes=1, range_events=10)
        assert {p.name: digest(conn, p) for p in ours} == expected


@few
@seeds
def test_funnel_and_dwell_are_of_the_owners_and_grades_of_the_moment(
    playground: Playground, seed: int
) -> None:
    for conn, log, as_of, known_at, filters in asked(playground, seed):
        then = Then(log, as_of, known_at)
        stages = [deal.state.stage for deal in then.open(filters).values()]
        shown = snapshot(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
        assert {row.stage: row.deals for row in shown.stages if row.deals} == Counter(stages)
        dwelt = dwell(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
        assert {row.stage: row.open_visits for row in dwelt.stages if row.open_visits} == Counter(stages)
        completed = Counter(
            stage
            for deal in then.deals.values()
            for stage, owner, grade in deal.left
            if passes(filters, owner, grade)
        )
        found = {row.stage: row.completed_visits for row in dwelt.stages if row.completed_visits}
        assert found == completed


@few
@seeds
def test_the_comparison_now_is_what_all_events_say(playground: Playground, seed: int) -> None:
    for conn, log, *_ in islice(asked(playground, seed), 1):
        for deal_id, events in Then(log, max(e.meta.occurred_at for e in log), None).events.items():
            deal, shown = OneDeal(events), comparison(conn, deal_id)
            standing, us = deal.state.standing, deal.state.standing.us
            assert shown.win_rate == deal.win_rate
            assert set(shown.unconfirmed) == standing.unconfirmed
            assert (shown.compelling_event is not None) == standing.compelling_event
            assert (shown.inside_source is not None) == standing.inside_source
            assert (shown.sole_source is not None) == standing.sole_source
            assert (shown.us.need_fit, shown.us.relationship) == (
                (us.need_fit, us.relationship) if us else (None, None)
            )
            assert {c.party: (c.need_fit, c.relationship) for c in shown.competitors} == {
                key: (a.need_fit, a.relationship) if a else (None, None)
                for key, a in standing.competitors.items()
            }
            for party in (shown.us, *shown.competitors):
                if party.assessed_at is not None:
                    assert (party.confirmed_at is None) == (party.party in standing.unconfirmed)


@few
@seeds
def test_a_curve_tells_each_week_what_was_in_force_at_its_end(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, _ in asked(playground, seed):
        then = Then(log, as_of, known_at)
        for deal_id in {e.stream_id for e in log if isinstance(e.event, d.DealOpened)}:
            shown = curve(conn, deal_id, as_of=as_of, known_at=known_at)
            deal = then.deals.get(deal_id)
            if deal is None:
                assert shown.weeks == []
                continue
            until = as_of if deal.state.status == "open" else deal.closed_at
            assert until is not None
            weeks = weeks_between(deal.opened_at, until, then.zone)
            assert [(w.week, w.start, w.end) for w in shown.weeks] == [
                (w.label, w.start, w.end) for w in weeks
            ]
            for week in shown.weeks:
                assert_week(
                    week, OneDeal([e for e in deal.events if e.meta.occurred_at < week.end]), then.zone
                )


def assert_week(week: Any, at_end: OneDeal, zone: Any) -> None:
    results = at_end.results
    rate = results[-1][1].win_rate if results else NOTHING_KNOWN
    assert (week.status, week.value, week.gates) == (rate.status, rate.value, rate.gates)
    assert week.unconfirmed == (results[-1][1].unconfirmed if results else ())
    assert week.refreshed == any(week.start <= e.meta.occurred_at < week.end for e, _ in results)
    moved, before = None, ("not_computed", None)
    for e, result in results:
        if (result.win_rate.status, result.win_rate.value) != before:
            moved, before = e.version, (result.win_rate.status, result.win_rate.value)
    assert (week.moved_by.version if week.moved_by else None) == moved
    assessing = (d.OurPositionAssessed, d.CompetitorAssessed)
    assessed = [e.meta.occurred_at for e, _ in results if isinstance(e.event, assessing)]
    if not assessed:
        assert week.weeks_since_assessed is None
        return
    since, of = 0, week_of(week.start, zone)
    while not of.start <= assessed[-1] < of.end:
        since, of = since + 1, week_of(of.start - MICROSECOND, zone)
    assert week.weeks_since_assessed == since


@few
@seeds
def test_weekly_win_rates_are_rolled_up_over_the_deals_open_at_each_weeks_end(
    playground: Playground, seed: int
) -> None:
    for conn, log, as_of, known_at, filters in asked(playground, seed):
        shown = weekly(conn, "sales", as_of=as_of, known_at=known_at, filters=filters, weeks=7)
        periods = last_weeks(as_of, Then(log, as_of, known_at).zone, 7)
        assert len(shown.weeks) == 7
        for week, period in zip(shown.weeks, periods, strict=True):
            then = Then(log, min(period.as_of, as_of), known_at).open(filters).values()
            expected = roll_up(
                RatedDeal(deal.state.amount.amount if deal.state.amount else None, deal.win_rate.value)
                for deal in then
            )
            assert (week.week, week.deals) == (period.label, len(then))
            assert (week.with_number, week.mean, week.amount, week.without_amount, week.not_computed) == (
                expected.with_number, expected.mean, plain(expected.amount), expected.without_amount,
                expected.not_computed,
            )  # fmt: skip


@few
@seeds
def test_alerts_are_the_falls_of_open_deals(playground: Playground, seed: int) -> None:
    two_weeks, raised = timedelta(days=14), 0
    for conn, log, _, known_at, filters in islice(asked(playground, seed), 3):
        falls = [
            e.meta.occurred_at + wait
            for deal in Then(log, max(e.meta.occurred_at for e in log), None).deals.values()
            for (_, before), (e, after) in pairwise(deal.results)
            if (before.win_rate.value or 0) - (after.win_rate.value or 1) >= Decimal("0.1")
            for wait in (timedelta(), two_weeks, two_weeks + MICROSECOND)
        ]
        for as_of in falls[:9]:
            _, shown = alerts(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
            expected = {}
            for deal_id, deal in Then(log, as_of, known_at).open(filters).items():
                changes = [Change(e.meta.occurred_at, r.win_rate.value) for e, r in deal.results]
                if fall := drop(changes, as_of):
                    expected[deal_id] = (fall.before, fall.before_since, fall.now, fall.now_since, fall.fall)
            found = {a.deal_id: (a.before, a.before_since, a.now, a.now_since, a.fall) for a in shown}
            assert found == expected
            assert [a.fall for a in shown] == sorted((a.fall for a in shown), reverse=True)
            raised += len(shown)
    event(f"alerts: {min(raised, 1)}")


def states_then(then: Then, filters: Filters) -> dict[UUID, Any]:
    found = {}
    for deal_id, deal in then.open(filters).items():
        stage = next(s for s in then.book.funnels["sales"].stages if s.key == deal.state.stage)
        asks = then.book.checklist("sales", stage.key)
        missing = (
            sum((stage.key, item) not in deal.state.ticked for item in asks.required())
            if asks.items
            else None
        )
        age = (then.as_of - deal.entered_at) // MICROSECOND
        found[deal_id] = (
            state_of(age, stage.stall_after_days, stage.lose_after_days, missing),
            missing,
            deal,
        )
    return found


@few
@seeds
def test_open_deals_are_in_the_state_of_their_age_and_checklist(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, filters in asked(playground, seed):
        expected = states_then(Then(log, as_of, known_at), filters)
        _, shown = open_deals(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
        assert {s.deal_id: (s.state, s.age_state, s.required_open, s.entered_at, s.grade) for s in shown} == {
            i: (s.state, s.age_state, missing, deal.entered_at, deal.state.grade)
            for i, (s, missing, deal) in expected.items()
        }
        summary = states(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
        assert [row.stage for row in summary.stages] == STAGES
        for row in summary.stages:
            for state in ("entered", "stalled", "pending_loss", "pending_advance"):
                deals = [
                    x for s, _, x in expected.values() if s.state == state and x.state.stage == row.stage
                ]
                amounts = [x.state.amount.amount for x in deals if x.state.amount]
                assert getattr(row, state) == len(deals)
                assert getattr(row, f"{state}_amount") == plain(sum(amounts, Decimal()))


@few
@seeds
def test_the_flow_leads_from_one_weeks_states_to_the_nexts(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, filters in asked(playground, seed):
        shown = state_flow(conn, "sales", as_of=as_of, known_at=known_at, filters=filters, weeks=3)
        for week in shown.weeks:
            ends = (week.start - MICROSECOND, min(week.end - MICROSECOND, as_of))
            before, after = (
                {str(i): s.state for i, (s, _, _) in states_then(Then(log, end, known_at), filters).items()}
                for end in ends
            )
            assert tuple(week.flows) == flow(before, after)


@few
@seeds
def test_dwell_alerts_compare_with_the_visits_of_a_year(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, filters in asked(playground, seed):
        then = Then(log, as_of, known_at)
        completed, ages = defaultdict(list), defaultdict(list)
        for deal in then.deals.values():
            for stage, grade, left_at, duration in deal.completed:
                if left_at > as_of - timedelta(days=365):
                    completed[stage, grade_group(grade)].append(duration // MICROSECOND)
        for deal in then.open().values():
            cell = deal.state.stage, grade_group(deal.state.grade)
            ages[cell].append((as_of - deal.entered_at) // MICROSECOND)
        expected = {}
        for deal_id, deal in then.open(filters).items():
            cell = deal.state.stage, grade_group(deal.state.grade)
            norm = norm_of(completed[cell], ages[cell], 14)
            if alert := dwell_alert((as_of - deal.entered_at) // MICROSECOND, norm):
                expected[deal_id] = (
                    alert.visits,
                    alert.norm_source,
                    alert.kaplan_meier_percentile,
                    alert.in_default,
                )
        for full in (True, False):
            at = {"as_of": as_of, "known_at": known_at, "filters": filters, "full": full}
            _, found, shown = overdue_deals(conn, "sales", **at)
            assert {
                a.deal_id: (a.visits, a.norm_source, a.kaplan_meier_percentile, a.in_default) for a in shown
            } == {i: alert for i, alert in expected.items() if full or alert[-1]}
            assert [(a.entered_at, a.deal_id) for a in shown] == sorted(
                (a.entered_at, a.deal_id) for a in shown
            )
            assert found == len(shown)
            for n, alert in enumerate(shown):
                place = (alert.entered_at, alert.deal_id)
                assert overdue_deals(conn, "sales", **at, after=place, limit=2)[1:] == (
                    found,
                    shown[n + 1 : n + 3],
                )


@few
@seeds
def test_a_cohort_converts_as_its_deals_did(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, filters in asked(playground, seed):
        then = Then(log, as_of, known_at)
        deals = [
            CohortDeal(
                deal.opened_at,
                deal.stages,
                deal.closed_at if deal.state.status == "won" else None,
                deal.state.status == "open",
            )
            for deal in then.deals.values()
            if passes(filters, deal.state.owner, deal.state.grade)
        ]
        expected = conversion(deals, STAGES, as_of, then.zone, then.book.cohort_window_weeks)
        shown = cohort(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
        assert (shown.window_weeks, shown.window_source, shown.wins) == (
            expected.window.weeks, expected.window.source, expected.window.wins,
        )  # fmt: skip
        for figures, wanted in ((shown.current, expected.current), (shown.previous, expected.previous)):
            for field in figures.__struct_fields__:
                assert getattr(figures, field) == getattr(wanted, field)
        assert [(s.reached, s.share, s.step, s.skipped) for s in shown.stages] == [
            (s.reached, s.share, s.step, s.skipped) for s in expected.current.stages
        ]
        assert [s.previous_reached for s in shown.stages] == [s.reached for s in expected.previous.stages]


@few
@seeds
def test_a_series_of_cohorts_stands_beside_one_that_stays_as_it_was_shown(
    playground: Playground, seed: int
) -> None:
    every: tuple[Every, ...] = ("week", "month")
    for n, (conn, log, as_of, known_at, filters) in enumerate(asked(playground, seed)):
        zone, holding = Then(log, as_of, known_at).zone, (week_of, month_of)[n % 2]
        told = cohort_series(
            conn, "sales", as_of=as_of, known_at=known_at, filters=filters, every=every[n % 2], points=3
        )
        assert told.points[-1].period == holding(as_of, zone).label
        for before, after in pairwise(told.points):
            following = holding(before.end + MICROSECOND, zone)
            assert (following.start - MICROSECOND, following.label) == (before.end, after.period)
        assert told.baseline == holding(told.points[0].end, zone).start - MICROSECOND
        kept = cohort(
            conn,
            "sales",
            as_of=told.baseline,
            known_at=min(told.baseline, known_at or told.baseline),
            filters=filters,
        )
        assert told.baseline_deals == kept.current.deals
        for point in told.points:
            then = cohort(conn, "sales", as_of=point.end, known_at=known_at, filters=filters)
            assert (point.deals, point.won_share) == (then.current.deals, then.current.won_share)
            assert point.baseline_won_share == kept.current.won_share
            assert [(s.stage, s.reached, s.share, s.baseline_share) for s in point.stages] == [
                (s.stage, s.reached, s.share, old.share)
                for s, old in zip(then.stages, kept.stages, strict=True)
            ]


@few
@seeds
def test_a_deal_is_stale_when_nobody_stood_by_it_this_week(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, filters in asked(playground, seed):
        then = Then(log, as_of, known_at)
        week = week_of(as_of, then.zone)
        expected = set()
        for deal_id, deal in then.open(filters).items():
            said = [e for e in deal.events if e.meta.occurred_at >= week.start]
            whole = any(isinstance(e.event, d.DealOpened | d.DealConfirmed) for e in said)
            amount = any(isinstance(e.event, d.AmountRevised) for e in said)
            close = any(isinstance(e.event, d.ExpectedCloseRevised) for e in said)
            if not (whole or (amount and close)):
                expected.add(deal_id)
        _, every, shown_week, shown = stale(conn, "sales", as_of=as_of, known_at=known_at, filters=filters)
        assert {deal.deal_id for deal in shown} == expected
        assert (every, shown_week) == (len(then.open(filters)), week)


@few
@seeds
def test_a_checklist_tells_what_is_ticked_and_what_is_missing(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, _ in asked(playground, seed):
        then = Then(log, as_of, known_at)
        for deal_id, deal in then.deals.items():
            shown = checklist(conn, deal_id, as_of=as_of, known_at=known_at)
            assert {(i.stage, i.item) for i in shown.items if i.ticked_at} == deal.state.ticked
            for asks in shown.stages:
                required = then.book.checklist("sales", asks.stage).required()
                missing = [item for item in required if (asks.stage, item) not in deal.state.ticked]
                assert (asks.required, asks.required_open) == (len(required), len(missing))
                assert asks.review == deal.state.reviews.get(asks.stage)
            assert (shown.grades[-1].grade if shown.grades else None) == deal.state.grade


@few
@seeds
def test_the_deal_team_is_who_joined_and_did_not_leave(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, _ in asked(playground, seed):
        for deal_id, deal in Then(log, as_of, known_at).deals.items():
            shown = deal_team(conn, deal_id, as_of=as_of, known_at=known_at)
            assert {p.person: p.department for p in shown.people} == deal.state.team


@few
@seeds
def test_the_people_of_a_deal_and_how_deep_the_interaction_goes(playground: Playground, seed: int) -> None:
    for conn, log, as_of, known_at, _ in asked(playground, seed):
        then = Then(log, as_of, known_at)
        rules = then.book.depth_rules
        for deal_id, deal in then.deals.items():
            shown = deal_contacts(conn, deal_id, as_of=as_of, known_at=known_at)
            assert {
                c.contact_id: (c.decision_role, c.department, c.power, c.attitude, c.strategy)
                for c in shown.contacts
            } == {
                i: (c.decision_role, c.department, c.power, c.attitude, c.strategy)
                for i, c in deal.state.contacts.items()
            }
            for c in shown.contacts:
                here, face = met(then, [deal.events], c.contact_id)
                assert (c.two_way, c.face_to_face) == (here, face)
                assert c.depth == depth(here, face, rules)
                assert c.overall_depth == depth(*met(then, then.of_deals, c.contact_id), rules)


def met(then: Then, histories: list[list[Recorded]], person: UUID) -> tuple[int, int]:
    rules = then.book.depth_rules
    kinds = [
        e.event.kind
        for events in histories
        for e in events
        if isinstance(e.event, d.ActivityLogged)
        and person in e.event.contacts
        and e.meta.occurred_at > then.as_of - timedelta(days=rules.window_days)
        and e.event.kind in rules.two_way
    ]
    return len(kinds), sum(kind in rules.face_to_face for kind in kinds)
