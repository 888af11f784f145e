"""A deal's way through its funnel: forward, back, to its end, and open again."""

from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import Field

from domain.command import Context, Key, Reason
from domain.deal.process import open_items_of, require_approval, require_way
from domain.deal.state import Deal, DealCommand, present, require_open
from domain.errors import ChecklistOpen, DealOpen, ReasonMissing, WrongStage
from domain.event import Event
from domain.playbook.state import require_stage

# --- Events -------------------------------------------------------------------------------------------


class StageAdvanced(Event, frozen=True):
    """The deal moved to a later stage of its funnel."""

    TOPIC: ClassVar[str] = "deal.stage_advanced"
    SCHEMA: ClassVar[int] = 2
    from_stage: str
    to_stage: str
    override_reason: str | None = None
    open_items: tuple[str, ...] = ()
    """Required items of the stage left that were not ticked; `override_reason` says why it was left."""
    skipped: tuple[str, ...] = ()
    """The stages between, where the funnel has grades."""


class StageRegressed(Event, frozen=True):
    """The deal moved back to an earlier stage. Imports may not know why."""

    TOPIC: ClassVar[str] = "deal.stage_regressed"
    from_stage: str
    to_stage: str
    reason: str | None


class DealWon(Event, frozen=True):
    """The customer bought from us."""

    TOPIC: ClassVar[str] = "deal.won"
    from_stage: str


class DealLost(Event, frozen=True):
    """The customer bought from somebody else, or not at all."""

    TOPIC: ClassVar[str] = "deal.lost"
    from_stage: str
    reason: str | None


class DealAbandoned(Event, frozen=True):
    """We, or the customer, stopped before a decision."""

    TOPIC: ClassVar[str] = "deal.abandoned"
    from_stage: str
    reason: str | None


class DealReopened(Event, frozen=True):
    """A closed deal is open again, in the named stage."""

    TOPIC: ClassVar[str] = "deal.reopened"
    was: Literal["won", "lost", "abandoned"]
    to_stage: str
    reason: str | None


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    match event:
        case StageAdvanced() | StageRegressed():
            return _in_stage(deal, event.to_stage)
        case DealWon():
            return msgspec.structs.replace(deal, status="won", closed_times=deal.closed_times + 1)
        case DealLost():
            return msgspec.structs.replace(deal, status="lost", closed_times=deal.closed_times + 1)
        case DealAbandoned():
            return msgspec.structs.replace(deal, status="abandoned", closed_times=deal.closed_times + 1)
        case DealReopened():
            return msgspec.structs.replace(_in_stage(deal, event.to_stage), status="open")
    return deal


def _in_stage(deal: Deal, stage: str) -> Deal:
    return msgspec.structs.replace(deal, stage=stage, left=deal.left | {deal.stage})


# --- Commands -----------------------------------------------------------------------------------------


class AdvanceStage(DealCommand):
    """Move the deal to a later stage of its funnel."""

    to_stage: Key
    override_reason: Annotated[
        Reason | None, Field(description="Why the stage is left with required items of its checklist open.")
    ] = None


class RegressStage(DealCommand):
    """Move the deal back to an earlier stage, and say why."""

    to_stage: Key
    reason: Reason | None = None


class WinDeal(DealCommand):
    """Close the deal as won."""


class LoseDeal(DealCommand):
    """Close the deal as lost."""

    reason: Reason | None = None


class AbandonDeal(DealCommand):
    """Close the deal as abandoned."""

    reason: Reason | None = None


class ReopenDeal(DealCommand):
    """Open a closed deal again, in the named stage, and say why."""

    to_stage: Key
    reason: Reason | None = None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    match command:
        case AdvanceStage():
            return _advance(command, deal, context)
        case RegressStage():
            return _regress(command, deal, context)
        case WinDeal():
            return () if deal.status == "won" else (DealWon(_closing(deal, command)),)
        case LoseDeal():
            return () if deal.status == "lost" else (DealLost(_closing(deal, command), command.reason),)
        case AbandonDeal():
            if deal.status == "abandoned":
                return ()
            return (DealAbandoned(_closing(deal, command), command.reason),)
        case ReopenDeal():
            return _reopen(command, deal, context)
    raise TypeError(f"no such command here: {command.command_name()}")


def _advance(command: AdvanceStage, deal: Deal, context: Context) -> tuple[Event, ...]:
    ahead = _move(command.to_stage, deal, command, context)
    if ahead < 0:
        raise WrongStage(
            f"{command.to_stage!r} lies before {deal.stage!r}; use regress-stage and say why.",
            field="to_stage",
            accepted=_stages_after(deal, context),
        )
    if not ahead:
        return ()
    if context.importing:  # it happened, by whatever rules
        return (StageAdvanced(deal.stage, command.to_stage),)
    skipped = require_way(deal, command.to_stage, context.playbook)
    require_approval(deal, context.playbook)
    open_items = open_items_of(deal, deal.stage, context.playbook)
    if open_items and command.override_reason is None:
        raise ChecklistOpen(
            f"Required items of {deal.stage!r} are open: {', '.join(open_items)}.",
            field="override_reason",
            accepted="tick-item for each of them first, or an override_reason",
        )
    why = command.override_reason if open_items else None
    return (StageAdvanced(deal.stage, command.to_stage, why, open_items, skipped),)


def _regress(command: RegressStage, deal: Deal, context: Context) -> tuple[Event, ...]:
    ahead = _move(command.to_stage, deal, command, context)
    if ahead > 0:
        raise WrongStage(
            f"{command.to_stage!r} lies after {deal.stage!r}; use advance-stage.",
            field="to_stage",
            accepted="an earlier stage",
        )
    _require_reason(command.reason, context)
    return (StageRegressed(deal.stage, command.to_stage, command.reason),) if ahead else ()


def _reopen(command: ReopenDeal, deal: Deal, context: Context) -> tuple[Event, ...]:
    if deal.status not in ("won", "lost", "abandoned"):
        raise DealOpen("The deal is open.", field="deal_id", accepted="a closed deal")
    require_stage(context.playbook.funnel(deal.funnel), command.to_stage, "to_stage")
    _require_reason(command.reason, context)
    return (DealReopened(deal.status, command.to_stage, command.reason),)


def _closing(deal: Deal, command: DealCommand) -> str:
    require_open(deal, command)
    return deal.stage


def _move(to_stage: str, deal: Deal, command: DealCommand, context: Context) -> int:
    """How many stages ahead `to_stage` lies; negative when behind."""
    require_open(deal, command)
    funnel = context.playbook.funnel(deal.funnel)
    return require_stage(funnel, to_stage, "to_stage") - (funnel.order(deal.stage) or 0)


def _require_reason(reason: str | None, context: Context) -> None:
    if reason is None and not context.importing:
        raise ReasonMissing("Say why.", field="reason", accepted="a text of 1 to 2,000 characters")


def _stages_after(deal: Deal, context: Context) -> str:
    funnel = context.playbook.funnel(deal.funnel)
    later = funnel.stages[(funnel.order(deal.stage) or 0) + 1 :]
    return ", ".join(s.key for s in later) or "none: this is the last stage"
