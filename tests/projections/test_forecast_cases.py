"""What moves F1 and F2, case by case: slipping, closing, reopening, voiding, merging, moving, and new rates."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec import UNSET

from domain.deal import (
    AmountRevised,
    DealAbandoned,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealReopened,
    DealTeamJoined,
    DealTeamLeft,
    DealVoided,
    DealWon,
    ExpectedCloseRevised,
    OwnerRevised,
    StageAdvanced,
)
from domain.event import Actor, Event
from domain.forecast_sight import Sight, forecast_sight
from domain.manager_forecast import Forecast, ForecastSet, ForecastWithdrawn, Seen, forecast_stream
from domain.money import Money
from domain.organisation import STREAM_ID as ORGANISATION
from domain.organisation import PersonJoined, TeamCreated
from domain.playbook import STREAM_ID, FunnelRevised, Names, RateSetAdopted, StageRate
from projections.engine.running import run_to_head
from projections.forecast_audit_page import Asked, AuditEntry, forecast_audit
from projections.forecast_moments import Moment, open_cells_at, thens
from projections.forecast_rows import horizon, then
from projections.forecast_stints import stints_of
from projections.forecasting import Forecast as Table
from projections.forecasting import forecast
from projections.organisation import organisation_at
from projections.rate_sets import rate_sets
from tests.projections.conftest import Playground
from tests.projections.written_log import Fact, playbook, recorded, stage

ALL = Sight(any=True, owners=None)
DEAL = UUID(int=77)
DAY = timedelta(days=1)
MAY, JUNE = date(2026, 5, 20), date(2026, 6, 20)
START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def euros(amount: int) -> Money:
    return Money(Decimal(amount), "EUR")


def rates(number: int, lead: str, offer: str, effective_from: datetime) -> RateSetAdopted:
    fresh_or_not = (
        StageRate("offer", "fresh", Decimal(offer)),
        StageRate("offer", "stalled", Decimal("0.05")),
    )
    both = (StageRate("lead", None, Decimal(lead)), *fresh_or_not)
    return RateSetAdopted(UUID(int=number), "sales", number, effective_from, both, None, "they fit")


def seen(closed_times: int) -> Seen:
    return Seen(1, closed_times, "sales", "lead", None, None, None, "ann", "north", None, ())


def expects(amount: int, closed_times: int = 0, month: str = "2026-05") -> ForecastSet:
    return ForecastSet(DEAL, Forecast(month, euros(amount)), None, "they said so", False, seen(closed_times))


class Told:
    """A deal of 1,000 in `lead`, expected in May, and what happens to it: one event a day, from day 1 on."""

    def __init__(self, playground: Playground, *events: Event) -> None:
        rules = [*playbook("sales", [stage("lead"), stage("offer")], START - DAY)]
        dated = FunnelRevised("sales", Names("Sales"), True, (stage("lead"), stage("offer")))
        rules.append(Fact(STREAM_ID, dated, START - DAY, START - DAY))
        rules.append(Fact(STREAM_ID, rates(1, "0.2", "0.5", START - DAY), START - DAY, START - DAY))
        people = (
            TeamCreated("north", "North", None, None),
            TeamCreated("south", "South", None, None),
            PersonJoined("ann", "north", None, None),
            PersonJoined("bob", "south", None, None),
        )
        rules.extend(Fact(ORGANISATION, event, START - DAY, START - DAY) for event in people)
        opened = DealOpened("sales", "lead", owner="ann", amount=euros(1000), expected_close=MAY)
        rules.append(Fact(DEAL, opened, START, START))
        for day, event in enumerate(events, 1):
            rules.append(self._fact(event, START + day * DAY))
        self.last = START + len(events) * DAY
        self.playground = playground
        playground.holding(recorded(rules))
        run_to_head(playground.app_url)

    def _fact(self, event: Event, at: datetime) -> Fact:
        if event.TOPIC.startswith("forecast."):
            return Fact(forecast_stream(DEAL), event, at, at, None, DEAL)
        streams = {"playbook": STREAM_ID, "organisation": ORGANISATION}
        return Fact(streams.get(event.TOPIC.partition(".")[0], DEAL), event, at, at)

    def sight_of(self, person: str) -> Sight:
        with self.playground.connected() as conn:
            director = Actor(person, "director", "test")
            return forecast_sight(director, organisation_at(conn), stints_of(conn, {person}))

    def shown_to(self, sight: Sight, day: float, known: float | None = None) -> Any:
        """F1 of May, as of a day, as known on another or today."""
        with self.playground.connected() as conn:
            at = then(conn, "sales", START + day * DAY, None if known is None else START + known * DAY)
            return forecast(conn, at, horizon(at, "2026-05"), sight).total.f1_open

    def weekly_to(self, sight: Sight, days: Sequence[float]) -> list[Any]:
        """The same as shown at each moment: by the query that weekly curves are drawn with."""
        with self.playground.connected() as conn:
            moments = [
                Moment(at, horizon(at, "2026-05").months, horizon(at, "2026-05").period)
                for at in thens(conn, "sales", [START + day * DAY for day in days])
            ]
            found = open_cells_at(conn, moments, rate_sets(conn, "sales"), sight)
        return [str(c[0].cell.f1) if c[0].seen else None for c in found]

    def table(self, month: str = "2026-05", day: int | None = None) -> Table:
        as_of = self.last if day is None else START + day * DAY
        with self.playground.connected() as conn:
            at = then(conn, "sales", as_of, None)
            return forecast(conn, at, horizon(at, month), ALL)

    def f1_f2(self, month: str = "2026-05", day: int | None = None) -> tuple[Any, Any]:
        total = self.table(month, day).total
        return total.f1_open, total.f2_open

    def audit(self, month: str = "2026-05") -> list[AuditEntry]:
        with self.playground.connected() as conn:
            return forecast_audit(conn, Asked(month=month), ALL, as_of=self.last, limit=100)


def test_a_forecast_is_superseded_and_withdrawn(playground: Playground) -> None:
    gone = ForecastWithdrawn(DEAL, Forecast("2026-05", euros(800)), "no more", False, seen(0))
    told = Told(playground, expects(900), expects(800), gone)
    assert [told.f1_f2(day=day) for day in range(4)] == [
        ("0", "200"),
        ("900", "200"),
        ("800", "200"),
        ("0", "200"),
    ]
    assert told.table().lists.without_forecast == (DEAL,)


def test_a_slipped_deal_takes_its_forecast_out_until_it_is_confirmed(playground: Playground) -> None:
    told = Told(playground, expects(900), ExpectedCloseRevised(MAY, JUNE), expects(700, month="2026-06"))
    assert (told.f1_f2(day=2), told.f1_f2("2026-06", day=2)) == (("0", "0"), ("0", "200"))
    assert told.table("2026-05", day=2).lists.month_moved == (DEAL,)
    assert told.f1_f2("2026-06") == ("700", "200")
    slipped = next(entry for entry in told.audit() if entry.field == "expected_close")
    assert (slipped.f1_before, slipped.f1_after) == ("900", "0")
    assert (slipped.f2_before, slipped.f2_after) == ("200", "0")
    came = next(entry for entry in told.audit("2026-06") if entry.field == "expected_close")
    assert (came.f1_before, came.f1_after, came.f2_before, came.f2_after) == ("0", "0", "0", "200")


@pytest.mark.parametrize(
    ("closing", "was", "won"),
    [(DealWon("lead"), "won", "1000"), (DealLost("lead", None), "lost", "0"), (DealAbandoned("lead", None), "abandoned", "0")],
)  # fmt: skip
def test_closing_lapses_a_forecast_and_reopening_does_not_revive_it(
    playground: Playground, closing: Event, was: Any, won: str
) -> None:
    told = Told(playground, expects(900), closing, DealReopened(was, "lead", "again"), expects(600, 1))
    assert [told.f1_f2(day=day) for day in (1, 2, 3, 4)] == [
        ("900", "200"),
        ("0", "0"),
        ("0", "200"),
        ("600", "200"),
    ]
    assert [told.table(day=day).total.won for day in (1, 2, 3, 4)] == ["0", won, "0", "0"]
    assert told.table(day=3).lists.without_forecast == (DEAL,)
    assert [(entry.field, entry.f1_before, entry.f1_after) for entry in told.audit()[-4:]] == [
        ("forecast", "0", "900"),
        ("outcome", "900", "0"),
        ("outcome", "0", "0"),
        ("forecast", "0", "600"),
    ]


@pytest.mark.parametrize("gone", [DealVoided("a test"), DealMergedInto(UUID(int=5), "the same")])
def test_a_voided_or_merged_deal_counts_nowhere_from_then_on(playground: Playground, gone: Event) -> None:
    told = Told(playground, expects(900), gone)
    assert (told.f1_f2(day=1), told.f1_f2()) == (("900", "200"), ("0", "0"))
    assert told.table().total.open_deals == 0
    assert (told.audit()[-1].f1_before, told.audit()[-1].f1_after) == ("900", "0")


def test_a_deal_counts_for_the_owner_and_team_of_the_moment(playground: Playground) -> None:
    """Handed over on day 2; on day 3 its new owner changes the team."""
    told = Told(
        playground, expects(900), OwnerRevised("ann", "bob"), PersonJoined("bob", "north", "south", None)
    )

    def of_teams(day: int) -> dict[str | None, Any]:
        return {team.team: (team.headcount, team.f1_open) for team in told.table(day=day).by_team}

    assert of_teams(1) == {"north": (1, "900"), "south": (1, "0")}
    assert of_teams(2) == {"north": (1, "0"), "south": (1, "900")}
    assert of_teams(3) == {"north": (2, "900")}
    assert [row.key for day in (1, 2) for row in told.table(day=day).by_owner] == ["ann", "bob"]


ON_AND_OFF_THE_DEAL = pytest.mark.parametrize(
    "stint",
    [
        (DealTeamJoined("bob", "sales"), DealTeamLeft("bob", None)),
        (OwnerRevised("ann", "bob"), OwnerRevised("bob", "ann")),
    ],
    ids=["on the team", "as the owner"],
)


@ON_AND_OFF_THE_DEAL
def test_a_forecast_that_stood_while_somebody_worked_on_the_deal_is_never_for_them(
    playground: Playground, stint: tuple[Event, Event]
) -> None:
    """Bob comes on day 2 and goes on day 3: the forecast of day 1 stood then, that of day 4 did not."""
    told = Told(playground, expects(900), *stint, expects(800))
    bob, cid = told.sight_of("bob"), told.sight_of("cid")
    days = (0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5)
    hidden = ["0", *[None] * 6, "800", "800"]
    assert [told.shown_to(bob, day) for day in days] == hidden
    assert [told.shown_to(cid, day) for day in days] == ["0", *["900"] * 6, "800", "800"]
    assert [told.shown_to(bob, 5, known) for known in (3.5, 4)] == [None, "800"]
    assert [told.shown_to(cid, 5, known) for known in (3.5, 4)] == ["900", "800"]
    assert told.weekly_to(bob, days) == hidden
    assert told.weekly_to(cid, (0.5, 1, 4)) == ["0", "900", "800"]
    with playground.connected() as conn:
        pages = [
            forecast_audit(conn, Asked(month="2026-05"), sight, as_of=told.last, limit=100)
            for sight in (bob, cid)
        ]
    assert [[(e.old, e.new, e.f1_before, e.f1_after) for e in page if e.kind == "F1"] for page in pages] == [
        [(UNSET, "800", UNSET, "800")],
        [(None, "900", "0", "900"), (None, "800", "900", "800")],
    ]


@ON_AND_OFF_THE_DEAL
def test_a_forecast_that_still_stands_stays_hidden_from_those_who_worked_on_the_deal(
    playground: Playground, stint: tuple[Event, Event]
) -> None:
    """And that of before, which was superseded before they came, is for them again."""
    told = Told(playground, expects(700), expects(900), *stint)
    bob = told.sight_of("bob")
    days = (1, 1.5, 2, 3, 4, 9)
    assert [told.shown_to(bob, day) for day in days] == ["700", "700", *[None] * 4]
    assert told.weekly_to(bob, days) == ["700", "700", *[None] * 4]


def test_a_rate_set_changed_in_mid_month_counts_from_when_it_is_effective(playground: Playground) -> None:
    told = Told(playground, rates(2, "0.3", "0.5", START + 3 * DAY), expects(900), expects(900))
    assert [told.f1_f2(day=day)[1] for day in (1, 2, 3)] == ["200", "200", "300"]
    adopted = next(entry for entry in told.audit() if entry.new == "2")
    assert (adopted.field, adopted.old, adopted.f2_before, adopted.f2_after) == (
        "rate_set",
        "1",
        "200",
        "300",
    )


def test_of_two_rate_sets_effective_from_the_same_moment_the_last_one_moves_f2(
    playground: Playground,
) -> None:
    """Both are adopted for day 4; the first of them never comes into force."""
    day_4 = START + 4 * DAY
    told = Told(playground, rates(2, "0.9", "0.5", day_4), rates(3, "0.3", "0.5", day_4), *[expects(900)] * 3)
    assert [told.f1_f2(day=day)[1] for day in (1, 2, 3, 4)] == ["200", "200", "200", "300"]
    assert [
        (e.old, e.new, e.f2_before, e.f2_after) for e in told.audit() if e.field == "rate_set" and e.old
    ] == [("1", "2", "200", "200"), ("1", "3", "200", "300")]


def test_a_visit_that_stalls_gets_the_rate_of_stalled_ones(playground: Playground) -> None:
    """`stage` stalls after 14 days: exactly then the visit is still fresh."""
    told = Told(playground, StageAdvanced("lead", "offer"))
    assert [told.f1_f2(day=day)[1] for day in (0, 1, 15, 16)] == ["200", "500", "500", "50"]


def test_a_correction_moves_f2_from_when_it_was_known(playground: Playground) -> None:
    told = Told(playground, AmountRevised(euros(1000), euros(10)), AmountRevised(euros(10), euros(2000)))
    assert [told.f1_f2(day=day)[1] for day in (0, 1, 2)] == ["200", "2", "400"]
    assert [(e.old, e.new, e.f2_before, e.f2_after) for e in told.audit() if e.field == "amount"] == [
        ("1000", "10", "200", "2"),
        ("10", "2000", "2", "400"),
    ]
