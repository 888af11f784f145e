"""A fold with a mistake in it, and the two deals of which it takes one."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid5

import msgspec

from domain.deal import ActivityLogged, AmountRevised, DealOpened, StageAdvanced
from domain.event import Recorded
from domain.money import Money
from projections.engine.description import Out, Projection
from tests.projections.written_log import SPACE, Fact, playbook, recorded, stage

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
GOOD, BAD = uuid5(SPACE, "good"), uuid5(SPACE, "bad")
EUROS = Money(Decimal(5), "EUR")


def two_deals() -> list[Recorded]:
    """A good deal and a bad one, their events in turn."""
    facts = playbook("sales", [stage("lead"), stage("offer")])
    for event in (
        DealOpened("sales", "lead"),
        AmountRevised(None, EUROS),
        StageAdvanced("lead", "offer"),
        ActivityLogged(UUID(int=5), "visit"),
    ):
        facts += [Fact(GOOD, event, NOON, NOON), Fact(BAD, event, NOON, NOON)]
    return recorded(facts)


def failing_at_the_bad_amount(projection: Projection) -> Projection:
    """The projection, with a fold that has a mistake in it."""

    def fold(head: object, e: Recorded, out: Out) -> object:
        after = projection.fold(head, e, out)
        if e.stream_id == BAD and isinstance(e.event, AmountRevised):
            raise ZeroDivisionError("a mistake")
        return after

    return msgspec.structs.replace(projection, fold=fold)
