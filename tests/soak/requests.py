"""What the writers ask for: a function of the seed, single commands and batches, all under a key of their own."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from api.commands import ROUTES
from domain.command import Command
from domain.deal import (
    AddCompetitor,
    AssessCompetitor,
    AssessOurPosition,
    LogActivity,
    OpenDeal,
    ReviseAmount,
    ReviseExpectedClose,
)
from domain.event import Actor
from domain.manager_forecast import SetForecast, WithdrawForecast
from domain.organisation import CreateTeam, JoinTeam, LeaveTeam
from domain.playbook import SetCurrency, SetInsideSourceFactor
from tests.soak.schedule import REQUESTS
from tests.store.replay import command_for
from tests.store.writer import chosen_id

SHARED = 4
"""Deals that all writers work on, so that they get in each other's way."""
OPENER = Actor("opener", "admin", "header")


@dataclass(frozen=True)
class Asked:
    """One request: its commands, who sends it, and the key under which it may be repeated."""

    key: str
    actor: Actor
    commands: tuple[Command, ...]
    alone: bool
    """Whether it goes to its command's own address rather than into a batch."""

    @property
    def path(self) -> str:
        """Where it is sent."""
        if not self.alone:
            return "/v1/commands"
        return ROUTES[self.commands[0].command_name()].path.format(**_fields(self.commands[0], in_path=False))

    @property
    def body(self) -> dict[str, object]:
        """What is sent there."""
        if self.alone:
            return _fields(self.commands[0], in_path=True)
        return {"commands": [_item(command) for command in self.commands]}

    @property
    def headers(self) -> dict[str, str]:
        """Who, which, and based on any version."""
        sent = {
            "X-Actor-Id": self.actor.id,
            "X-Actor-Role": self.actor.role,
            "Content-Type": "application/json",
            "Idempotency-Key": self.key,
        }
        if self.alone and ROUTES[self.commands[0].command_name()].needs_version:
            sent["If-Match"] = "*"
        return sent


def _fields(command: Command, *, in_path: bool) -> dict[str, object]:
    fields = command.model_dump(mode="json", exclude_unset=True)
    if in_path and (name := ROUTES[command.command_name()].id_in_path):
        del fields[name]
    return fields


def _item(command: Command) -> dict[str, object]:
    name = command.command_name()
    based_on = {"if_match": "*"} if ROUTES[name].needs_version else {}
    return {"command": name, **based_on, **_fields(command, in_path=False)}


def shared_deals(seed: int) -> list[UUID]:
    """The deals of a seed that everybody works on."""
    return [chosen_id(f"soak {seed} shared {n}") for n in range(SHARED)]


def opening(seed: int) -> list[Asked]:
    """What is asked before anybody else begins."""
    rules = (SetCurrency(currency="EUR"), CreateTeam(team="north", label="North"))
    deals = [OpenDeal(deal_id=deal, funnel="tas_plus", name="shared") for deal in shared_deals(seed)]
    return [Asked("opening", OPENER, (*rules, *deals), alone=False)]


def requests(seed: int, writer: int) -> Iterator[Asked]:
    """The requests of one writer, in order; the first opens a deal of its own."""
    chance = random.Random(f"soak {seed} writer {writer}")
    own, shared = chosen_id(f"soak {seed} writer {writer}"), shared_deals(seed)
    rep, admin = Actor(f"rep-{writer}", "rep", "header"), Actor(f"admin-{writer}", "admin", "header")
    yield Asked(f"{writer} 0", rep, (OpenDeal(deal_id=own, funnel="tas_plus", name="own"),), alone=True)
    for n in range(1, REQUESTS):
        deal = chance.choice([own, *shared])
        match chance.randrange(12):
            case 0 | 1 | 2:
                what = chance.choice(["advance", "regress", "win", "reopen", "call", "both"])
                actor, commands = rep, tuple(command_for(deal, what, chance))
            case 3 | 4:
                actor, commands = rep, (LogActivity(deal_id=deal, kind="call", note=f"{writer} {n}"),)
            case 5:
                amount = {"amount": str(chance.randint(1, 10**6)), "currency": "EUR"}
                actor, commands = rep, (ReviseAmount(deal_id=deal, amount=amount),)
            case 6:
                actor, commands = admin, tuple(_forecast(deal, chance))
            case 7:
                actor, commands = rep, tuple(_comparison(deal, chance))
            case 8:
                fresh = chosen_id(f"soak {seed} writer {writer} {n}")
                opened = OpenDeal(deal_id=fresh, funnel="tas_plus", name=f"{writer} {n}")
                actor, commands = rep, (opened, *command_for(fresh, "advance", chance))
            case 9:  # refused: nothing of it happens
                nobody = LogActivity(deal_id=UUID(int=n), kind="call")
                actor, commands = rep, (LogActivity(deal_id=deal, kind="call", note="never"), nobody)
            case 10:
                calls = [
                    LogActivity(deal_id=d, kind="call", note=f"{writer} {n} {d}") for d in (own, *shared)
                ]
                actor, commands = rep, tuple(calls)
            case _:
                actor, commands = admin, tuple(_rules(writer, chance))
        alone = len(commands) == 1 and chance.random() < 0.8
        yield Asked(f"{writer} {n}", actor, commands, alone)


def _forecast(deal: UUID, chance: random.Random) -> list[Command]:
    if chance.random() < 0.2:
        return [WithdrawForecast(deal_id=deal, reason="-")]
    month = chance.choice(["2031-03", "2031-04"])
    amount = {"amount": str(chance.randint(1, 10**6)), "currency": "EUR"}
    return [
        ReviseExpectedClose(deal_id=deal, expected_close=f"{month}-15"),
        SetForecast(deal_id=deal, amount=amount, month=month, reason="-"),
    ]


def _comparison(deal: UUID, chance: random.Random) -> list[Command]:
    scores = {"need_fit": chance.randint(0, 10), "relationship": chance.randint(0, 10)}
    if chance.random() < 0.5:
        return [AssessOurPosition(deal_id=deal, **scores)]
    rival = chance.choice(["acme", "globex"])
    return [
        AddCompetitor(deal_id=deal, competitor=rival),
        AssessCompetitor(deal_id=deal, competitor=rival, **scores),
    ]


def _rules(writer: int, chance: random.Random) -> list[Command]:
    """What every decision stands on moves, so that those in flight are made again."""
    person = f"rep-{chance.randrange(writer + 1)}"
    match chance.randrange(3):
        case 0:
            return [JoinTeam(person=person, team="north")]
        case 1:
            return [LeaveTeam(person=person, reason="-")]
    return [SetInsideSourceFactor(factor=f"0.{chance.randint(1, 7)}")]
