"""The demonstration company: half a year of an invented firm's deals, drawn from a seed.

It is told through the ordinary commands, as an import would: each with the day it happened and the day the firm
wrote it down, so that both clocks have something to answer. Everything hangs on the Monday on which the story
ends: the same seed gives the same ids, stages and amounts on every machine, and dates that are always recent.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple
from uuid import UUID

from domain.command import Command
from domain.deal import (
    AbandonDeal,
    AdvanceStage,
    LogActivity,
    LoseDeal,
    MergeDeal,
    OpenDeal,
    RegressStage,
    RenameDeal,
    ReopenDeal,
    ReviseAmount,
    ReviseExpectedClose,
    ReviseOwner,
    VoidDeal,
    WinDeal,
)
from domain.event import Actor, Role
from domain.money import MoneyInput
from domain.playbook import DefineFunnel, SetCurrency
from domain.templates import CUSTOMER, TAS_PLUS
from infra.executor import Executor
from infra.ids import imported_id
from infra.requests import Request

SEED = 2
DEALS = 60
WORKDAYS = 130
"""26 weeks of five days."""
CURRENCY = "EUR"
SOURCE = "demonstration"

OWNERS = ("anna", "bo", "chen")
MANAGER = "dana"
PLACES = (
    "Halvern",
    "Ostmere",
    "Tarrowby",
    "Quillford",
    "Brennick",
    "Wexcombe",
    "Drumhaven",
    "Kestwick",
    "Marlough",
    "Fennsby",
)
TRADES = ("Foods", "Logistics", "Steel", "Hospital", "Water Board", "Paper Mill")
PRODUCTS = ("sensors", "analytics", "service")
REGIONS = ("north", "south")
KINDS = ("outbound_call", "online", "visit", "presentation", "site_visit", "internal_meeting")
LOST_TO = ("A competitor was cheaper.", "The customer kept what it has.", "The budget was cut.")

# Mean working days in a stage, and out of ten visits how many end otherwise than by going on.
PACE = {TAS_PLUS.funnel: 9.0, CUSTOMER.funnel: 11.0}
LOST, ABANDONED, BACK, SKIP = 0.09, 0.04, 0.07, 0.08


class Happening(NamedTuple):
    """A command, when it happened (in working days since the story began), who gave it, and the days until
    the firm wrote it down."""

    day: float
    command: Command
    actor: str
    role: Role = "rep"
    written_after: float = 0.02


def monday(now: datetime) -> datetime:
    """The Monday, 00:00 UTC, of the week that holds `now`: where the story ends."""
    day = now.astimezone(UTC).date()
    return datetime.combine(day - timedelta(days=day.weekday()), time(), UTC)


def load(executor: Executor, until: datetime, *, seed: int = SEED) -> int:
    """Append the company's story to an empty log, in one transaction, and return how many events it has.

    `until` is the Monday on which it ends, not in the future. Raises the first refusal.
    """
    answers = executor.execute(story(until, seed=seed))
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return max(answer.position for answer in answers if not isinstance(answer, Exception))


def story(until: datetime, *, seed: int = SEED) -> list[Request]:
    """Every command of the company, in the order in which the firm wrote it down."""
    rng = Random(seed)  # noqa: S311 -- a story, not a secret
    happenings: list[tuple[float, Happening]] = []
    twins: list[UUID] = []
    for number in range(DEALS):
        known = 0.0
        for happening in _deal(rng, number, until, twins):
            known = max(known, happening.day + happening.written_after)
            if known >= WORKDAYS:
                break
            happenings.append((known, happening))
    happenings.sort(key=lambda pair: pair[0])
    playbook = (SetCurrency(currency=CURRENCY), TAS_PLUS, CUSTOMER)
    requests = [_playbook_request(command, until) for command in playbook]
    for number, (known, happening) in enumerate(happenings):
        command = happening.command.model_copy(update={"occurred_at": _moment(happening.day, until)})
        requests.append(
            Request(
                commands=(command,),
                actor=Actor(happening.actor, happening.role, SOURCE),
                command_id=f"{SOURCE}-{number}",
                origin="import",
                source_recorded_at=_moment(known, until),
            )
        )
    return requests


def _playbook_request(command: DefineFunnel | SetCurrency, until: datetime) -> Request:
    began = _moment(0, until)
    return Request(
        commands=(command.model_copy(update={"occurred_at": began}),),
        actor=Actor("dealtrace", "system", "system"),
        command_id=f"{SOURCE}-{command.command_name()}",
        origin="import",
        source_recorded_at=began,
    )


def _moment(workday: float, until: datetime) -> datetime:
    """Working days since the beginning as a time: five a week, each from 8 to 18 o'clock UTC."""
    whole = int(workday)
    days = (whole // 5) * 7 + whole % 5 - WORKDAYS // 5 * 7
    return until + timedelta(days=days, hours=8, minutes=int((workday - whole) * 600))


def _deal(rng: Random, number: int, until: datetime, twins: list[UUID]) -> Iterator[Happening]:
    """One deal from its opening to its end, or beyond the end of the story."""
    deal_id = imported_id("deal", SOURCE, str(number))
    funnel = CUSTOMER if number % 3 == 2 else TAS_PLUS
    account = f"{rng.choice(PLACES)} {rng.choice(TRADES)}"
    product, owner = rng.choice(PRODUCTS), rng.choice(OWNERS)
    amount = _amount(rng)
    day = rng.uniform(0, WORKDAYS - 4)
    name = f"{product.capitalize()} for {account}"
    yield Happening(
        day,
        OpenDeal(
            deal_id=deal_id,
            funnel=funnel.funnel,
            name=name,
            account_id=imported_id("account", SOURCE, account),
            owner=owner,
            amount=amount,
            expected_close=_moment(day + rng.uniform(40, 90), until).date(),
            product_line=product,
            customer_segment="public" if account.endswith(("Hospital", "Water Board")) else "industry",
            region=rng.choice(REGIONS),
        ),
        owner,
    )
    if number % 29 == 7:
        day += rng.uniform(1, 3)
        yield Happening(day, VoidDeal(deal_id=deal_id, reason="Entered for training."), MANAGER, "manager")
        return
    if number % 31 == 11 and twins:
        day += rng.uniform(2, 6)
        merge = MergeDeal(deal_id=deal_id, into=twins[0], reason="The same project, entered twice.")
        yield Happening(max(day, WORKDAYS / 2), merge, MANAGER, "manager")
        return
    if day < WORKDAYS / 3:
        twins.append(deal_id)
    if number % 13 == 5:
        yield Happening(day + 0.5, RenameDeal(deal_id=deal_id, name=f"{name}, phase 1"), owner)
        day += 0.5
    yield from _career(rng, deal_id, funnel, owner, amount, day, until)


def _career(
    rng: Random,
    deal_id: UUID,
    funnel: DefineFunnel,
    owner: str,
    amount: MoneyInput,
    day: float,
    until: datetime,
) -> Iterator[Happening]:
    """The deal's way through its stages."""
    stages = [stage.key for stage in funnel.stages]
    place, reopened = 0, False
    while day < WORKDAYS:
        leaves = day + max(0.3, rng.lognormvariate(0, 0.7) * PACE[funnel.funnel])
        for happening in _work(rng, deal_id, owner, amount, day, leaves, until):
            match happening.command:
                case ReviseOwner(owner=str(new_owner)):
                    owner = new_owner
                case ReviseAmount(amount=MoneyInput() as revised):
                    amount = revised
            yield happening
        day, luck, last = leaves, rng.random(), place == len(stages) - 1
        late = rng.uniform(1, 3) if rng.random() < 0.1 else 0.02
        if luck < LOST or (last and luck < 4 * LOST):
            yield Happening(day, LoseDeal(deal_id=deal_id, reason=rng.choice(LOST_TO)), owner, "rep", late)
            if reopened or rng.random() > 0.3:
                return
            reopened, place = True, max(0, place - 1)
            day += rng.uniform(8, 15)
            reason = "The customer asked us again."
            yield Happening(day, ReopenDeal(deal_id=deal_id, to_stage=stages[place], reason=reason), owner)
        elif luck < LOST + ABANDONED:
            reason = "No budget this year."
            yield Happening(day, AbandonDeal(deal_id=deal_id, reason=reason), owner, "rep", late)
            return
        elif last:
            yield Happening(day, WinDeal(deal_id=deal_id), owner, "rep", late)
            return
        elif place and luck < LOST + ABANDONED + BACK:
            place -= 1
            reason = "The customer changed the requirements."
            yield Happening(day, RegressStage(deal_id=deal_id, to_stage=stages[place], reason=reason), owner)
        else:
            place = min(place + (2 if luck > 1 - SKIP else 1), len(stages) - 1)
            yield Happening(day, AdvanceStage(deal_id=deal_id, to_stage=stages[place]), owner, "rep", late)


def _work(
    rng: Random, deal_id: UUID, owner: str, amount: MoneyInput, start: float, end: float, until: datetime
) -> Iterator[Happening]:
    """What is done for a deal while it stays in a stage, in order of time."""
    day = start + rng.expovariate(1 / 4)
    while day < end:
        luck = rng.random()
        if luck < 0.12:
            factor = Decimal(rng.choice(("0.80", "0.90", "1.10", "1.25")))
            revised = (amount.amount * factor / 500).quantize(Decimal(1)) * 500
            amount = MoneyInput(amount=revised, currency=CURRENCY)
            yield Happening(day, ReviseAmount(deal_id=deal_id, amount=amount), owner)
        elif luck < 0.22:
            close = _moment(day + rng.uniform(10, 50), until).date()
            yield Happening(day, ReviseExpectedClose(deal_id=deal_id, expected_close=close), owner)
        elif luck < 0.25:
            owner = rng.choice([other for other in OWNERS if other != owner])
            yield Happening(day, ReviseOwner(deal_id=deal_id, owner=owner), MANAGER, "manager")
        else:
            minutes = rng.choice((15, 30, 60, 90))
            activity = LogActivity(
                deal_id=deal_id, kind=rng.choice(KINDS), by=owner, duration_us=minutes * 60_000_000
            )
            yield Happening(day, activity, owner, "rep", rng.choice((0.05, 0.05, 1.0, 3.0)))
        day += rng.expovariate(1 / 4)


def _amount(rng: Random) -> MoneyInput:
    """A log-normal amount around 60,000, in steps of 500."""
    steps = max(10, round(rng.lognormvariate(4.8, 0.8)))
    return MoneyInput(amount=Decimal(steps * 500), currency=CURRENCY)
