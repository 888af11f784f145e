"""F1 and F2 at (T, K) equal a slow, obvious recomputation from the events that both clocks select."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import organisation, playbook
from domain.calendar import parse_month
from domain.deal import Deal, DealOpened, DealWon
from domain.event import Actor, Recorded
from domain.forecast import EVENTUALLY, Figures, ManagerForecast, OpenDeal, WonDeal, forecast_table
from domain.forecast_sight import Sight, forecast_sight
from domain.manager_forecast import DealForecast, Forecast, ForecastSet, Seen, forecast_stream
from domain.money import Money, plain
from domain.playbook import CalendarSet, FunnelRevised, Names
from domain.registry import evolve
from projections.engine.running import run_to_head
from projections.filters import NO_FILTERS, Filters
from projections.forecast_audit_page import Asked, forecast_audit
from projections.forecast_rows import horizon, then
from projections.forecast_weeks import forecast_accuracy, forecast_weeks
from projections.forecasting import Lists, forecast
from tests.projections.conftest import Playground
from tests.projections.written_log import Fact, recorded, stage
from tests.projections.written_log import playbook as rules
from tests.strategies import ACCOUNTS, OWNERS, REGIONS, histories, moments_of

few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
ALL = Sight(any=True, owners=None)
MONTHS = ["2024-02", "2024-03", "2024-04"]
FIELDS = ("open_deals", "open_amount", "won_deals", "won", "f1_open", "f2_open", "f1_final", "f2_final")
some_filters = st.builds(
    Filters,
    owner=st.sampled_from(OWNERS),
    account_id=st.sampled_from(ACCOUNTS),
    region=st.sampled_from(REGIONS),
    product_line=st.sampled_from([None, "línea"]),
) | st.builds(Filters, owner=st.sampled_from(OWNERS))
"""Many filters at once, or one."""


class Slow:
    """Everything at (T, K) folded from the events that they select, and summed up deal by deal."""

    def __init__(self, log: list[Recorded], as_of: datetime, known_at: datetime | None) -> None:
        self.as_of = as_of
        self.events = [
            e for e in log if e.meta.occurred_at <= as_of and (known_at is None or e.known_at <= known_at)
        ]
        self.book = self.state(playbook.STREAM_ID)
        self.org = self.state(organisation.STREAM_ID) or organisation.EMPTY
        known = [e for e in log if known_at is None or e.known_at <= known_at]
        self.sets = [e.event for e in known if e.topic == "playbook.rate_set_adopted"]
        # a definition counts from the beginning, since imported history may be older
        first = next(e.event for e in log if e.topic == "playbook.funnel_defined")
        defined = self.book.funnels.get("sales") if self.book else None
        self.dated = defined.dated if defined else first.dated
        self.stall_after = {s.key: s.stall_after_days for s in (defined or first).stages}
        self.tz = ZoneInfo(self.book.time_zone) if self.book else UTC

    def state(self, stream: UUID) -> Any:
        state: Any = None
        for e in self.events:
            if e.stream_id == stream:
                state = evolve(state, e.event)
        return state

    def deals(self) -> Iterable[tuple[UUID, Deal]]:
        for stream in {e.stream_id for e in self.events if isinstance(e.event, DealOpened)}:
            deal = self.state(stream)
            if deal.status not in ("voided", "merged"):
                yield stream, deal

    def month(self, deal: Deal) -> str | None:
        if not self.dated:
            return EVENTUALLY
        return f"{deal.expected_close:%Y-%m}" if deal.expected_close else None

    def rate(self, deal_id: UUID, deal: Deal) -> Decimal | None:
        begun = [s for s in self.sets if s.effective_from <= self.as_of]
        if not begun:
            return None
        chosen = max(begun, key=lambda s: (s.effective_from, s.number))
        entered = [
            e.meta.occurred_at
            for e in self.events
            if e.stream_id == deal_id
            and e.topic in ("deal.opened", "deal.stage_advanced", "deal.stage_regressed", "deal.reopened")
        ][-1]
        age = "stalled" if self.as_of - entered > timedelta(days=self.stall_after[deal.stage]) else "fresh"
        return next((r.rate for r in chosen.rates if r.stage == deal.stage and r.age in (None, age)), None)

    def won_in(self, deal_id: UUID) -> str:
        won = [e.meta.occurred_at for e in self.events if e.stream_id == deal_id and e.topic == "deal.won"]
        return f"{won[-1].astimezone(self.tz):%Y-%m}" if self.dated else EVENTUALLY

    def rows(self) -> list[OpenDeal | WonDeal]:
        """Every deal as the definition of a forecast takes it."""
        found: list[OpenDeal | WonDeal] = []
        for deal_id, deal in self.deals():
            amount = deal.amount.amount if deal.amount else None
            team = self.org.team_of.get(deal.owner) if deal.owner else None
            if deal.status == "won":
                found.append(WonDeal(deal_id, deal.owner, team, deal.stage, amount, self.won_in(deal_id)))
            elif deal.status == "open":
                last = (self.state(forecast_stream(deal_id)) or DealForecast()).in_force(deal)
                forecast = ManagerForecast(last.month, last.amount.amount) if last else None
                found.append(
                    OpenDeal(
                        deal_id, deal.owner, team, deal.stage, amount, deal.expected_close, forecast,
                        self.rate(deal_id, deal), self.dated,
                    )
                )  # fmt: skip
        return found

    def passes(self, wanted: Filters, deal_id: UUID, deal: Deal) -> bool:
        opened = next(e.event for e in self.events if e.stream_id == deal_id and e.topic == "deal.opened")
        has = {name: getattr(opened, name) for name in ("account_id", "region", "product_line")}
        has["owner"] = deal.owner
        asked = {name: value for name in has if (value := getattr(wanted, name)) is not None}
        return asked.items() <= has.items() and (wanted.owners is None or deal.owner in wanted.owners)

    def figures(self, months: Iterable[str], wanted: Filters = NO_FILTERS) -> dict[str, Any]:
        months, f1, f2, won = set(months), Decimal(0), Fraction(0), Decimal(0)
        expected = weighed = 0
        for deal_id, deal in self.deals():
            if not self.passes(wanted, deal_id, deal):
                continue
            amount = deal.amount.amount if deal.amount else None
            if deal.status == "won" and self.won_in(deal_id) in months:
                won += amount or 0
            if deal.status != "open" or self.month(deal) not in months:
                continue
            expected += 1
            standing = (self.state(forecast_stream(deal_id)) or DealForecast()).in_force(deal)
            if standing and standing.month == self.month(deal):
                f1 += standing.amount.amount
            rate = self.rate(deal_id, deal)
            if amount is not None and rate is not None:
                weighed += 1
                f2 += Fraction(amount) * Fraction(rate)
        computed = f2 if weighed or not expected else None
        return {
            "open_deals": expected,
            "won": plain(won),
            "f1_open": plain(f1),
            "f2_open": computed,
            "f2_final": None if computed is None else computed + Fraction(won),
        }


def shown(figures: Any) -> dict[str, Any]:
    exact = {name: getattr(figures, name) for name in ("f2_open", "f2_final")}
    return {
        "open_deals": figures.open_deals,
        "won": figures.won,
        "f1_open": figures.f1_open,
        **{name: None if value is None else Fraction(value) for name, value in exact.items()},
    }


@few
@given(log=histories(min_steps=25), data=st.data())
def test_f1_and_f2_are_filter_then_fold(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    for _ in range(6):
        as_of, known_at = data.draw(moments_of(log)), data.draw(st.none() | moments_of(log))
        wanted, slow = data.draw(some_filters), Slow(log, as_of, known_at)
        with playground.connected() as conn:
            at = then(conn, "sales", as_of, known_at)
            assert (at.funnel.dated, at.org) == (slow.dated, slow.org)
            for month in MONTHS if slow.dated else [EVENTUALLY]:
                table = forecast(conn, at, horizon(at, month), ALL, filters=wanted)
                assert shown(table.total) == slow.figures([month], wanted)
                for team in table.by_team:
                    people = {p for p, of in slow.org.team_of.items() if of == team.team}
                    assert team.headcount == len(people)
                    if team.team is not None:
                        assert shown(team) == slow.figures([month], of_people(wanted, people))
            if slow.dated:
                quarter = forecast(conn, at, horizon(at, quarter="FY2024-Q1"), ALL, filters=wanted)
                if at.fiscal_year_start == 1:
                    assert shown(quarter.total) == slow.figures(["2024-01", *MONTHS[:2]], wanted)


def of_people(wanted: Filters, people: set[str]) -> Filters:
    return msgspec.structs.replace(wanted, owners=frozenset(people))


@few
@given(log=histories(min_steps=25), wanted=some_filters, team=st.sampled_from([None, "all", "north"]))
def test_a_week_of_the_curve_is_the_forecast_as_it_was_shown_at_its_end(
    playground: Playground, log: list[Recorded], wanted: Filters, team: str | None
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        at = then(conn, "sales", log[-1].recorded_at + timedelta(days=20), None)
        asked = horizon(at, "2024-03") if at.funnel.dated else horizon(at)
        curve = forecast_weeks(conn, at, asked, ALL, filters=wanted, team=team)
        for week in curve.weeks:
            then_ = then(conn, "sales", week.as_of, week.as_of)
            if then_.funnel.dated == at.funnel.dated and (team is None or team in then_.org.teams):
                shown_then = forecast(conn, then_, asked, ALL, filters=wanted, team=team).total
                assert {n: getattr(week, n) for n in FIELDS} == {n: getattr(shown_then, n) for n in FIELDS}


@few
@given(log=histories(min_steps=25), data=st.data())
def test_every_group_and_every_list_is_that_of_the_definition(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    for _ in range(4):
        as_of, known_at = data.draw(moments_of(log)), data.draw(st.none() | moments_of(log))
        slow = Slow(log, as_of, known_at)
        with playground.connected() as conn:
            at = then(conn, "sales", as_of, known_at)
            asked = (
                horizon(at, quarter=data.draw(st.sampled_from([None, "FY2024-Q1"])))
                if slow.dated
                else horizon(at)
            )
            wanted = data.draw(some_filters)
            told = forecast(conn, at, asked, ALL, filters=wanted)
        rows = [row for row in slow.rows() if slow.passes(wanted, row.deal, slow.state(row.deal))]
        table = forecast_table(
            asked.months,
            [row for row in rows if isinstance(row, OpenDeal)],
            [row for row in rows if isinstance(row, WonDeal)],
            at.today,
        )
        assert told.lists == Lists(**msgspec.structs.asdict(table.lists))
        for groups, defined in ((told.by_stage, table.by_stage), (told.by_owner, table.by_owner)):
            assert [(g.key, *shown(g).values()) for g in groups] == [
                (g.key, *exactly(g.figures).values()) for g in defined
            ]


def exactly(figures: Figures) -> dict[str, Any]:
    """As `shown`, of the definition."""
    return {
        "open_deals": figures.open_deals,
        "won": plain(figures.won),
        "f1_open": plain(figures.f1_open),
        "f2_open": None if figures.f2_open is None else Fraction(figures.f2_open),
        "f2_final": None if figures.f2_final is None else Fraction(figures.f2_final),
    }


@few
@given(log=histories(min_steps=25))
def test_every_event_of_a_forecast_has_exactly_one_row_of_the_audit(
    playground: Playground, log: list[Recorded]
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    now = log[-1].recorded_at + timedelta(days=30)
    with playground.connected() as conn:
        found = forecast_audit(conn, Asked(), ALL, as_of=now, limit=1000)
        pages: list[Any] = []
        while page := forecast_audit(
            conn, Asked(), ALL, as_of=now, after=pages[-1].position if pages else None, limit=3
        ):
            pages.extend(page)
        backwards = forecast_audit(conn, Asked(), ALL, as_of=now, newest_first=True, limit=1000)
        blind = forecast_audit(conn, Asked(), forecast_sight(Actor("x", "rep", "t"), organisation.EMPTY), as_of=now,
                               limit=1000)  # fmt: skip
    assert pages == found == backwards[::-1]
    by_event = {e.meta.event_id: e for e in log}
    of_forecasts = [e.meta.event_id for e in log if e.topic.startswith("forecast.")]
    assert [entry.event_id for entry in found if entry.kind == "F1"] == of_forecasts
    for entry in found:
        e = by_event[entry.event_id]
        assert (entry.position, entry.recorded_at, entry.actor_id) == (e.position, e.recorded_at, "rep-1")
        if entry.kind == "F1":
            previous = e.event.previous
            assert entry.old == (previous and plain(previous.amount.amount))
            assert entry.context == e.event.seen
            assert entry.reason == e.event.reason
    assert [entry.event_id for entry in blind] == [e.event_id for e in found if e.kind == "F2"]
    assert not any("f1" in key for entry in blind for key in told(entry))


def told(entry: Any) -> set[str]:
    return set(msgspec.json.decode(msgspec.json.encode(entry)))


@few
@given(log=histories(min_steps=25), month=st.sampled_from([None, *MONTHS]))
def test_each_row_of_the_audit_says_what_the_deal_added_before_and_after(
    playground: Playground, log: list[Recorded], month: str | None
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        found = forecast_audit(conn, Asked(month=month), ALL, as_of=log[-1].recorded_at, limit=1000)
    for entry in found:
        if entry.deal_id is None:
            continue
        e = log[entry.position - 1]
        for place, f1, f2 in (
            (entry.position - 1, entry.f1_before, entry.f2_before),
            (entry.position, entry.f1_after, entry.f2_after),
        ):
            assert (f1, f2 and Fraction(f2)) == added(log, e, place, entry.deal_id, month)


def added(log: list[Recorded], e: Recorded, place: int, deal_id: UUID, asked: str | None) -> tuple[Any, Any]:
    """What the deal as of this place in the log adds to F1 and F2, by the rules from when the event was shown."""
    shown_at = max(e.meta.occurred_at, e.known_at)
    slow = Slow(log, shown_at, shown_at)
    slow.events = log[:place]
    deal = slow.state(deal_id)
    month = slow.month(deal) if deal else None
    if deal is None or deal.status != "open" or month is None or asked not in (None, month):
        return "0", Fraction(0)
    standing = (slow.state(forecast_stream(deal_id)) or DealForecast()).in_force(deal)
    f1 = standing.amount.amount if standing and standing.month == month else Decimal(0)
    rate = slow.rate(deal_id, deal)
    return plain(f1), None if deal.amount is None or rate is None else Fraction(
        deal.amount.amount
    ) * Fraction(rate)


def test_the_weeks_of_a_month_keep_their_local_boundaries(playground: Playground) -> None:
    """Berlin's clock goes forward within March 2024."""
    log = _berlin()
    playground.holding(log)
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        at = then(conn, "sales", datetime(2024, 4, 3, tzinfo=UTC), None)
        curve = forecast_weeks(conn, at, horizon(at, "2024-03"), ALL)
    ends = [(w.as_of + timedelta(microseconds=1)).astimezone(ZoneInfo("Europe/Berlin")) for w in curve.weeks]
    assert {(end.hour, end.weekday()) for end in ends} == {(0, 0)}
    assert [w.week for w in curve.weeks] == [f"2024-W{n:02}" for n in range(1, 14)]
    assert (curve.weeks[-1].won, curve.actual, curve.over) == ("100", "100", True)


