"""What a deal of the demonstration company is about: why the customer must act, who competes, and who decides."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import get_args
from uuid import UUID

from domain.deal import (
    AddCompetitor,
    AddDealContact,
    AssessAttitude,
    AssessCompetitor,
    AssessOurPosition,
    ChooseStrategy,
    ConfirmAssessment,
    ConfirmSoleSource,
    DealCommand,
    DropCompetitor,
    FindInsideSource,
    LoseInsideSource,
    ReassessCompellingEvent,
    RecordCompellingEvent,
    RemoveDealContact,
    ReviseDealContact,
    WithdrawCompellingEvent,
    WithdrawSoleSource,
)
from domain.relations import Attitude
from workers.demo.accounts import Customer
from workers.demo.company import Happening, manager_of

RIVALS = ("corvane", "delmarket", "ostrava_systems", "pellucid")


class Rivalry:
    """One deal's comparison with its competitors, stay by stay; it comes to nothing new once all was told."""

    def __init__(self, deal_id: UUID, customer: Customer, told: list[tuple[DealCommand, bool]]) -> None:
        self._deal_id = deal_id
        self._customer = customer
        self._told = told

    def stay(self, owner: str, start: float, end: float) -> Iterator[Happening]:
        """What is learnt during a stay in a stage."""
        now, self._told = self._told[:5], self._told[5:]
        for n, (command, by_manager) in enumerate(now):
            day = start + (end - start) * (n + 1) / (len(now) + 2)
            if by_manager:
                yield Happening(day, command, manager_of(owner, day), "manager")
            else:
                yield Happening(day, command, owner)


def rivalry(rng: Random, deal_id: UUID, customer: Customer) -> Rivalry:
    """What will be learnt about a deal, in order."""
    told: list[tuple[DealCommand, bool]] = []
    if rng.random() < 0.8:
        told.append((RecordCompellingEvent(deal_id=deal_id, text="The permit ends this year."), False))
    told += _people(rng, deal_id, customer)
    rivals = rng.sample(RIVALS, rng.choice((0, 1, 1, 2, 2, 3)))
    told += [(AddCompetitor(deal_id=deal_id, competitor=rival), False) for rival in rivals]
    told += _assessments(rng, deal_id, rivals)
    if not rivals and rng.random() < 0.5:
        told.append((ConfirmSoleSource(deal_id=deal_id, reason="The standard names us."), True))
        if rng.random() < 0.3:
            told.append((WithdrawSoleSource(deal_id=deal_id, reason="They look around."), False))
    if rng.random() < 0.6:
        told.append((FindInsideSource(deal_id=deal_id, note="The engineer tells us."), False))
    if told and isinstance(told[0][0], RecordCompellingEvent) and rng.random() < 0.4:
        told.append((ReassessCompellingEvent(deal_id=deal_id, text="The auditor insists."), False))
    if rng.random() < 0.5:
        told += _assessments(rng, deal_id, rivals)
    if rivals and rng.random() < 0.25:
        told.append((DropCompetitor(deal_id=deal_id, competitor=rivals[0], reason="Too dear."), False))
    if rng.random() < 0.1:
        told.append((LoseInsideSource(deal_id=deal_id, reason="Our friend left."), False))
    if rng.random() < 0.06:
        told.append((WithdrawCompellingEvent(deal_id=deal_id, reason="The permit was prolonged."), False))
    return Rivalry(deal_id, customer, told)


def _assessments(rng: Random, deal_id: UUID, rivals: list[str]) -> Iterator[tuple[DealCommand, bool]]:
    def score() -> Decimal:
        return Decimal(rng.randrange(6, 20)) / 2

    yield AssessOurPosition(deal_id=deal_id, need_fit=score(), relationship=score()), False
    for rival in rivals:
        yield (
            AssessCompetitor(deal_id=deal_id, competitor=rival, need_fit=score(), relationship=score()),
            False,
        )
    if rng.random() < 0.6:
        yield ConfirmAssessment(deal_id=deal_id, party="us"), True


def _people(rng: Random, deal_id: UUID, customer: Customer) -> Iterator[tuple[DealCommand, bool]]:
    first, second, _ = customer.contacts
    yield (
        AddDealContact(
            deal_id=deal_id, contact_id=first, account_id=customer.account_id, decision_role="decider"
        ),
        False,
    )
    attitude: Attitude = rng.choice(get_args(Attitude)[:4])
    yield AssessAttitude(deal_id=deal_id, contact_id=first, attitude=attitude), False
    if rng.random() < 0.3:
        yield AddDealContact(deal_id=deal_id, contact_id=second, account_id=customer.account_id), False
        revised = ReviseDealContact(
            deal_id=deal_id, contact_id=second, decision_role="user", department="Works", power="collaborate"
        )
        yield revised, False
        yield ChooseStrategy(deal_id=deal_id, contact_id=second, strategy="defend", reason="A friend."), False
        if rng.random() < 0.3:
            yield (
                RemoveDealContact(deal_id=deal_id, contact_id=second, reason="Moved to another plant."),
                False,
            )
