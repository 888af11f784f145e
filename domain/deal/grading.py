"""A deal's grade (A2): by its amount, or by hand with a reason; and the partner that a partner-led deal needs."""

from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import Field

from domain.command import Context, Label, Reason
from domain.deal.process import open_items_of
from domain.deal.state import Deal, DealCommand, present, require_open
from domain.errors import ReasonMissing, UnknownGrade
from domain.event import Event, Role
from domain.playbook.parts import Grade
from domain.playbook.state import Playbook

# --- Events -------------------------------------------------------------------------------------------


class Missed(msgspec.Struct, frozen=True):
    """What a large deal should have had in an earlier stage: required items not ticked, or the stage itself."""

    stage: str
    skipped: bool
    open_items: tuple[str, ...]


class DealGraded(Event, frozen=True):
    """The deal has another grade, by its amount or by hand. Null: none.

    `missed` lists, for one that became A or B, what the stages before its present one asked for in vain.
    """

    TOPIC: ClassVar[str] = "deal.graded"
    from_grade: Grade | None
    to_grade: Grade | None
    by: Literal["amount", "override"]
    reason: str | None
    missed: tuple[Missed, ...]


class PartnerRegistered(Event, frozen=True):
    """The partner who leads the deal is registered."""

    TOPIC: ClassVar[str] = "deal.partner_registered"
    partner: str
    from_partner: str | None


class PartnerWithdrawn(Event, frozen=True):
    """No partner leads the deal any more."""

    TOPIC: ClassVar[str] = "deal.partner_withdrawn"
    partner: str
    reason: str


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    match event:
        case DealGraded():
            return msgspec.structs.replace(deal, grade=event.to_grade, grade_by_hand=event.by == "override")
        case PartnerRegistered():
            return msgspec.structs.replace(deal, partner=event.partner)
        case PartnerWithdrawn():
            return msgspec.structs.replace(deal, partner=None)
    return deal


# --- Commands -----------------------------------------------------------------------------------------


class GradeDeal(DealCommand):
    """Give the deal a grade by hand, and say why; null lets the amount decide again."""

    ALLOWED: ClassVar[frozenset[Role]] = DealCommand.ALLOWED - {"rep"}

    grade: Grade | None
    reason: Annotated[Reason | None, Field(description="Needed for a grade by hand.")] = None


class RegisterPartner(DealCommand):
    """Register the partner who leads the deal."""

    partner: Label


class WithdrawPartner(DealCommand):
    """Let no partner lead the deal any more, and say why."""

    reason: Reason


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    require_open(deal, command)
    match command:
        case GradeDeal() if command.grade is not None:
            return _grade(command, command.grade, deal, context)
        case GradeDeal():
            if not deal.grade_by_hand:
                return regraded(deal, context.playbook)
            automatic = _by_amount(deal, context.playbook)
            return (_graded(deal, automatic, "amount", command.reason, context.playbook),)
        case RegisterPartner():
            if command.partner == deal.partner:
                return ()
            return (PartnerRegistered(command.partner, deal.partner),)
        case WithdrawPartner():
            return () if deal.partner is None else (PartnerWithdrawn(deal.partner, command.reason),)
    raise TypeError(f"no such command here: {command.command_name()}")


def _grade(command: GradeDeal, grade: Grade, deal: Deal, context: Context) -> tuple[Event, ...]:
    grades = context.playbook.grades.get(deal.funnel)
    if grades is None or grade not in {rule.grade for rule in grades.rules}:
        raise UnknownGrade(
            f"The funnel {deal.funnel!r} has no grade {grade}.",
            field="grade",
            accepted=", ".join(rule.grade for rule in grades.rules) if grades else "set-grades first",
        )
    if (grade, True) == (deal.grade, deal.grade_by_hand):
        return ()
    if command.reason is None and not context.importing:
        raise ReasonMissing("Say why.", field="reason", accepted="a text of 1 to 2,000 characters")
    return (_graded(deal, grade, "override", command.reason, context.playbook),)


def regraded(deal: Deal, book: Playbook) -> tuple[Event, ...]:
    """The grade that the amount gives, if it is another than before and none was given by hand."""
    if deal.funnel not in book.grades or deal.grade_by_hand:
        return ()
    grade = _by_amount(deal, book)
    return () if grade == deal.grade else (_graded(deal, grade, "amount", None, book),)


def _by_amount(deal: Deal, book: Playbook) -> Grade | None:
    grades = book.grades.get(deal.funnel)
    return grades.of(deal.amount) if grades else None


def _graded(
    deal: Deal, grade: Grade | None, by: Literal["amount", "override"], reason: str | None, book: Playbook
) -> DealGraded:
    missed = _missed(deal, book) if grade in ("A", "B") else ()
    return DealGraded(deal.grade, grade, by, reason, missed)


def _missed(deal: Deal, book: Playbook) -> tuple[Missed, ...]:
    funnel = book.funnel(deal.funnel)
    found = [
        Missed(stage.key, stage.key not in deal.left, open_items_of(deal, stage.key, book))
        for stage in funnel.stages[: funnel.order(deal.stage)]
    ]
    return tuple(m for m in found if m.skipped or m.open_items)
