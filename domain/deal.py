"""A deal: how it is opened, moves through its funnel, changes, is worked on, and ends."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from domain.command import Command, Context, Key, Label, PersonalText, Reason
from domain.errors import (
    DealClosed,
    DealExists,
    DealGone,
    DealOpen,
    InvalidAmount,
    ReasonMissing,
    UnknownDeal,
    UnknownFunnel,
    UnknownStage,
    WrongCurrency,
    WrongStage,
)
from domain.event import Event, Role, TextRef
from domain.money import Money, MoneyInput
from domain.playbook import Funnel

# --- Events -------------------------------------------------------------------------------------------


class External(msgspec.Struct, frozen=True):
    """What another system calls it: the source and the id there."""

    source: str
    id: str


class DealOpened(Event, frozen=True):
    """A deal came into the funnel."""

    TOPIC: ClassVar[str] = "deal.opened"
    funnel: str
    stage: str
    name: TextRef | None = None
    account_id: UUID | None = None
    owner: str | None = None
    amount: Money | None = None
    expected_close: date | None = None
    product_line: str | None = None
    customer_segment: str | None = None
    region: str | None = None
    external: External | None = None


class DealRenamed(Event, frozen=True):
    """The deal has another name."""

    TOPIC: ClassVar[str] = "deal.renamed"
    name: TextRef


class StageAdvanced(Event, frozen=True):
    """The deal moved to a later stage of its funnel."""

    TOPIC: ClassVar[str] = "deal.stage_advanced"
    from_stage: str
    to_stage: str


class StageRegressed(Event, frozen=True):
    """The deal moved back to an earlier stage. Imports may not know why."""

    TOPIC: ClassVar[str] = "deal.stage_regressed"
    from_stage: str
    to_stage: str
    reason: str | None


class AmountRevised(Event, frozen=True):
    """The amount changed. Null means unknown."""

    TOPIC: ClassVar[str] = "deal.amount_revised"
    from_amount: Money | None
    to_amount: Money | None


class ExpectedCloseRevised(Event, frozen=True):
    """The day on which the deal is expected to be won changed. Null means undated."""

    TOPIC: ClassVar[str] = "deal.expected_close_revised"
    from_date: date | None
    to_date: date | None


class OwnerRevised(Event, frozen=True):
    """Another person owns the deal. Null means nobody."""

    TOPIC: ClassVar[str] = "deal.owner_revised"
    from_owner: str | None
    to_owner: str | None


class ActivityLogged(Event, frozen=True):
    """Somebody did something for the deal. A point: it may be logged long after it happened."""

    TOPIC: ClassVar[str] = "deal.activity_logged"
    GROUP: ClassVar[str | None] = None
    activity_id: UUID
    kind: str
    by: str | None = None
    duration_us: int | None = None
    contacts: tuple[UUID, ...] = ()
    captured: Literal["actively", "passively"] | None = None
    note: TextRef | None = None


class DealWon(Event, frozen=True):
    """The customer bought from us."""

    TOPIC: ClassVar[str] = "deal.won"
    from_stage: str


class DealLost(Event, frozen=True):
    """The customer bought from somebody else, or not at all."""

    TOPIC: ClassVar[str] = "deal.lost"
    from_stage: str
    reason: str | None


class DealAbandoned(Event, frozen=True):
    """We, or the customer, stopped before a decision."""

    TOPIC: ClassVar[str] = "deal.abandoned"
    from_stage: str
    reason: str | None


class DealReopened(Event, frozen=True):
    """A closed deal is open again, in the named stage."""

    TOPIC: ClassVar[str] = "deal.reopened"
    was: Literal["won", "lost", "abandoned"]
    to_stage: str
    reason: str | None


class DealVoided(Event, frozen=True):
    """The deal was a mistake or a test; it counts nowhere."""

    TOPIC: ClassVar[str] = "deal.voided"
    reason: str


class DealMergedInto(Event, frozen=True):
    """The deal is the same as another one, which goes on; this one counts nowhere."""

    TOPIC: ClassVar[str] = "deal.merged_into"
    into: UUID
    reason: str


# --- State --------------------------------------------------------------------------------------------

Status = Literal["open", "won", "lost", "abandoned", "voided", "merged"]


class Deal(msgspec.Struct, frozen=True):
    """What decisions need to know of a deal. `stage` is the last one it stood in."""

    funnel: str
    stage: str
    status: Status = "open"
    name: TextRef | None = None
    owner: str | None = None
    amount: Money | None = None
    expected_close: date | None = None


def evolve(deal: Deal | None, event: Event) -> Deal:
    """The deal after the event."""
    if isinstance(event, DealOpened):
        return Deal(
            funnel=event.funnel,
            stage=event.stage,
            name=event.name,
            owner=event.owner,
            amount=event.amount,
            expected_close=event.expected_close,
        )
    assert deal is not None, "a stream of a deal begins with deal.opened"
    match event:
        case StageAdvanced() | StageRegressed():
            return msgspec.structs.replace(deal, stage=event.to_stage)
        case AmountRevised():
            return msgspec.structs.replace(deal, amount=event.to_amount)
        case ExpectedCloseRevised():
            return msgspec.structs.replace(deal, expected_close=event.to_date)
        case OwnerRevised():
            return msgspec.structs.replace(deal, owner=event.to_owner)
        case DealRenamed():
            return msgspec.structs.replace(deal, name=event.name)
        case DealWon():
            return msgspec.structs.replace(deal, status="won")
        case DealLost():
            return msgspec.structs.replace(deal, status="lost")
        case DealAbandoned():
            return msgspec.structs.replace(deal, status="abandoned")
        case DealReopened():
            return msgspec.structs.replace(deal, status="open", stage=event.to_stage)
        case DealVoided():
            return msgspec.structs.replace(deal, status="voided")
        case DealMergedInto():
            return msgspec.structs.replace(deal, status="merged")
    return deal


# --- Commands -----------------------------------------------------------------------------------------


class DealCommand(Command):
    """A command on one deal."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset(
        {"rep", "manager", "director", "sales_operations", "admin", "integration"}
    )

    deal_id: UUID

    def stream_id(self) -> UUID:
        """The deal's."""
        return self.deal_id


