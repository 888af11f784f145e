"""What the playbook's events and its state are made of. Stored: a field here is kept for ever."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from domain.money import Money

MacroStage = Literal[
    "needs_confirmed",
    "plan_confirmed",
    "procurement_negotiation",
    "contract_signed",
    "delivery_and_payment",
]
"""Shared by all funnels, in this order, so that totals add up (B1)."""

Grade = Literal["A", "B", "C", "D", "E"]
"""A and B are large and go stage by stage, C and D small with a fast track, E is partner-led (A2)."""

GradeGroup = Literal["AB", "CD", "E"]

Age = Literal["fresh", "stalled"]
"""Age of an open visit: up to the stage's `stall_after_days`, or beyond."""


class Names(msgspec.Struct, frozen=True):
    """A label in English and, where there is one, Chinese."""

    en: str
    zh: str | None = None


class Stage(msgspec.Struct, frozen=True):
    """One stage of a funnel. A visit is stalled after `stall_after_days`, pending loss after `lose_after_days`."""

    key: str
    label: Names
    macro_stage: MacroStage
    stall_after_days: int
    lose_after_days: int


class Funnel(msgspec.Struct, frozen=True):
    """A named list of stages with rules."""

    key: str
    label: Names
    dated: bool
    stages: tuple[Stage, ...]
    active: bool = True

    def order(self, stage: str) -> int | None:
        """The stage's place, from 0, or None when the funnel has no such stage."""
        for i, known in enumerate(self.stages):
            if known.key == stage:
                return i
        return None


class GradeRule(msgspec.Struct, frozen=True):
    """What a grade means in a funnel: the amounts it begins at, its methods, what it may ask of others.

    `from_amount` is inclusive; a grade without one is given by hand only.
    """

    grade: Grade
    from_amount: Money | None = None
    methods: tuple[str, ...] = ()
    entitlement: str | None = None


class Grades(msgspec.Struct, frozen=True):
    """The grades of a funnel. `fast_track` is the stage that C and D may jump to from any other."""

    rules: tuple[GradeRule, ...]
    fast_track: str | None = None

    def of(self, amount: Money | None) -> Grade | None:
        """The grade of an amount: the one with the highest beginning at or below it; None when unknown or below all."""
        begun = [
            (rule.from_amount.amount, rule.grade)
            for rule in self.rules
            if rule.from_amount is not None
            and amount is not None
            and rule.from_amount.amount <= amount.amount
        ]
        return max(begun)[1] if begun else None


def grade_group(grade: Grade | None) -> GradeGroup | None:
    """The group that a grade counts in; None for a deal without a grade."""
    match grade:
        case "A" | "B":
            return "AB"
        case "C" | "D":
            return "CD"
    return grade


class Item(msgspec.Struct, frozen=True):
    """One thing that must, or should, be known or done in a stage."""

    key: str
    label: Names
    required: bool


class Checklist(msgspec.Struct, frozen=True):
    """What a stage asks for: its items, and whether it is left only with an approved review."""

    items: tuple[Item, ...] = ()
    review_required: bool = False

    def required(self) -> tuple[str, ...]:
        """Keys of the required items, in order."""
        return tuple(item.key for item in self.items if item.required)


class StageRate(msgspec.Struct, frozen=True):
    """The win rate of a stage, 0 to 1 in 6 places; of visits of one age, or of all."""

    stage: str
    age: Age | None
    rate: Decimal


class Evidence(msgspec.Struct, frozen=True):
    """Where a rate set comes from: the recalibration record, its evidence digest (hex), the candidate chosen."""

    record: UUID
    digest: str
    candidate: str


class RateSet(msgspec.Struct, frozen=True):
    """One version of a funnel's stage win rates."""

    id: UUID
    funnel: str
    number: int
    effective_from: datetime
    rates: tuple[StageRate, ...]

    def of_stage(self, stage: str) -> tuple[StageRate, ...]:
        """The stage's rates: one for all ages, or one for fresh and one for stalled visits."""
        return tuple(rate for rate in self.rates if rate.stage == stage)
