"""Checks a log event by event: each must be what the domain decides on the history before it."""

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain import registry
from domain.command import Command
from domain.deal import (
    AdvanceStage,
    Deal,
    DealReopened,
    DealWon,
    LogActivity,
    RegressStage,
    ReopenDeal,
    StageAdvanced,
    StageRegressed,
    WinDeal,
)
from domain.event import Recorded
from domain.templates import TAS_PLUS

ORDER = [stage.key for stage in TAS_PLUS.stages]


def command_for(deal: UUID, what: str, chance: random.Random) -> Sequence[Command]:
    """A request's commands of this sort, with stages by chance."""
    stage = chance.choice(ORDER)
    match what:
        case "advance":
            return [AdvanceStage(deal_id=deal, to_stage=stage)]
        case "regress":
            return [RegressStage(deal_id=deal, to_stage=stage, reason="-")]
        case "win":
            return [WinDeal(deal_id=deal)]
        case "reopen":
            return [ReopenDeal(deal_id=deal, to_stage=stage, reason="-")]
        case "call":
            return [LogActivity(deal_id=deal, kind="call")]
    return [LogActivity(deal_id=deal, kind="call"), AdvanceStage(deal_id=deal, to_stage=stage)]


def assert_every_event_was_rightly_decided(events: Sequence[Recorded]) -> None:
    """No event contradicts the state of its deal before it."""
    states: dict[UUID, Any] = {}
    for recorded in events:
        deal, event = states.get(recorded.stream_id), recorded.event
        if deal is not None:
            assert_follows(deal, event)
        states[recorded.stream_id] = registry.evolve(deal, event)


def assert_follows(deal: Deal, event: Any) -> None:
    """The event could be decided on a deal in this state."""
    match event:
        case StageAdvanced():
            assert (deal.status, deal.stage) == ("open", event.from_stage)
            assert ORDER.index(event.to_stage) > ORDER.index(event.from_stage)
        case StageRegressed():
            assert (deal.status, deal.stage) == ("open", event.from_stage)
            assert ORDER.index(event.to_stage) < ORDER.index(event.from_stage)
        case DealWon():
            assert (deal.status, deal.stage) == ("open", event.from_stage)
        case DealReopened():
            assert (deal.status, event.was) == ("won", "won")