class ExternalInput(BaseModel):
    """What another system calls it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: Label
    id: Label


class OpenDeal(DealCommand):
    """Open a deal, in the funnel's first stage unless it is imported."""

    CREATES: ClassVar[bool] = True

    deal_id: Annotated[UUID | None, Field(description="Default: a fresh id.")] = None  # type: ignore[assignment]
    funnel: Key
    stage: Key | None = None
    name: PersonalText | None = None
    account_id: UUID | None = None
    owner: Label | None = None
    amount: MoneyInput | None = None
    expected_close: date | None = None
    product_line: Label | None = None
    customer_segment: Label | None = None
    region: Label | None = None
    external: ExternalInput | None = None

    def with_id(self, new_id: Callable[[], UUID]) -> Self:
        """The same deal with a fresh id when it has none yet."""
        return self if self.deal_id else self.model_copy(update={"deal_id": new_id()})


class RenameDeal(DealCommand):
    """Give the deal another name."""

    name: Annotated[PersonalText, Field(description="The new name; personal text, kept in the vault.")]


class AdvanceStage(DealCommand):
    """Move the deal to a later stage of its funnel."""

    to_stage: Key


class RegressStage(DealCommand):
    """Move the deal back to an earlier stage, and say why."""

    to_stage: Key
    reason: Reason | None = None


class ReviseAmount(DealCommand):
    """Set the deal's amount; null when it is unknown."""

    amount: MoneyInput | None


class ReviseExpectedClose(DealCommand):
    """Set the day on which the deal is expected to be won; null when it is undated."""

    expected_close: date | None


class ReviseOwner(DealCommand):
    """Give the deal to another owner; null for nobody."""

    owner: Label | None


class LogActivity(DealCommand):
    """Record something done for the deal; back-dating is free."""

    kind: Key
    by: Label | None = None
    duration_us: Annotated[int | None, Field(ge=0, le=10**13, description="Microseconds.")] = None
    contacts: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()
    captured: Literal["actively", "passively"] | None = None
    note: PersonalText | None = None


class WinDeal(DealCommand):
    """Close the deal as won."""


