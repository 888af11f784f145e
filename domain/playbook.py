"""The playbook: funnels and their stages, the reporting currency, the calendar. One stream per deployment."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.command import Command, Context, Key, Label, Reason
from domain.errors import PlaybookConflict, UnknownFunnel
from domain.event import Event, Role
from domain.money import Currency

STREAM_ID = uuid5(UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), "dealtrace:playbook")
"""The stream of the one playbook: UUIDv5 of its name in the URL namespace."""

MAX_ACTIVE_FUNNELS = 3

MacroStage = Literal[
    "needs_confirmed",
    "plan_confirmed",
    "procurement_negotiation",
    "contract_signed",
    "delivery_and_payment",
]
"""Shared by all funnels, in this order, so that totals add up (B1)."""


# --- Events -------------------------------------------------------------------------------------------


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


class CurrencySet(Event, frozen=True):
    """The reporting currency of this deployment. Set once."""

    TOPIC: ClassVar[str] = "playbook.currency_set"
    currency: str


class CalendarSet(Event, frozen=True):
    """The time zone of weeks and periods, and the month in which the fiscal year starts."""

    TOPIC: ClassVar[str] = "playbook.calendar_set"
    time_zone: str
    fiscal_year_start: int


# --- State --------------------------------------------------------------------------------------------


class Funnel(msgspec.Struct, frozen=True):
    """A named list of stages with rules."""

    key: str
    label: Names
    dated: bool
    stages: tuple[Stage, ...]
    active: bool = True

    def order(self, stage: str) -> int | None:
        """The stage's place, from 0, or None when the funnel has no such stage."""
        return next((i for i, s in enumerate(self.stages) if s.key == stage), None)


class Playbook(msgspec.Struct, frozen=True):
    """The rules in force."""

    funnels: dict[str, Funnel] = {}
    currency: str | None = None
    time_zone: str = "UTC"
    fiscal_year_start: int = 1

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


EMPTY = Playbook()


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
        case CurrencySet():
            return msgspec.structs.replace(book, currency=event.currency)
        case CalendarSet():
            return msgspec.structs.replace(
                book, time_zone=event.time_zone, fiscal_year_start=event.fiscal_year_start
            )
    return book


# --- Commands -----------------------------------------------------------------------------------------


class NamesInput(BaseModel):
    """A label in English and, where there is one, Chinese."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    en: Label
    zh: Label | None = None


Days = Annotated[int, Field(ge=1, le=3650)]
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
        label = Names(self.label.en, self.label.zh)
        return Stage(self.key, label, self.macro_stage, self.stall_after_days, lose_after)


def _distinct(stages: tuple[StageInput, ...]) -> tuple[StageInput, ...]:
    if len({s.key for s in stages}) < len(stages):
        raise ValueError("stage keys must be distinct")
    return stages


Stages = Annotated[tuple[StageInput, ...], Field(min_length=1, max_length=30), AfterValidator(_distinct)]


class PlaybookCommand(Command):
    """A command on the playbook."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset({"sales_operations", "admin", "system"})

    def stream_id(self) -> UUID:
        """The one playbook."""
        return STREAM_ID


class FunnelCommand(PlaybookCommand):
    """A command on one funnel of the playbook."""

    funnel: Key


class DefineFunnel(FunnelCommand):
    """Bring a funnel into use. At most three are active at a time."""

    label: NamesInput
    dated: bool = True
    stages: Stages


class ReviseFunnel(FunnelCommand):
    """Replace a funnel's definition. Stages may be added, relabelled and reordered, not removed."""

    label: NamesInput
    dated: bool = True
    stages: Stages


class RetireFunnel(FunnelCommand):
    """Let no more deals be opened in a funnel."""

    reason: Reason


class SetCurrency(PlaybookCommand):
    """Set the reporting currency, once."""

    currency: Currency


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError on some platforms
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from error
    except KeyError as error:
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from error
    return name


class SetCalendar(PlaybookCommand):
    """Set the time zone of weeks and periods and the first month of the fiscal year."""

    time_zone: Annotated[str, Field(max_length=100), AfterValidator(_is_zone)]
    fiscal_year_start: Annotated[int, Field(ge=1, le=12)] = 1


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
        case SetCurrency():
            if book.currency not in (None, command.currency):
                raise PlaybookConflict(
                    f"The reporting currency is {book.currency} already and stays so.",
                    field="currency",
                    accepted=book.currency,
                )
            return () if book.currency else (CurrencySet(command.currency),)
        case SetCalendar():
            wanted = (command.time_zone, command.fiscal_year_start)
            return () if wanted == (book.time_zone, book.fiscal_year_start) else (CalendarSet(*wanted),)
    raise TypeError(f"the playbook knows no command {type(command).__name__}")


def _define(command: DefineFunnel, book: Playbook) -> tuple[Event, ...]:
    event = FunnelDefined(
        command.funnel,
        Names(command.label.en, command.label.zh),
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
        Names(command.label.en, command.label.zh),
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
