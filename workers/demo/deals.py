"""The deals of the demonstration company: how each is opened, goes its way, and ends."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from random import Random
from uuid import UUID

from domain.deal import (
    AbandonDeal,
    AdvanceStage,
    GradeDeal,
    LogActivity,
    LoseDeal,
    MergeDeal,
    OpenDeal,
    RegisterPartner,
    RegressStage,
    RenameDeal,
    ReopenDeal,
    ReviewStage,
    ReviseAmount,
    ReviseExpectedClose,
    ReviseOwner,
    TickItem,
    UntickItem,
    VoidDeal,
    WinDeal,
    WithdrawPartner,
)
from domain.deal.hygiene import ConfirmDeal
from domain.money import MoneyInput
from domain.playbook import DefineFunnel
from domain.templates import CUSTOMER, TAS_PLUS, TAS_PLUS_CHECKLISTS
from workers.demo.accounts import Customer
from workers.demo.company import (
    ABANDONED,
    BACK,
    BEYOND,
    CURRENCY,
    LOST,
    OWNERS,
    REOPENED,
    SKIP,
    TEAMS,
    WORKDAYS,
    Happening,
    manager_of,
    moment,
)
from workers.demo.crew import Crew
from workers.demo.rivalry import rivalry

PRODUCTS = ("sensors", "analytics", "service")
REGIONS = ("north", "south")
KINDS = ("outbound_call", "online", "visit", "presentation", "site_visit", "internal_meeting")
LOST_TO = ("A competitor was cheaper.", "The customer kept what it has.", "The budget was cut.")
PACE = {TAS_PLUS.funnel: 9.0, CUSTOMER.funnel: 11.0}
"""Mean working days in a stage."""
ITEMS = {c.stage: tuple(item.key for item in c.items if item.required) for c in TAS_PLUS_CHECKLISTS}


def deal(
    rng: Random, number: int, deal_id: UUID, customer: Customer, until: datetime, twins: list[UUID]
) -> Iterator[Happening]:
    """One deal from its opening to its end, or beyond the end of the story."""
    funnel = CUSTOMER if number % 3 == 2 else TAS_PLUS
    product, team = rng.choice(PRODUCTS), "public" if customer.public else rng.choice(("north", "south"))
    owner, amount = rng.choice(TEAMS[team][1]), _amount(rng)
    day = rng.uniform(1, WORKDAYS - 4)
    name = f"{product.capitalize()} for {customer.name}"
    yield Happening(
        day,
        OpenDeal(
            deal_id=deal_id,
            funnel=funnel.funnel,
            name=name,
            account_id=customer.account_id,
            owner=owner,
            amount=amount,
            expected_close=moment(day + rng.uniform(40, 90), until).date(),
            product_line=product,
            customer_segment=customer.segment,
            region=customer.region,
        ),
        owner,
    )
    boss = manager_of(owner, day)
    if number % 79 == 7:
        yield Happening(day + 2, VoidDeal(deal_id=deal_id, reason="Entered for training."), boss, "manager")
        return
    if number % 83 == 11 and twins:
        merge = MergeDeal(deal_id=deal_id, into=twins[0], reason="The same project, entered twice.")
        yield Happening(max(day + 4, WORKDAYS / 2), merge, boss, "manager")
        return
    if day < WORKDAYS / 4:
        twins.append(deal_id)
    if number % 13 == 5:
        day += 0.5
        yield Happening(day, RenameDeal(deal_id=deal_id, name=f"{name}, phase 1"), owner)
    if funnel is TAS_PLUS and number % 17 == 3:
        day += 0.2
        yield Happening(day, GradeDeal(deal_id=deal_id, grade="A", reason="A showcase."), boss, "manager")
    if funnel is TAS_PLUS and number % 23 == 4:
        yield Happening(
            day + 0.1, GradeDeal(deal_id=deal_id, grade="E", reason="A partner leads."), boss, "manager"
        )
        yield Happening(day + 0.2, RegisterPartner(deal_id=deal_id, partner="Ostmere Systems"), owner)
        day += 0.5
        if number % 2:
            yield Happening(day, WithdrawPartner(deal_id=deal_id, reason="They stepped back."), owner)
    crew = Crew(deal_id, number, owner, day)
    yield from _career(rng, deal_id, funnel, customer, owner, amount, day, until, crew)


def _career(
    rng: Random,
    deal_id: UUID,
    funnel: DefineFunnel,
    customer: Customer,
    owner: str,
    amount: MoneyInput,
    day: float,
    until: datetime,
    crew: Crew,
) -> Iterator[Happening]:
    """The deal's way through its stages."""
    stages = [stage.key for stage in funnel.stages]
    place, reopened, rival = 0, False, rivalry(rng, deal_id, customer)
    while day < WORKDAYS + BEYOND:
        leaves = day + max(0.3, rng.lognormvariate(0, 0.7) * PACE[funnel.funnel])
        stay = [
            *rival.stay(owner, day, leaves),
            *crew.stay(owner, day, leaves),
            *_work(rng, deal_id, customer, owner, amount, day, leaves, until),
        ]
        for happening in sorted(stay, key=lambda each: each.day):
            match happening.command:
                case ReviseOwner(owner=str(new_owner)):
                    owner = new_owner
                case ReviseAmount(amount=MoneyInput() as revised):
                    amount = revised
            yield happening
        if funnel is TAS_PLUS:
            yield from _asked_for(rng, deal_id, stages[place], owner, leaves)
        day, luck, last = leaves, rng.random(), place == len(stages) - 1
        late = rng.uniform(1, 3) if rng.random() < 0.1 else 0.02
        if luck < LOST or (last and luck < 4 * LOST):
            yield Happening(day, LoseDeal(deal_id=deal_id, reason=rng.choice(LOST_TO)), owner, "rep", late)
            if reopened or rng.random() > REOPENED:
                return
            reopened, place = True, max(0, place - 1)
            day += rng.uniform(8, 15)
            reason = "The customer asked us again."
            yield Happening(day, ReopenDeal(deal_id=deal_id, to_stage=stages[place], reason=reason), owner)
        elif last:
            yield Happening(day, WinDeal(deal_id=deal_id), owner, "rep", late)
            return
        elif luck < LOST + ABANDONED:
            reason = "No budget this year."
            yield Happening(day, AbandonDeal(deal_id=deal_id, reason=reason), owner, "rep", late)
            return
        elif place and luck < LOST + ABANDONED + BACK:
            place -= 1
            reason = "The customer changed the requirements."
            yield Happening(day, RegressStage(deal_id=deal_id, to_stage=stages[place], reason=reason), owner)
        else:
            place = min(place + (2 if luck > 1 - SKIP else 1), len(stages) - 1)
            yield Happening(day, AdvanceStage(deal_id=deal_id, to_stage=stages[place]), owner, "rep", late)


