"""The playbook: funnels, grades, checklists, rates and all other rules that the company sells by."""

from functools import reduce
from types import ModuleType

from domain.event import Event
from domain.playbook import calendar, checklists, funnels, grades, measures, months, rates, relationships
from domain.playbook.calendar import CalendarSet, CurrencySet, SetCalendar, SetCurrency
from domain.playbook.checklists import ChecklistSet, ItemInput, SetChecklist
from domain.playbook.funnels import (
    MAX_ACTIVE_FUNNELS,
    DefineFunnel,
    FunnelDefined,
    FunnelRetired,
    FunnelRevised,
    RetireFunnel,
    ReviseFunnel,
    StageInput,
    Stages,
)
from domain.playbook.grades import GradeInput, GradesSet, SetGrades
from domain.playbook.measures import (
    CohortWindowSet,
    InsideSourceFactorSet,
    SetCohortWindow,
    SetInsideSourceFactor,
)
from domain.playbook.months import LockMonth, Month, MonthLocked, MonthUnlocked, UnlockMonth
from domain.playbook.parts import (
    Age,
    Checklist,
    Evidence,
    Funnel,
    Grade,
    GradeGroup,
    GradeRule,
    Grades,
    Item,
    MacroStage,
    Names,
    RateSet,
    Stage,
    StageRate,
    grade_group,
)
from domain.playbook.rates import AdoptRateSet, EvidenceInput, RateInput, RateSetAdopted
from domain.playbook.relationships import DepthRulesSet, SetDepthRules, SetStrategies, StrategiesSet
from domain.playbook.state import (
    EMPTY,
    STREAM_ID,
    FunnelCommand,
    NamesInput,
    Playbook,
    PlaybookCommand,
)

SLICES: tuple[ModuleType, ...] = (
    funnels,
    calendar,
    grades,
    checklists,
    rates,
    months,
    relationships,
    measures,
)
"""The slices of the playbook's rules, each with `evolve` and `decide` for its own events and commands."""


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after an event of any slice; a slice leaves it as it is after the others' events."""
    return reduce(lambda book, part: part.evolve(book, event), SLICES, playbook or EMPTY)


__all__ = [
    "EMPTY",
    "MAX_ACTIVE_FUNNELS",
    "SLICES",
    "STREAM_ID",
    "AdoptRateSet",
    "Age",
    "CalendarSet",
    "Checklist",
    "ChecklistSet",
    "CohortWindowSet",
    "CurrencySet",
    "DefineFunnel",
    "DepthRulesSet",
    "Evidence",
    "EvidenceInput",
    "Funnel",
    "FunnelCommand",
    "FunnelDefined",
    "FunnelRetired",
    "FunnelRevised",
    "Grade",
    "GradeGroup",
    "GradeInput",
    "GradeRule",
    "Grades",
    "GradesSet",
    "InsideSourceFactorSet",
    "Item",
    "ItemInput",
    "LockMonth",
    "MacroStage",
    "Month",
    "MonthLocked",
    "MonthUnlocked",
    "Names",
    "NamesInput",
    "Playbook",
    "PlaybookCommand",
    "RateInput",
    "RateSet",
    "RateSetAdopted",
    "RetireFunnel",
    "ReviseFunnel",
    "SetCalendar",
    "SetChecklist",
    "SetCohortWindow",
    "SetCurrency",
    "SetDepthRules",
    "SetGrades",
    "SetInsideSourceFactor",
    "SetStrategies",
    "Stage",
    "StageInput",
    "StageRate",
    "Stages",
    "StrategiesSet",
    "UnlockMonth",
    "evolve",
    "grade_group",
]
