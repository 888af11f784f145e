"""Grades of deals (A2), per funnel: by amount, or by hand; with a fast track for the small ones."""

from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from domain.command import Context, Key, Label
from domain.errors import PlaybookConflict
from domain.event import Event
from domain.money import MoneyInput
from domain.playbook.calendar import stored_amount
from domain.playbook.parts import Grade, GradeRule, Grades
from domain.playbook.state import EMPTY, FunnelCommand, Playbook, require_stage

# --- Events -------------------------------------------------------------------------------------------


class GradesSet(Event, frozen=True):
    """The grades of a funnel and the stage that C and D may jump to; no rule: the funnel has no grades."""

    TOPIC: ClassVar[str] = "playbook.grades_set"
    funnel: str
    rules: tuple[GradeRule, ...]
    fast_track: str | None


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case GradesSet():
            grades = {funnel: rules for funnel, rules in book.grades.items() if funnel != event.funnel}
            if event.rules:
                grades[event.funnel] = Grades(event.rules, event.fast_track)
            return msgspec.structs.replace(book, grades=grades)
    return book


# --- Commands -----------------------------------------------------------------------------------------


class GradeInput(BaseModel):
    """What a grade means. E is partner-led and given by hand, so it begins at no amount."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    grade: Grade
    from_amount: MoneyInput | None = None
    methods: Annotated[
        tuple[Key, ...], Field(max_length=30, description="Methods that the grade requires.")
    ] = ()
    entitlement: Annotated[Label | None, Field(description="What it may ask of other departments.")] = None


def _bands(grades: tuple[GradeInput, ...]) -> tuple[GradeInput, ...]:
    if len({g.grade for g in grades}) < len(grades):
        raise ValueError("grades must be distinct")
    if any(g.grade == "E" and g.from_amount for g in grades):
        raise ValueError("E is given by hand and begins at no amount")
    begun = [g.from_amount.amount for g in sorted(grades, key=lambda g: g.grade) if g.from_amount]
    if any(larger <= smaller for larger, smaller in pairwise(begun)):
        raise ValueError("a better grade must begin at a larger amount")
    return grades


class SetGrades(FunnelCommand):
    """Set the grades of a funnel, all of them at once; none lets its deals move freely."""

    REPLACES: ClassVar[bool] = True

    grades: Annotated[tuple[GradeInput, ...], Field(max_length=5), AfterValidator(_bands)]
    fast_track: Annotated[Key | None, Field(description="The stage that C and D may jump to.")] = None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: SetGrades, playbook: Playbook | None, _context: Context) -> tuple[Event, ...]:
    """The grades; nothing when they are so already. Raises a Refusal."""
    book = playbook or EMPTY
    funnel = book.funnel(command.funnel)
    if command.fast_track is not None:
        require_stage(funnel, command.fast_track, "fast_track")
        if not command.grades:
            raise PlaybookConflict(
                "A fast track is for grades, and there are none.", field="fast_track", accepted="null"
            )
    rules = tuple(
        GradeRule(g.grade, stored_amount(g.from_amount, book, "grades.from_amount"), g.methods, g.entitlement)
        for g in command.grades
    )
    event = GradesSet(command.funnel, rules, command.fast_track)
    return () if evolve(book, event) == book else (event,)
