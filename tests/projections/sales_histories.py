"""Random valid histories of a sales week: comparisons, checklists, grades, people, activities, on two clocks."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from domain import deal as d
from domain.account import AccountOpened, ContactAdded
from domain.command import Command
from domain.errors import Refusal
from domain.event import Event, Recorded, TextRef
from domain.money import Money, MoneyInput
from domain.playbook import (
    STREAM_ID,
    CalendarSet,
    ChecklistSet,
    CohortWindowSet,
    CurrencySet,
    DepthRulesSet,
    FunnelDefined,
    GradeRule,
    GradesSet,
    Item,
    Names,
    Playbook,
)
from domain.playbook import evolve as evolve_playbook
from domain.registry import decide, evolve
from domain.relations import DepthRules
from tests.given import context
from tests.projections.written_log import LONG_AGO, Fact, recorded, stage

START = datetime(2024, 3, 18, 22, 30, tzinfo=UTC)  # two weeks before the clock changes in Berlin
STAGES = ["lead", "talk", "offer", "contract"]
OWNERS = ["ann", "bob", None]
GAPS = [timedelta(), timedelta(microseconds=1), timedelta(hours=5), timedelta(days=3), timedelta(days=6)]
SHARES = [0, 1, 3, 4]  # quarters of the time between the earliest and the latest moment allowed
ACCOUNT = UUID(int=500)
PEOPLE = [UUID(int=501), UUID(int=502)]
KINDS = ["visit", "online", "internal_meeting"]
ACTIONS = (
    "advance", "advance", "regress", "win", "lose", "reopen", "void", "amount", "owner", "close", "confirm", "grade",
    "tick", "tick", "untick", "review", "event", "event", "no_event", "source", "no_source", "rival", "assess_rival",
    "assess_rival", "drop", "assess", "assess", "assess", "agree", "sole", "no_sole", "activity", "activity",
    "person", "person", "part", "attitude", "attitude", "strategy", "nobody", "rules", "join", "leave",
)  # fmt: skip


def sales_history(seed: int, steps: int = 120) -> list[Recorded]:
    """A playbook with grades and checklists, an account with two people, and four deals; the seed says which."""
    choose = Random(seed)
    facts = [Fact(STREAM_ID, event, LONG_AGO, LONG_AGO) for event in _rules()]
    book = Playbook()
    for fact in facts:
        book = evolve_playbook(book, fact.event)
    facts += [Fact(ACCOUNT, event, LONG_AGO, LONG_AGO) for event in _people()]
    makers, now = [_Maker(number) for number in range(4)], START
    for maker in makers:
        facts += maker.opened(START)
        for action in ("event", "source", "assess", "rival", "assess_rival")[: choose.choice([0, 3, 5])]:
            facts += maker.next(action, START, book, 4, 4, 6)
    for _ in range(choose.randrange(steps)):
        now += choose.choice(GAPS)
        action, value = choose.choice(ACTIONS), choose.randrange(12)
        if action == "rules":
            facts.append(Fact(STREAM_ID, _other_rules(value), now, now))
            book = evolve_playbook(book, facts[-1].event)
        else:
            maker, shares = choose.choice(makers), (choose.choice(SHARES), choose.choice(SHARES))
            facts += maker.next(action, now, book, *shares, value)
    return recorded(facts)


def _rules() -> list[Event]:
    return [
        CurrencySet("EUR"),
        CalendarSet("Europe/Berlin", 1),
        FunnelDefined("sales", Names("Sales"), True, tuple(stage(key) for key in STAGES)),
        GradesSet("sales", (GradeRule("A", Money(Decimal(1000), "EUR")), GradeRule("C")), "contract"),
        ChecklistSet("sales", "lead", _items(3), False),
        ChecklistSet("sales", "talk", _items(1), True),
    ]


def _items(required: int) -> tuple[Item, ...]:
    return tuple(Item(key, Names(key), i < required) for i, key in enumerate(("budget", "decider", "need")))


def _other_rules(value: int) -> Event:
    match value % 4:
        case 0:
            return ChecklistSet("sales", STAGES[value % 3], _items(value % 3), False)
        case 1:
            return DepthRulesSet(DepthRules(("visit",), ("visit",), 20, 1, 2, 3))
        case 2:
            return CalendarSet(["Asia/Shanghai", "America/Santiago"][value % 2], 4)
    return CohortWindowSet(1 + value)


def _people() -> list[Event]:
    return [AccountOpened(_text(1)), *(ContactAdded(person, _text(2)) for person in PEOPLE)]


def _text(number: int) -> TextRef:
    return TextRef(UUID(int=2000 + number), "00")


class _Maker:
    """Makes one deal's next events, whatever is asked for, as long as the rules allow it."""

    def __init__(self, number: int) -> None:
        self.id = UUID(int=(number + 1) << 100 | number)
        self.imported = number % 2 == 1
        self.deal: d.Deal | None = None
        self.occurred: dict[str, datetime] = {}
        self.claimed = START - timedelta(days=5)

    def opened(self, now: datetime) -> list[Fact]:
        number = self.id.int & 3
        event = d.DealOpened(
            "sales",
            "lead",
            account_id=ACCOUNT,
            owner=OWNERS[number % 3],
            amount=Money(Decimal(700 * number), "EUR") if number else None,
            region="north" if number % 2 else None,
        )
        return self._facts([event], now - timedelta(days=3), number, number)

    def next(
        self, action: str, now: datetime, book: Playbook, occurred: int, claimed: int, value: int
    ) -> list[Fact]:
        events: list[Event]
        if action == "activity":
            people = (PEOPLE[0], *PEOPLE)[value % 3 :]
            events = [d.ActivityLogged(UUID(int=value), KINDS[value % 3], "ann", None, tuple(people))]
        elif action == "person":
            known = PEOPLE[value % 2] in self._deal.contacts
            person = d.DealContactAdded(PEOPLE[value % 2], ACCOUNT, "decider", "IT", "approve")
            events = [] if known or self._deal.status != "open" else [person]
        else:
            command = self._command(action, value)
            around = context(book, command=command, origin="import" if self.imported else "live", now=now)
            try:
                events = list(decide(command, self._deal, around))
            except Refusal:
                events = []
        return self._facts(events, now, occurred, claimed)

    @property
    def _deal(self) -> d.Deal:
        assert self.deal is not None
        return self.deal

    def _facts(self, events: list[Event], now: datetime, occurred: int, claimed: int) -> list[Fact]:
        facts = []
        for event in events:
            group = event.GROUP
            earliest = (
                self.occurred.get(group, START - timedelta(days=8)) if group else START - timedelta(days=40)
            )
            happened = _between(earliest, now, occurred)
            claim = _between(self.claimed, now, claimed) if self.imported else None
            if group:
                self.deal = evolve(self.deal, event)
                self.occurred[group], self.claimed = happened, claim or self.claimed
            facts.append(Fact(self.id, event, happened, now, claim))
        return facts

    def _command(self, action: str, value: int) -> Command:
        deal, rival, person = self._deal, "abc"[value % 3], PEOPLE[value % 2]
        at = STAGES.index(deal.stage)
        item = ["budget", "decider", "need"][value % 3]
        scores = {
            "need_fit": None if value == 11 else Decimal(value % 11),
            "relationship": Decimal((value * 7) % 11),
        }
        outcome = "approved" if value % 3 else "rejected"
        attitude = ["positive", "negative", None][value % 3]
        commands: dict[str, tuple[Any, dict[str, Any]]] = {
            "advance": (d.AdvanceStage, {"to_stage": STAGES[min(at + 1, 3)], "override_reason": "because"}),
            "regress": (d.RegressStage, {"to_stage": STAGES[max(at - 1, 0)], "reason": "why"}),
            "win": (d.WinDeal, {}),
            "lose": (d.LoseDeal, {"reason": "price"}),
            "reopen": (d.ReopenDeal, {"to_stage": STAGES[value % 4], "reason": "again"}),
            "void": (d.VoidDeal, {"reason": "a test"}) if value < 2 else (d.ConfirmDeal, {}),
            "amount": (d.ReviseAmount, {"amount": _money(value)}),
            "owner": (d.ReviseOwner, {"owner": OWNERS[value % 3]}),
            "close": (d.ReviseExpectedClose, {"expected_close": date(2024, 6, 1 + value)}),
            "confirm": (d.ConfirmDeal, {}),
            "grade": (d.GradeDeal, {"grade": ["A", "C", None][value % 3], "reason": "for show"}),
            "tick": (d.TickItem, {"item": item}),
            "untick": (d.UntickItem, {"item": item}),
            "review": (d.ReviewStage, {"stage": deal.stage, "outcome": outcome, "reason": "seen"}),
            "event": (d.RecordCompellingEvent, {"text": "law"}),
            "no_event": (d.WithdrawCompellingEvent, {"reason": "gone"}),
            "source": (d.FindInsideSource, {}),
            "no_source": (d.LoseInsideSource, {"reason": "left"}),
            "rival": (d.AddCompetitor, {"competitor": rival, "label": rival.upper()}),
            "assess_rival": (d.AssessCompetitor, {"competitor": rival, **scores}),
            "drop": (d.DropCompetitor, {"competitor": rival, "reason": "gave up"}),
            "assess": (d.AssessOurPosition, scores),
            "agree": (d.ConfirmAssessment, {"party": ["us", rival][value % 2]}),
            "sole": (d.ConfirmSoleSource, {"reason": "only us"}),
            "no_sole": (d.WithdrawSoleSource, {"reason": "others, too"}),
            "part": (
                d.ReviseDealContact,
                {"contact_id": person, "decision_role": "user", "department": None, "power": None},
            ),
            "attitude": (d.AssessAttitude, {"contact_id": person, "attitude": attitude, "reason": "said so"}),
            "strategy": (d.ChooseStrategy, {"contact_id": person, "strategy": ["attack", None][value % 2]}),
            "join": (
                d.JoinDealTeam,
                {"person": "xyz"[value % 3], "department": [None, "legal", "IT"][value % 4 % 3]},
            ),
            "leave": (d.LeaveDealTeam, {"person": "xyz"[value % 3], "reason": "busy"}),
            "nobody": (d.RemoveDealContact, {"contact_id": person, "reason": "left"}),
        }
        kind, fields = commands[action]
        command: Command = kind(deal_id=self.id, **fields)
        return command


def _money(value: int) -> MoneyInput | None:
    return MoneyInput(amount=Decimal(value * 333), currency="EUR") if value % 5 else None


def _between(first: datetime, last: datetime, quarters: int) -> datetime:
    return max(first, min(last, first + (last - first) * quarters // 4))
