"""The playbook: the rules in force, and what every slice of it asks first. One stream per deployment.

The rules lie beside this file, a slice each, in the order Events, `evolve`, Commands, `decide`.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID, uuid5

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from domain.command import Command, Key, Label
from domain.errors import UnknownFunnel, UnknownStage
from domain.event import Role
from domain.playbook.parts import Checklist, Funnel, Grades, Names, RateSet
from domain.relations import DEFAULT_STRATEGIES, Attitude, AttitudeStrategy, DepthRules, Strategy
from domain.win_rate import MAX_FACTOR

STREAM_ID = uuid5(UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), "dealtrace:playbook")
"""The stream of the one playbook: UUIDv5 of its name in the URL namespace."""


class Playbook(msgspec.Struct, frozen=True):
    """The rules in force. What is by funnel is missing for a funnel without such rules."""

    funnels: dict[str, Funnel] = {}
    currency: str | None = None
    time_zone: str = "UTC"
    fiscal_year_start: int = 1
    grades: dict[str, Grades] = {}
    """By funnel."""
    checklists: dict[str, dict[str, Checklist]] = {}
    """By funnel and stage."""
    rate_sets: dict[str, tuple[RateSet, ...]] = {}
    """By funnel, in order of their numbers."""
    locked_months: frozenset[str] = frozenset()
    depth_rules: DepthRules = DepthRules()
    strategies: tuple[AttitudeStrategy, ...] = DEFAULT_STRATEGIES
    no_inside_source_factor: Decimal = MAX_FACTOR
    cohort_window_weeks: int = 11
    """By default as in the example of the source: a cycle of nine weeks looks back eleven."""

    def active_funnels(self) -> list[str]:
        """Keys of the funnels in which deals may be opened."""
        return [key for key, funnel in self.funnels.items() if funnel.active]

    def funnel(self, key: str) -> Funnel:
        """The funnel with this key. Raises UnknownFunnel."""
        if key not in self.funnels:
            raise UnknownFunnel(
                f"There is no funnel {key!r}.", field="funnel", accepted=", ".join(self.funnels) or "none yet"
            )
        return self.funnels[key]

    def checklist(self, funnel: str, stage: str) -> Checklist:
        """What the stage asks for; nothing where nothing was set."""
        return self.checklists.get(funnel, {}).get(stage, Checklist())

    def rate_set(self, funnel: str, at: datetime) -> RateSet | None:
        """The rate set in force: the latest effective by then; of two effective at once the one adopted later."""
        begun = [s for s in self.rate_sets.get(funnel, ()) if s.effective_from <= at]
        return max(begun, key=lambda s: (s.effective_from, s.number), default=None)

    def strategy(self, attitude: Attitude) -> Strategy:
        """The strategy that the attitude suggests."""
        return next(row.strategy for row in self.strategies if row.attitude == attitude)


EMPTY = Playbook()


class NamesInput(BaseModel):
    """A label in English and, where there is one, Chinese."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    en: Label
    zh: Label | None = None

    def names(self) -> Names:
        """The same as stored."""
        return Names(self.en, self.zh)


Days = Annotated[int, Field(ge=1, le=3650)]


class PlaybookCommand(Command):
    """A command on the playbook."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset({"sales_operations", "admin", "system"})

    def stream_id(self) -> UUID:
        """The one playbook."""
        return STREAM_ID


class FunnelCommand(PlaybookCommand):
    """A command on one funnel of the playbook."""

    funnel: Key


def require_stage(funnel: Funnel, stage: str, field: str) -> int:
    """The stage's place in the funnel, from 0. Raises UnknownStage."""
    order = funnel.order(stage)
    if order is None:
        raise UnknownStage(
            f"The funnel {funnel.key!r} has no stage {stage!r}.",
            field=field,
            accepted=", ".join(s.key for s in funnel.stages),
        )
    return order
