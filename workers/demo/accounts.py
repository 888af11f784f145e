"""The customers of the demonstration company, and the people there."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple, get_args
from uuid import UUID

from domain.account import (
    AddContact,
    AssessOverallAttitude,
    ClassifyAccount,
    DescribeContact,
    OpenAccount,
    RenameAccount,
    RetireContact,
    ReviseContactTraits,
)
from domain.relations import Attitude
from infra.ids import imported_id
from workers.demo.company import Happening

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
REGIONS = ("north", "south")
PEOPLE = (("Rowan Thole", "Head of purchasing"), ("Imre Vask", "Plant manager"), ("Sol Amberg", "Engineer"))


class Customer(NamedTuple):
    """A customer and the ids by which it and its people are known."""

    name: str
    account_id: UUID
    contacts: tuple[UUID, ...]
    region: str
    public: bool

    @property
    def segment(self) -> str:
        """Its segment."""
        return "public" if self.public else "industry"


def customers(source: str) -> list[Customer]:
    """All of them."""
    found = []
    for n, name in enumerate(f"{place} {trade}" for place in PLACES for trade in TRADES):
        contacts = tuple(imported_id("contact", source, f"{name} {i}") for i in range(len(PEOPLE)))
        public = name.endswith(("Hospital", "Water Board"))
        found.append(Customer(name, imported_id("account", source, name), contacts, REGIONS[n % 2], public))
    return found


def introductions(rng: Random, customer: Customer, number: int) -> Iterator[Happening]:
    """How a customer and its people became known, in the first days, and what changed about them later."""
    account, who = customer.account_id, "lena" if customer.public else "anna"
    opened = OpenAccount(
        account_id=account, name=customer.name, customer_segment=customer.segment, region=customer.region
    )
    yield Happening(0.2, opened, who)
    for contact, (name, title) in zip(customer.contacts, PEOPLE, strict=True):
        added = AddContact(account_id=account, contact_id=contact, name=name, job_title=title)
        yield Happening(0.3, added, who)
    first, second, third = customer.contacts
    day = rng.uniform(20, 400)
    attitude: Attitude = rng.choice(get_args(Attitude))
    yield Happening(day, AssessOverallAttitude(account_id=account, contact_id=first, attitude=attitude), who)
    if number % 9 == 0:
        traits = ReviseContactTraits(
            account_id=account,
            contact_id=second,
            job_title="Plant manager",
            department="Works",
            orientation="pragmatic",
        )
        yield Happening(day + 1, traits, who)
        details = DescribeContact(
            account_id=account, contact_id=second, details="Prefers to be called before noon."
        )
        yield Happening(day + 2, details, who)
        yield Happening(
            500, RetireContact(account_id=account, contact_id=third, reason="Left the company."), who
        )
        yield Happening(day + 4, RenameAccount(account_id=account, name=f"{customer.name} Group"), who)
        moved = ClassifyAccount(account_id=account, customer_segment="group", region=customer.region)
        yield Happening(day + 5, moved, who)
