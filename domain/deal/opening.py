"""Opening a deal, and taking it out of every figure: it was a mistake, or the same as another."""

from datetime import date
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from pydantic import Field

from domain import account as accounts
from domain.command import Context, Day, Key, Label, PersonalText, Reason
from domain.deal.grading import regraded
from domain.deal.state import Deal, DealCommand, present
from domain.errors import DealExists, DealGone, UnknownDeal, UnknownFunnel, WrongStage
from domain.event import Event, Role, TextRef
from domain.external import External, ExternalInput
from domain.money import Money, MoneyInput
from domain.playbook.calendar import stored_amount
from domain.playbook.state import require_stage

# --- Events -------------------------------------------------------------------------------------------


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


def evolve(deal: Deal | None, event: Event) -> Deal:
    """The deal after the event."""
    match deal, event:
        case _, DealOpened():
            return Deal(
                funnel=event.funnel,
                stage=event.stage,
                name=event.name,
                owner=event.owner,
                amount=event.amount,
                expected_close=event.expected_close,
            )
        case Deal(), DealVoided():
            return msgspec.structs.replace(deal, status="voided")
        case Deal(), DealMergedInto():
            return msgspec.structs.replace(deal, status="merged")
    raise TypeError(f"a deal does not begin with {event.TOPIC}")


# --- Commands -----------------------------------------------------------------------------------------


class OpenDeal(DealCommand):
    """Open a deal, in the funnel's first stage unless it is imported."""

    CREATES: ClassVar[bool] = True
    MINTS: ClassVar[str | None] = "deal_id"

    deal_id: Annotated[UUID | None, Field(description="Default: a fresh id.")] = None  # type: ignore[assignment]
    funnel: Annotated[Key, Field(examples=["tas_plus"])]
    stage: Annotated[Key | None, Field(examples=["verification"])] = None
    name: PersonalText | None = None
    account_id: UUID | None = None
    owner: Label | None = None
    amount: MoneyInput | None = None
    expected_close: Day | None = None
    product_line: Label | None = None
    customer_segment: Label | None = None
    region: Label | None = None
    external: ExternalInput | None = None

    def stands_on(self) -> tuple[UUID, ...]:
        """The account, which must be there, and what an import made of the same thing of the other system."""
        named = (self.account_id, self.external.imported_id("deal") if self.external else None)
        return tuple(stream_id for stream_id in named if stream_id is not None)


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
    """The events that the command brings about. Raises a Refusal."""
    match command:
        case OpenDeal():
            return _open(command, deal, context)
        case VoidDeal():
            present(deal, command)
            return (DealVoided(command.reason),)
        case MergeDeal():
            present(deal, command)
            return _merge(command, context)
    raise TypeError(f"no such command here: {command.command_name()}")


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
    require_stage(funnel, stage, "stage")
    if stage != first and not context.importing:
        raise WrongStage(f"A deal is opened in the stage {first!r}.", field="stage", accepted=first)
    if not context.importing:
        _require_references(command, context)
    opened = DealOpened(
        funnel=command.funnel,
        stage=stage,
        name=context.sealed.get("name"),
        account_id=command.account_id,
        owner=command.owner,
        amount=stored_amount(command.amount, context.playbook),
        expected_close=command.expected_close,
        product_line=command.product_line,
        customer_segment=command.customer_segment,
        region=command.region,
        external=command.external.external() if command.external else None,
    )
    return (opened, *regraded(evolve(None, opened), context.playbook))


def _require_references(command: OpenDeal, context: Context) -> None:
    """The account is there, and no import brought the deal already. Imports bring both, in their own order."""
    if command.account_id is not None:
        accounts.present(context.others[command.account_id].state, command.account_id)
    if command.external is not None:
        imported = command.external.imported_id("deal")
        if context.others[imported].version:
            raise DealExists(
                f"The deal {imported} was imported under this external id.",
                field="external",
                accepted="what no import brought, or the deal that is there",
            )


def _merge(command: MergeDeal, context: Context) -> tuple[Event, ...]:
    target = context.others[command.into].state
    if command.into == command.deal_id:
        raise DealGone("A deal can not be merged into itself.", field="into", accepted="another deal")
    if not isinstance(target, Deal):
        raise UnknownDeal(command.into, field="into")
    if target.status in ("voided", "merged"):
        raise DealGone(
            f"The deal {command.into} was {target.status}.", field="into", accepted="a deal that goes on"
        )
    return (DealMergedInto(command.into, command.reason),)
