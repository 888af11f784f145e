"""Funnels: named lists of stages. Stages may be added, relabelled and reordered, not removed."""

from typing import Annotated, ClassVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.command import Context, Key, Reason
from domain.errors import PlaybookConflict
from domain.event import Event
from domain.playbook.parts import Funnel, MacroStage, Names, Stage
from domain.playbook.state import EMPTY, Days, FunnelCommand, NamesInput, Playbook, PlaybookCommand

MAX_ACTIVE_FUNNELS = 3

# --- Events -------------------------------------------------------------------------------------------


class FunnelDefined(Event, frozen=True):
    """A funnel came into use. `dated` funnels expect a close date; an undated one has one horizon, eventually."""

    TOPIC: ClassVar[str] = "playbook.funnel_defined"
    funnel: str
    label: Names
    dated: bool
    stages: tuple[Stage, ...]


class FunnelRevised(Event, frozen=True):
    """A funnel's label, stages or thresholds changed; the whole new definition."""

    TOPIC: ClassVar[str] = "playbook.funnel_revised"
    funnel: str
    label: Names
    dated: bool
    stages: tuple[Stage, ...]


class FunnelRetired(Event, frozen=True):
    """No deal may be opened in the funnel any more; those in it go on."""

    TOPIC: ClassVar[str] = "playbook.funnel_retired"
    funnel: str
    reason: str


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case FunnelDefined() | FunnelRevised():
            funnel = Funnel(event.funnel, event.label, event.dated, event.stages)
            return msgspec.structs.replace(book, funnels={**book.funnels, event.funnel: funnel})
        case FunnelRetired():
            retired = msgspec.structs.replace(book.funnels[event.funnel], active=False)
            return msgspec.structs.replace(book, funnels={**book.funnels, event.funnel: retired})
    return book


# --- Commands -----------------------------------------------------------------------------------------


CLOSED_KEYS = frozenset({"won", "lost", "abandoned"})


class StageInput(BaseModel):
    """One stage of a funnel. `lose_after_days` defaults to twice `stall_after_days`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: Key
    label: NamesInput
    macro_stage: MacroStage
    stall_after_days: Days
    lose_after_days: Days | None = None

    @model_validator(mode="after")
    def _loses_after_it_stalls(self) -> "StageInput":
        if self.key in CLOSED_KEYS:
            raise ValueError("won, lost and abandoned are outcomes and can not be stages")
        if self.lose_after_days is not None and self.lose_after_days < self.stall_after_days:
            raise ValueError("lose_after_days must not be less than stall_after_days")
        return self

    def stage(self) -> Stage:
        """The same as stored."""
        lose_after = self.lose_after_days or min(2 * self.stall_after_days, 3650)
        return Stage(self.key, self.label.names(), self.macro_stage, self.stall_after_days, lose_after)


def _distinct(stages: tuple[StageInput, ...]) -> tuple[StageInput, ...]:
    if len({s.key for s in stages}) < len(stages):
        raise ValueError("stage keys must be distinct")
    return stages


Stages = Annotated[tuple[StageInput, ...], Field(min_length=1, max_length=30), AfterValidator(_distinct)]


class DefineFunnel(FunnelCommand):
    """Bring a funnel into use. At most three are active at a time."""

    label: NamesInput
    dated: bool = True
    stages: Stages


class ReviseFunnel(FunnelCommand):
    """Replace a funnel's definition. Stages may be added, relabelled and reordered, not removed."""

    REPLACES: ClassVar[bool] = True

    label: NamesInput
    dated: bool = True
    stages: Stages


class RetireFunnel(FunnelCommand):
    """Let no more deals be opened in a funnel."""

    reason: Reason


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: PlaybookCommand, playbook: Playbook | None, _context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    book = playbook or EMPTY
    match command:
        case DefineFunnel():
            return _define(command, book)
        case ReviseFunnel():
            return _revise(command, book)
        case RetireFunnel():
            funnel = book.funnel(command.funnel)
            return (FunnelRetired(command.funnel, command.reason),) if funnel.active else ()
    raise TypeError(f"no such command here: {command.command_name()}")


def _define(command: DefineFunnel, book: Playbook) -> tuple[Event, ...]:
    event = FunnelDefined(
        command.funnel,
        command.label.names(),
        command.dated,
        tuple(s.stage() for s in command.stages),
    )
    existing = book.funnels.get(command.funnel)
    if existing is not None:
        if evolve(None, event).funnels[command.funnel] == existing:
            return ()
        raise PlaybookConflict(
            f"The funnel {command.funnel!r} exists already.",
            field="funnel",
            accepted="another key, or revise-funnel",
        )
    _room_for_one_more(book)
    return (event,)


def _revise(command: ReviseFunnel, book: Playbook) -> tuple[Event, ...]:
    current = book.funnel(command.funnel)
    event = FunnelRevised(
        command.funnel,
        command.label.names(),
        command.dated,
        tuple(s.stage() for s in command.stages),
    )
    removed = [s.key for s in current.stages if s.key not in {n.key for n in event.stages}]
    if removed:
        raise PlaybookConflict(
            f"Deals may have visited {', '.join(removed)}; a stage can not be removed.",
            field="stages",
            accepted="all present stages, in any order, and new ones",
        )
    if not current.active:
        _room_for_one_more(book)
    return () if evolve(book, event) == book else (event,)


def _room_for_one_more(book: Playbook) -> None:
    if len(book.active_funnels()) >= MAX_ACTIVE_FUNNELS:
        raise PlaybookConflict(
            f"{MAX_ACTIVE_FUNNELS} funnels are active already: {', '.join(book.active_funnels())}.",
            field="funnel",
            accepted="at most three active funnels; retire one first",
        )