class LoseDeal(DealCommand):
    """Close the deal as lost."""

    reason: Reason | None = None


class AbandonDeal(DealCommand):
    """Close the deal as abandoned."""

    reason: Reason | None = None


class ReopenDeal(DealCommand):
    """Open a closed deal again, in the named stage, and say why."""

    to_stage: Key
    reason: Reason | None = None


class VoidDeal(DealCommand):
    """Take a deal that was a mistake or a test out of every figure."""

    ALLOWED: ClassVar[frozenset[Role]] = DealCommand.ALLOWED - {"rep"}

    reason: Reason


class MergeDeal(DealCommand):
    """Take a deal out of every figure because it is the same as another one."""

    ALLOWED: ClassVar[frozenset[Role]] = DealCommand.ALLOWED - {"rep"}

    into: UUID
    reason: Reason

    def stands_on(self) -> tuple[UUID, ...]:
        """The deal that goes on."""
        return (self.into,)


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    if isinstance(command, OpenDeal):
        return _open(command, deal, context)
    if deal is None:
        raise UnknownDeal(command.deal_id)
    if deal.status in ("voided", "merged"):
        raise DealGone(
            f"The deal was {deal.status} and takes no more changes.", accepted="another deal", field="deal_id"
        )
    match command:
        case RenameDeal():
            return (DealRenamed(context.sealed["name"]),)
        case AdvanceStage():
            return _advance(command, deal, context)
        case RegressStage():
            return _regress(command, deal, context)
        case ReviseAmount():
            return _revise_amount(command, deal, context)
        case ReviseExpectedClose():
            _require_open(deal, command)
            if command.expected_close == deal.expected_close:
                return ()
            return (ExpectedCloseRevised(deal.expected_close, command.expected_close),)
        case ReviseOwner():
            return () if command.owner == deal.owner else (OwnerRevised(deal.owner, command.owner),)
        case LogActivity():
            return (_activity(command, context),)
        case WinDeal():
            return () if deal.status == "won" else (DealWon(_closing(deal, command)),)
        case LoseDeal():
            return () if deal.status == "lost" else (DealLost(_closing(deal, command), command.reason),)
        case AbandonDeal():
            if deal.status == "abandoned":
                return ()
            return (DealAbandoned(_closing(deal, command), command.reason),)
        case ReopenDeal():
            return _reopen(command, deal, context)
        case VoidDeal():
            return (DealVoided(command.reason),)
        case MergeDeal():
            return _merge(command, context)
    raise TypeError(f"deals know no command {type(command).__name__}")