def test_the_last_week_of_a_month_begins_at_local_midnight(playground: Playground) -> None:
    """Seven days before April 2024 in Berlin, one of which has 23 hours."""
    midnight = datetime(2024, 3, 24, 23, tzinfo=UTC)
    playground.holding(_berlin(midnight - timedelta(microseconds=1), midnight))
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        at = then(conn, "sales", datetime(2024, 4, 3, tzinfo=UTC), None)
        (row, *_) = forecast_accuracy(conn, at, [parse_month("2024-03", at.tz)], ALL).groups
    assert (row.changes, row.changes_in_last_week) == (2, 1)


def _berlin(*forecasts: datetime) -> list[Recorded]:
    """A deal won in the last second of March in Berlin, and forecast for it at these moments."""
    deal, start = UUID(int=5), datetime(2024, 1, 10, tzinfo=UTC)
    won = datetime(2024, 3, 31, 21, 59, 59, tzinfo=UTC)
    facts = rules("sales", [stage("lead")], start)
    facts.append(Fact(playbook.STREAM_ID, CalendarSet("Europe/Berlin", 1), start, start))
    revised = FunnelRevised("sales", Names("Sales"), True, (stage("lead"),))
    facts.append(Fact(playbook.STREAM_ID, revised, start, start))
    opened = DealOpened("sales", "lead", amount=Money(Decimal(100), "EUR"), expected_close=date(2024, 3, 31))
    facts.append(Fact(deal, opened, start, start))
    seen = Seen(1, 0, "sales", "lead", None, None, None, None, None, None, ())
    expected = ForecastSet(
        deal, Forecast("2024-03", Money(Decimal(90), "EUR")), None, "so they said", False, seen
    )
    facts.extend(Fact(forecast_stream(deal), expected, at, at, None, deal) for at in forecasts)
    facts.append(Fact(deal, DealWon("lead"), won, won))
    return recorded(facts)