def _asked_for(rng: Random, deal_id: UUID, stage: str, owner: str, leaves: float) -> Iterator[Happening]:
    """What the stage's checklist asks for, mostly done; and the review where one is needed."""
    for n, item in enumerate(ITEMS.get(stage, ())):
        if rng.random() < 0.85:
            day = leaves - 0.08 + 0.01 * n
            yield Happening(day, TickItem(deal_id=deal_id, stage=stage, item=item), owner)
            if rng.random() < 0.02:
                yield Happening(day + 0.005, UntickItem(deal_id=deal_id, stage=stage, item=item), owner)
    if stage == "initiation":
        boss = manager_of(owner, leaves)
        if rng.random() < 0.1:
            no = ReviewStage(deal_id=deal_id, stage=stage, outcome="rejected", reason="Who decides there?")
            yield Happening(leaves - 0.03, no, boss, "manager")
        yield Happening(
            leaves - 0.02, ReviewStage(deal_id=deal_id, stage=stage, outcome="approved"), boss, "manager"
        )


def _work(
    rng: Random,
    deal_id: UUID,
    customer: Customer,
    owner: str,
    amount: MoneyInput,
    start: float,
    end: float,
    until: datetime,
) -> Iterator[Happening]:
    """What is done for a deal while it stays in a stage, in order of time."""
    happened = rng.randrange(1, 4)
    for n in range(happened):
        day = start + (end - start) * (n + 0.4) / (happened + 1)
        luck = rng.random()
        if luck < 0.12:
            factor = Decimal(rng.choice(("0.80", "0.90", "1.10", "1.25")))
            revised = (amount.amount * factor / 500).quantize(Decimal(1)) * 500
            amount = MoneyInput(amount=revised, currency=CURRENCY)
            yield Happening(day, ReviseAmount(deal_id=deal_id, amount=amount), owner)
        elif luck < 0.40:
            close = moment(day + rng.uniform(10, 50), until).date()
            yield Happening(day, ReviseExpectedClose(deal_id=deal_id, expected_close=close), owner)
        elif luck < 0.43:
            owner = rng.choice([other for other in OWNERS if other != owner])
            yield Happening(day, ReviseOwner(deal_id=deal_id, owner=owner), manager_of(owner, day), "manager")
        elif luck < 0.55:
            yield Happening(day, ConfirmDeal(deal_id=deal_id, plan="Call again next week."), owner)
        else:
            minutes = rng.choice((15, 30, 60, 90))
            activity = LogActivity(
                deal_id=deal_id,
                kind=rng.choice(KINDS),
                by=owner,
                duration_us=minutes * 60_000_000,
                contacts=customer.contacts[:1],
            )
            yield Happening(day, activity, owner, "rep", rng.choice((0.05, 0.05, 1.0, 3.0)))


def _amount(rng: Random) -> MoneyInput:
    """A log-normal amount around 60,000, in steps of 500."""
    steps = max(10, round(rng.lognormvariate(4.8, 0.8)))
    return MoneyInput(amount=Decimal(steps * 500), currency=CURRENCY)