def _open(command: OpenDeal, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    if deal is not None:
        raise DealExists(
            f"The deal {command.deal_id} exists already.", field="deal_id", accepted="a new id, or none"
        )
    funnel = context.playbook.funnel(command.funnel)
    if not funnel.active:
        raise UnknownFunnel(
            f"The funnel {command.funnel!r} is retired.",
            field="funnel",
            accepted=", ".join(context.playbook.active_funnels()) or "none yet",
        )
    first = funnel.stages[0].key
    stage = command.stage or first
    _require_stage(funnel, stage, "stage")
    if stage != first and not context.importing:
        raise WrongStage(f"A deal is opened in the stage {first!r}.", field="stage", accepted=first)
    external = command.external
    return (
        DealOpened(
            funnel=command.funnel,
            stage=stage,
            name=context.sealed.get("name"),
            account_id=command.account_id,
            owner=command.owner,
            amount=_money(command.amount, context),
            expected_close=command.expected_close,
            product_line=command.product_line,
            customer_segment=command.customer_segment,
            region=command.region,
            external=External(external.source, external.id) if external else None,
        ),
    )


def _advance(command: AdvanceStage, deal: Deal, context: Context) -> tuple[Event, ...]:
    if _move(command.to_stage, deal, command, context) == 0:
        return ()
    if _move(command.to_stage, deal, command, context) < 0:
        raise WrongStage(
            f"{command.to_stage!r} lies before {deal.stage!r}; use regress-stage and say why.",
            field="to_stage",
            accepted=_stages_after(deal, context),
        )
    return (StageAdvanced(deal.stage, command.to_stage),)


def _regress(command: RegressStage, deal: Deal, context: Context) -> tuple[Event, ...]:
    if _move(command.to_stage, deal, command, context) == 0:
        return ()
    if _move(command.to_stage, deal, command, context) > 0:
        raise WrongStage(
            f"{command.to_stage!r} lies after {deal.stage!r}; use advance-stage.",
            field="to_stage",
            accepted="an earlier stage",
        )
    _require_reason(command.reason, context)
    return (StageRegressed(deal.stage, command.to_stage, command.reason),)


def _revise_amount(command: ReviseAmount, deal: Deal, context: Context) -> tuple[Event, ...]:
    if command.corrects is None:
        _require_open(deal, command)  # a correction may mend the amount of a closed deal
    amount = _money(command.amount, context)
    return () if amount == deal.amount else (AmountRevised(deal.amount, amount),)


def _activity(command: LogActivity, context: Context) -> Event:
    return ActivityLogged(
        activity_id=context.new_id(),
        kind=command.kind,
        by=command.by,
        duration_us=command.duration_us,
        contacts=command.contacts,
        captured=command.captured,
        note=context.sealed.get("note"),
    )


def _reopen(command: ReopenDeal, deal: Deal, context: Context) -> tuple[Event, ...]:
    if deal.status not in ("won", "lost", "abandoned"):
        raise DealOpen("The deal is open.", field="deal_id", accepted="a closed deal")
    _require_stage(context.playbook.funnel(deal.funnel), command.to_stage, "to_stage")
    _require_reason(command.reason, context)
    return (DealReopened(deal.status, command.to_stage, command.reason),)


def _merge(command: MergeDeal, context: Context) -> tuple[Event, ...]:
    target = context.others.get(command.into)
    if command.into == command.deal_id:
        raise UnknownDeal(command.into, field="into")
    if target is None:
        raise UnknownDeal(command.into, field="into")
    if target.status in ("voided", "merged"):
        raise DealGone(
            f"The deal {command.into} was {target.status}.", field="into", accepted="a deal that goes on"
        )
    return (DealMergedInto(command.into, command.reason),)


def _closing(deal: Deal, command: DealCommand) -> str:
    _require_open(deal, command)
    return deal.stage


def _move(to_stage: str, deal: Deal, command: DealCommand, context: Context) -> int:
    """How many stages ahead `to_stage` lies; negative when behind."""
    _require_open(deal, command)
    funnel = context.playbook.funnel(deal.funnel)
    return _require_stage(funnel, to_stage, "to_stage") - (funnel.order(deal.stage) or 0)


def _require_open(deal: Deal, command: DealCommand) -> None:
    if deal.status != "open":
        raise DealClosed(
            f"The deal is {deal.status}; {command.command_name()} needs an open one.",
            field="deal_id",
            accepted="an open deal; reopen-deal opens a closed one",
        )


def _require_stage(funnel: Funnel, stage: str, field: str) -> int:
    order = funnel.order(stage)
    if order is None:
        raise UnknownStage(
            f"The funnel {funnel.key!r} has no stage {stage!r}.",
            field=field,
            accepted=", ".join(s.key for s in funnel.stages),
        )
    return order


def _require_reason(reason: str | None, context: Context) -> None:
    if reason is None and not context.importing:
        raise ReasonMissing("Say why.", field="reason", accepted="a text of 1 to 2,000 characters")


def _stages_after(deal: Deal, context: Context) -> str:
    funnel = context.playbook.funnel(deal.funnel)
    later = funnel.stages[(funnel.order(deal.stage) or 0) + 1 :]
    return ", ".join(s.key for s in later) or "none: this is the last stage"


def _money(amount: MoneyInput | None, context: Context) -> Money | None:
    if amount is None:
        return None
    reporting = context.playbook.currency
    if reporting is None:
        raise WrongCurrency(
            "No reporting currency is set yet.", field="amount.currency", accepted="set-currency first"
        )
    if amount.currency != reporting:
        raise WrongCurrency(
            f"The reporting currency is {reporting}, not {amount.currency}.",
            field="amount.currency",
            accepted=reporting,
        )
    try:
        return amount.money()
    except ValueError as error:
        raise InvalidAmount(f"{error}.", field="amount.amount", accepted="for example 12500.00") from error
