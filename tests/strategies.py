"""Random valid histories: deals that move, regress, close, reopen, are voided and merged, on two clocks."""

import operator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from domain.deal import (
    ActivityLogged,
    AmountRevised,
    Deal,
    DealAbandoned,
    DealLost,
    DealMergedInto,
    DealOpened,
    DealRenamed,
    DealReopened,
    DealVoided,
    DealWon,
    ExpectedCloseRevised,
    External,
    OwnerRevised,
    StageAdvanced,
    StageRegressed,
)
from domain.event import Event, Recorded, TextRef
from domain.forecast import EVENTUALLY
from domain.manager_forecast import (
    DealForecast,
    Forecast,
    ForecastSet,
    ForecastWithdrawn,
    Seen,
    forecast_stream,
)
from domain.money import Money
from domain.organisation import STREAM_ID as ORGANISATION
from domain.organisation import ManagerAppointed, PersonJoined, PersonLeft, TeamCreated
from domain.playbook import STREAM_ID, CalendarSet, FunnelRevised, Names, RateSetAdopted, StageRate
from domain.registry import evolve
from tests.projections.written_log import Fact, playbook, recorded, stage

START = datetime(2024, 2, 28, 23, 0, tzinfo=UTC)
STAGES = ["lead", "talk", "offer", "contract"]
MACRO = ["needs_confirmed", "plan_confirmed", "plan_confirmed", "contract_signed"]
OWNERS = [None, "ann", "李雷", "O'Neil; DROP TABLE"]
ACCOUNTS = [None, UUID(int=1), UUID(int=2)]
REGIONS = [None, "nørth", "south"]
GAPS = [timedelta(), timedelta(microseconds=1), timedelta(hours=5), timedelta(days=3)]
SHARES = [0, 1, 3, 4]  # quarters of the time between the earliest and the latest moment allowed
ACTIONS = (
    "advance", "advance", "advance", "regress", "amount", "owner", "name", "close_date", "activity", "activity", "win",
    "lose", "abandon", "reopen", "reopen", "void", "merge", "forecast", "forecast",
    "join", "leave", "appoint", "rates",
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn, min_steps: int = 0, max_steps: int = 50) -> list[Recorded]:
    """A whole log: a playbook (revised at some time), then up to four deals, some of them imported."""
    steps = draw(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from(ACTIONS),
                st.sampled_from(GAPS),
                st.sampled_from(SHARES),
                st.sampled_from(SHARES),
                st.integers(0, 11),
            ),
            min_size=min_steps,
            max_size=max_steps,
        )
    )
    return recorded(_facts(steps, playbook_late=draw(st.booleans())))


def moments_of(log: list[Recorded]) -> st.SearchStrategy[datetime]:
    """Times at which an answer may change: every clock of every event, and a microsecond before and after."""
    clocks = {START} | {e.meta.occurred_at for e in log}
    clocks |= {at for e in log for at in (e.known_at, e.recorded_at) if at > START}
    near = timedelta(microseconds=1)
    return st.builds(operator.add, st.sampled_from(sorted(clocks)), st.sampled_from([-near, near * 0, near]))


