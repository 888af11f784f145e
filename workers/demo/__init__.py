"""The demonstration company: two years of an invented firm's deals, drawn from a seed.

It is told through the ordinary commands, as an import would: each with the day it happened and the day the firm
wrote it down, so that both clocks have something to answer. Everything hangs on the Monday on which the story
ends: the same seed gives the same ids, stages and amounts on every machine, and dates that are always recent.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from uuid import UUID

from domain.command import Command
from domain.event import Actor
from infra.executor import Executor
from infra.ids import imported_id
from infra.requests import Request
from workers.demo.accounts import customers, introductions
from workers.demo.company import (
    OWNERS,
    TEAMS,
    WORKDAYS,
    Happening,
    changes,
    moment,
    monday,
    people,
    rules,
    truth,
)
from workers.demo.deals import deal
from workers.demo.forecasts import with_forecasts

SEED = 2
DEALS = 400
SOURCE = "demonstration"

__all__ = [
    "DEALS",
    "OWNERS",
    "SEED",
    "SOURCE",
    "TEAMS",
    "WORKDAYS",
    "load",
    "monday",
    "story",
    "truth",
    "write_truth",
]


def load(executor: Executor, until: datetime, *, seed: int = SEED) -> int:
    """Append the company's story to an empty log, in one transaction, and return how many events it has.

    `until` is the Monday on which it ends, not in the future. Raises the first refusal.
    """
    answers = executor.execute(story(until, seed=seed))
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return max(answer.position for answer in answers if not isinstance(answer, Exception))


def write_truth(folder: Path) -> Path:
    """Write beside the data what the company does not know about itself, as JSON, and return where."""
    file = folder / "demonstration.json"
    file.write_text(json.dumps({"seed": SEED, "deals": DEALS, **truth()}, indent=2) + "\n", encoding="utf-8")
    return file


def story(until: datetime, *, seed: int = SEED) -> list[Request]:
    """Every command of the company, in the order in which the firm wrote it down."""
    told: list[tuple[float, Happening]] = []
    for happenings in _threads(seed, until):
        known = 0.0
        for happening in happenings:
            known = max(known, happening.day + happening.written_after)
            if known >= WORKDAYS:
                break
            told.append((known, happening))
    told.sort(key=lambda pair: pair[0])
    return [
        *(_founding(number, command, until) for number, command in enumerate([*rules(), *people()])),
        *(_request(number, known, happening, until) for number, (known, happening) in enumerate(told)),
    ]


def _threads(seed: int, until: datetime) -> Iterator[Iterable[Happening]]:
    """What happened, thread by thread, each in order of time: the company's own, its customers', its deals'."""
    rng = Random(seed)  # noqa: S311 -- a story, not a secret
    yield sorted(changes(until), key=lambda happening: happening.day)
    known, twins = customers(SOURCE), list[UUID]()
    for number, customer in enumerate(known):
        yield sorted(introductions(rng, customer, number), key=lambda happening: happening.day)
    for number in range(DEALS):
        deal_id = imported_id("deal", SOURCE, str(number))
        career = list(deal(rng, number, deal_id, rng.choice(known), until, twins))
        yield with_forecasts(rng, deal_id, career, until)


def _founding(number: int, command: Command, until: datetime) -> Request:
    began = moment(0, until)
    return Request(
        commands=(command.model_copy(update={"occurred_at": began}),),
        actor=Actor("dealtrace", "system", "system"),
        command_id=f"{SOURCE}-founding-{number}",
        origin="import",
        source_recorded_at=began,
    )


def _request(number: int, known: float, happening: Happening, until: datetime) -> Request:
    command = happening.command.model_copy(update={"occurred_at": moment(happening.day, until)})
    return Request(
        commands=(command,),
        actor=Actor(happening.actor, happening.role, SOURCE),
        command_id=f"{SOURCE}-{number}",
        origin="import",
        source_recorded_at=moment(known, until),
    )
