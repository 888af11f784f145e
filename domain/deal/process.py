"""The sales process on a deal: checklists, reviews, and which way through the funnel its grade allows."""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from domain.command import Context, Key, Reason
from domain.deal.state import (
    MANAGERS,
    Deal,
    DealCommand,
    Outcome,
    present,
    require_not_the_owner,
    require_open,
)
from domain.errors import PartnerMissing, ReasonMissing, ReviewMissing, UnknownItem, WrongStage
from domain.event import Event, Role
from domain.playbook.state import Playbook, require_stage

# --- Events -------------------------------------------------------------------------------------------


class ItemTicked(Event, frozen=True):
    """A thing that a stage asks for is known or done."""

    TOPIC: ClassVar[str] = "deal.item_ticked"
    GROUP: ClassVar[str | None] = "process"
    stage: str
    item: str


class ItemUnticked(Event, frozen=True):
    """A thing that a stage asks for is not known or done after all."""

    TOPIC: ClassVar[str] = "deal.item_unticked"
    GROUP: ClassVar[str | None] = "process"
    stage: str
    item: str


class StageReviewed(Event, frozen=True):
    """The deal was reviewed in a stage; an approval lets it leave, a rejection takes an earlier one back."""

    TOPIC: ClassVar[str] = "deal.stage_reviewed"
    GROUP: ClassVar[str | None] = "process"
    stage: str
    outcome: Outcome
    reason: str | None


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    match event:
        case ItemTicked():
            return msgspec.structs.replace(deal, ticked=deal.ticked | {(event.stage, event.item)})
        case ItemUnticked():
            return msgspec.structs.replace(deal, ticked=deal.ticked - {(event.stage, event.item)})
        case StageReviewed():
            return msgspec.structs.replace(deal, reviews={**deal.reviews, event.stage: event.outcome})
    return deal


# --- Commands -----------------------------------------------------------------------------------------


class ItemCommand(DealCommand):
    """A command on one item of a stage's checklist."""

    stage: Annotated[Key | None, Field(description="Default: the stage that the deal is in.")] = None
    item: Key


class TickItem(ItemCommand):
    """Say that a thing which a stage asks for is known or done."""


class UntickItem(ItemCommand):
    """Say that a thing which a stage asks for is not known or done after all."""


class ReviewStage(DealCommand):
    """Approve or reject the deal in the stage that it is in. A rejection says why."""

    ALLOWED: ClassVar[frozenset[Role]] = MANAGERS | {"integration"}

    stage: Key
    outcome: Outcome
    reason: Reason | None = None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    require_open(deal, command)
    match command:
        case TickItem():
            place = _item(command, deal, context.playbook)
            return () if place in deal.ticked else (ItemTicked(*place),)
        case UntickItem():
            place = _item(command, deal, context.playbook)
            return (ItemUnticked(*place),) if place in deal.ticked else ()
        case ReviewStage():
            return _review(command, deal, context)
    raise TypeError(f"no such command here: {command.command_name()}")


def _item(command: ItemCommand, deal: Deal, book: Playbook) -> tuple[str, str]:
    stage = command.stage or deal.stage
    require_stage(book.funnel(deal.funnel), stage, "stage")
    known = [item.key for item in book.checklist(deal.funnel, stage).items]
    if command.item not in known and (stage, command.item) not in deal.ticked:
        raise UnknownItem(
            f"The checklist of {stage!r} has no item {command.item!r}.",
            field="item",
            accepted=", ".join(known) or "none: the stage has no checklist",
        )
    return stage, command.item


def _review(command: ReviewStage, deal: Deal, context: Context) -> tuple[Event, ...]:
    require_stage(context.playbook.funnel(deal.funnel), command.stage, "stage")
    require_not_the_owner(context.actor, deal)
    if not context.importing:
        if command.stage != deal.stage:
            raise WrongStage(
                f"The deal is in {deal.stage!r}, not {command.stage!r}.", field="stage", accepted=deal.stage
            )
        if command.outcome == "rejected" and command.reason is None:
            raise ReasonMissing("Say why.", field="reason", accepted="a text of 1 to 2,000 characters")
    if command.outcome == "approved" and deal.reviews.get(command.stage) == "approved":
        return ()
    return (StageReviewed(command.stage, command.outcome, command.reason),)


def require_way(deal: Deal, to_stage: str, book: Playbook) -> tuple[str, ...]:
    """The stages skipped on the way to a later one, where the funnel has grades and the deal's allows it.

    A and B, and deals without a grade, go stage by stage; C and D may also jump to the fast track's stage; E
    leaves the first stage only with a registered partner. Raises WrongStage or PartnerMissing.
    """
    grades, funnel = book.grades.get(deal.funnel), book.funnel(deal.funnel)
    if grades is None:
        return ()
    here, there = funnel.order(deal.stage) or 0, funnel.order(to_stage) or 0
    if deal.grade == "E":
        if here == 0 and deal.partner is None:
            raise PartnerMissing(
                f"A partner-led deal leaves {deal.stage!r} only with a registered partner.",
                field="to_stage",
                accepted="register-partner first",
            )
    elif there > here + 1:
        allowed = [funnel.stages[here + 1].key]
        fast_track = grades.fast_track if deal.grade in ("C", "D") else None
        if fast_track is not None and (funnel.order(fast_track) or 0) > here + 1:
            allowed.append(fast_track)
        if to_stage not in allowed:
            raise WrongStage(
                f"A deal of grade {deal.grade or 'unknown'} does not skip to {to_stage!r}.",
                field="to_stage",
                accepted=", ".join(allowed),
            )
    return tuple(stage.key for stage in funnel.stages[here + 1 : there])


def require_approval(deal: Deal, book: Playbook) -> None:
    """Raises ReviewMissing where the stage is left only with an approved review and there is none."""
    if book.checklist(deal.funnel, deal.stage).review_required and deal.reviews.get(deal.stage) != "approved":
        raise ReviewMissing(
            f"{deal.stage!r} is left only with an approved review.",
            field="to_stage",
            accepted="review-stage, by a manager, with the outcome approved",
        )


def open_items_of(deal: Deal, stage: str, book: Playbook) -> tuple[str, ...]:
    """Keys of the required items of the stage's checklist that are not ticked on the deal."""
    return tuple(
        key for key in book.checklist(deal.funnel, stage).required() if (stage, key) not in deal.ticked
    )
