"""Checklists (B2): what must be known or done in a stage, and whether it is left only with a review."""

from typing import Annotated, ClassVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from domain.command import Context, Key
from domain.event import Event
from domain.playbook.parts import Checklist, Item
from domain.playbook.state import EMPTY, FunnelCommand, NamesInput, Playbook, require_stage

# --- Events -------------------------------------------------------------------------------------------


class ChecklistSet(Event, frozen=True):
    """What a stage asks for from now on; the whole list. No item and no review: nothing."""

    TOPIC: ClassVar[str] = "playbook.checklist_set"
    funnel: str
    stage: str
    items: tuple[Item, ...]
    review_required: bool


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case ChecklistSet():
            lists = {**book.checklists.get(event.funnel, {})}
            lists[event.stage] = Checklist(event.items, event.review_required)
            return msgspec.structs.replace(book, checklists={**book.checklists, event.funnel: lists})
    return book


# --- Commands -----------------------------------------------------------------------------------------


class ItemInput(BaseModel):
    """One item of a checklist."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: Key
    label: NamesInput
    required: bool = True


def _distinct(items: tuple[ItemInput, ...]) -> tuple[ItemInput, ...]:
    if len({i.key for i in items}) < len(items):
        raise ValueError("item keys must be distinct")
    return items


class SetChecklist(FunnelCommand):
    """Set what a stage asks for, the whole list at once."""

    REPLACES: ClassVar[bool] = True

    stage: Key
    items: Annotated[tuple[ItemInput, ...], Field(max_length=50), AfterValidator(_distinct)]
    review_required: Annotated[
        bool, Field(description="Whether the stage is left only with an approved review.")
    ] = False


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: SetChecklist, playbook: Playbook | None, _context: Context) -> tuple[Event, ...]:
    """The checklist; nothing when it is so already. Raises a Refusal."""
    book = playbook or EMPTY
    require_stage(book.funnel(command.funnel), command.stage, "stage")
    items = tuple(Item(i.key, i.label.names(), i.required) for i in command.items)
    if Checklist(items, command.review_required) == book.checklist(command.funnel, command.stage):
        return ()
    return (ChecklistSet(command.funnel, command.stage, items, command.review_required),)