def _facts(steps: list[Any], playbook_late: bool) -> list[Fact]:
    stages = [stage(key, macro) for key, macro in zip(STAGES, MACRO, strict=True)]
    book = playbook("sales", stages, START + timedelta(days=9 if playbook_late else 0))
    makers = {number: _DealMaker(number) for number in range(4)}
    facts, now = [*book, *_company(book[0].recorded_at)], START
    for number, action, gap, occurred, claimed, value in steps:
        now += gap
        at = max(now, book[0].recorded_at)
        if action in ("join", "leave", "appoint"):
            facts.append(Fact(ORGANISATION, _of_company(action, value), at, at))
        elif action == "rates":
            facts.append(
                Fact(STREAM_ID, _rates(value, len(facts), at + SHARES[number] * timedelta(days=2)), at, at)
            )
        else:
            facts.extend(makers[number].next(action, at, occurred, claimed, value))
    if steps:
        revised = FunnelRevised(
            "sales", Names("Sales", "销售"), True, (*stages, stage("after", "delivery_and_payment"))
        )
        facts.insert(2 + len(facts[2:]) // 2, _at_place(facts, revised))
        facts.append(
            Fact(STREAM_ID, CalendarSet("Asia/Shanghai", 4), facts[-1].recorded_at, facts[-1].recorded_at)
        )
    return facts


def _company(at: datetime) -> list[Fact]:
    events = (
        TeamCreated("all", "All", None, None),
        TeamCreated("north", "North", "all", "nørth"),
        TeamCreated("south", "South", "all", None),
        ManagerAppointed("all", None, "dora"),
        ManagerAppointed("north", None, "ann"),
        PersonJoined("ann", "north", None, None),
        PersonJoined("李雷", "north", None, None),
    )
    return [Fact(ORGANISATION, event, at, at) for event in events]


def _of_company(action: str, value: int) -> Event:
    person, team = OWNERS[1 + value % 3] or "", ["all", "north", "south"][value // 4]
    match action:
        case "join":
            return PersonJoined(person, team, None, None)
        case "leave":
            return PersonLeft(person, team, None)
    return ManagerAppointed(team, None, ["dora", "ann", None][value % 3])


def _rates(value: int, number: int, effective_from: datetime) -> Event:
    rates = [StageRate(key, None, Decimal(value * at) / 64) for at, key in enumerate(STAGES[:3], 1)]
    rates.append(StageRate("contract", "fresh", Decimal("0.900000")))
    rates.append(StageRate("contract", "stalled", Decimal(value) / 16))
    return RateSetAdopted(UUID(int=number), "sales", number, effective_from, tuple(rates), None, "evidence")


def _at_place(facts: list[Fact], event: Event) -> Fact:
    at = facts[1 + len(facts[2:]) // 2].recorded_at
    return Fact(STREAM_ID, event, at, at)


class _DealMaker:
    """Makes one deal's next event, whatever is asked for, as long as the deal allows it."""

    def __init__(self, number: int) -> None:
        self.id = UUID(int=(number + 1) << 100 | number)
        self.imported = number % 2 == 1
        self.deal: Deal | None = None
        self.forecast: DealForecast | None = None
        self.forecast_at = START - timedelta(days=15)
        self.occurred, self.claimed = START - timedelta(days=20), START - timedelta(days=10)

    def next(self, action: str, now: datetime, occurred: int, claimed: int, value: int) -> list[Fact]:
        if action == "forecast":
            return self._forecast(now, occurred, value)
        event = self._event(action, value)
        if event is None:
            return []
        happened = _between(self.occurred, now, occurred)
        claim = _between(self.claimed, now, claimed) if self.imported else None
        if event.GROUP is None:
            happened = _between(START - timedelta(days=30), now, occurred)
        else:
            self.deal = evolve(self.deal, event)
            self.occurred, self.claimed = happened, claim or self.claimed
        return [Fact(self.id, event, happened, now, claim)]

    def _forecast(self, now: datetime, occurred: int, value: int) -> list[Fact]:
        """A manager's forecast, or its withdrawal: in a stream of its own, under the deal's partition key."""
        deal = self.deal
        if deal is None or deal.status in ("voided", "merged"):
            return []
        before = (self.forecast or DealForecast()).in_force(deal)
        seen = Seen(
            1, deal.closed_times, deal.funnel, deal.stage, None, deal.amount, deal.expected_close, deal.owner, None,
            None, (),
        )  # fmt: skip
        if value % 4 == 3 and before is not None:
            event: Event = ForecastWithdrawn(self.id, before, "no more", False, seen)
        elif deal.status == "open":
            month = f"{deal.expected_close:%Y-%m}" if deal.expected_close else EVENTUALLY
            amount = _money(value) or Money(Decimal(1), "EUR")
            event = ForecastSet(self.id, Forecast(month, amount), before, "they said so", value > 9, seen)
        else:
            return []
        self.forecast = evolve(self.forecast, event)
        self.forecast_at = _between(self.forecast_at, now, occurred)
        return [Fact(forecast_stream(self.id), event, self.forecast_at, now, None, self.id)]

    def _event(self, action: str, value: int) -> Event | None:
        deal = self.deal
        if deal is None:
            return DealOpened(
                "sales",
                STAGES[value % 4],
                name=_text(value),
                account_id=ACCOUNTS[value % 3],
                owner=OWNERS[value % 4],
                amount=_money(value),
                expected_close=_close(value),
                region=REGIONS[value % 3],
                product_line="línea" if value % 2 else None,
                external=External("crm", f"X-{value}") if value % 2 else None,
            )
        if deal.status in ("voided", "merged"):
            return None
        return (
            self._of_open(deal, action, value)
            if deal.status == "open"
            else self._of_closed(deal, action, value)
        )

    def _of_open(self, deal: Deal, action: str, value: int) -> Event | None:
        at = STAGES.index(deal.stage)
        match action:
            case "advance" if at < 3:
                return StageAdvanced(deal.stage, STAGES[at + 1 + value % (3 - at)])
            case "regress" if at > 0:
                return StageRegressed(deal.stage, STAGES[value % at], None if self.imported else "why")
            case "amount":
                return AmountRevised(deal.amount, _money(value))
            case "close_date":
                return ExpectedCloseRevised(deal.expected_close, _close(value))
            case "win":
                return DealWon(deal.stage)
            case "lose":
                return DealLost(deal.stage, "price")
            case "abandon":
                return DealAbandoned(deal.stage, None)
        return self._of_any(deal, action, value)

    def _of_closed(self, deal: Deal, action: str, value: int) -> Event | None:
        if action == "reopen":
            return DealReopened(deal.status, STAGES[value % 4], "again")  # type: ignore[arg-type]
        return self._of_any(deal, action, value)

    def _of_any(self, deal: Deal, action: str, value: int) -> Event | None:
        match action:
            case "owner":
                return OwnerRevised(deal.owner, OWNERS[value % 4])
            case "name":
                return DealRenamed(_text(value) or TextRef(UUID(int=99), "00"))
            case "activity":
                return ActivityLogged(UUID(int=value), "visit", OWNERS[value % 4], value * 60_000_000)
            case "void" if value < 4:
                return DealVoided("a test 🙂")
            case "merge" if value < 4:
                return DealMergedInto(UUID(int=7), "the same")
        return None


def _between(first: datetime, last: datetime, quarters: int) -> datetime:
    return max(first, min(last, first + (last - first) * quarters // 4))


def _money(value: int) -> Money | None:
    return Money(Decimal(["0", "12500", "0.01", "999999999999.99"][value % 4]), "EUR") if value % 5 else None


def _close(value: int) -> date | None:
    return date(2024, 2 + value % 3, 1 + 2 * value) if value % 6 else None


def _text(value: int) -> TextRef | None:
    return TextRef(UUID(int=1000 + value), f"{value:064x}") if value % 2 else None
