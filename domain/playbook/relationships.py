"""Rules about people: which activities count as interaction and how deep it goes, and what an attitude suggests."""

from typing import Annotated, ClassVar, get_args

import msgspec
from pydantic import Field, model_validator

from domain.command import Context, Key
from domain.event import Event
from domain.playbook.state import EMPTY, Days, Playbook, PlaybookCommand
from domain.relations import Attitude, AttitudeStrategy, DepthRules, Strategy

# --- Events -------------------------------------------------------------------------------------------


class DepthRulesSet(Event, frozen=True):
    """What counts as interaction, and from how many contacts on it goes how deep."""

    TOPIC: ClassVar[str] = "playbook.depth_rules_set"
    rules: DepthRules


class StrategiesSet(Event, frozen=True):
    """The strategy that each of the five attitudes suggests."""

    TOPIC: ClassVar[str] = "playbook.strategies_set"
    strategies: tuple[AttitudeStrategy, ...]


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case DepthRulesSet():
            return msgspec.structs.replace(book, depth_rules=event.rules)
        case StrategiesSet():
            return msgspec.structs.replace(book, strategies=event.strategies)
    return book


# --- Commands -----------------------------------------------------------------------------------------

Kinds = Annotated[tuple[Key, ...], Field(max_length=50)]
Count = Annotated[int, Field(ge=1, le=1000)]


class SetDepthRules(PlaybookCommand):
    """Set which kinds of activity count as interaction, and from how many contacts on it goes how deep."""

    REPLACES: ClassVar[bool] = True

    two_way: Kinds
    face_to_face: Annotated[Kinds, Field(description="Kinds that are face to face; two-way kinds, too.")]
    window_days: Days = 180
    occasional_from: Count = 1
    repeated_from: Count = 3
    deep_from: Count = 6

    @model_validator(mode="after")
    def _each_deeper_than_the_last(self) -> "SetDepthRules":
        if not self.occasional_from < self.repeated_from < self.deep_from:
            raise ValueError("occasional_from, repeated_from and deep_from must grow")
        if not set(self.face_to_face) <= set(self.two_way):
            raise ValueError("a kind that is face to face must be two-way, too")
        return self


class SetStrategies(PlaybookCommand):
    """Set the relationship strategy that each attitude suggests. Strategies chosen by hand stay."""

    REPLACES: ClassVar[bool] = True

    strongly_positive: Strategy
    positive: Strategy
    neutral: Strategy
    negative: Strategy
    strongly_negative: Strategy


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: PlaybookCommand, playbook: Playbook | None, _context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so."""
    book = playbook or EMPTY
    match command:
        case SetDepthRules():
            fields = {name: getattr(command, name) for name in DepthRules.__struct_fields__}
            rules = DepthRules(**fields)
            return () if rules == book.depth_rules else (DepthRulesSet(rules),)
        case SetStrategies():
            table = tuple(AttitudeStrategy(step, getattr(command, step)) for step in get_args(Attitude))
            return () if table == book.strategies else (StrategiesSet(table),)
    raise TypeError(f"no such command here: {command.command_name()}")
