"""Deal hygiene (S1): each week the amount and the expected close are revised, or confirmed as they are."""

from datetime import date
from typing import Annotated, ClassVar

from pydantic import Field

from domain.command import Context, PersonalText
from domain.deal.state import Deal, DealCommand, present, require_open
from domain.event import Event, TextRef
from domain.money import Money

# --- Events -------------------------------------------------------------------------------------------


class DealConfirmed(Event, frozen=True):
    """Amount and expected close, null where unknown, are still right; `plan` says what comes next."""

    TOPIC: ClassVar[str] = "deal.confirmed"
    amount: Money | None
    expected_close: date | None
    plan: TextRef | None


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, _event: Event) -> Deal:
    """The same deal: a confirmation changes nothing."""
    return deal


# --- Commands -----------------------------------------------------------------------------------------


class ConfirmDeal(DealCommand):
    """Confirm the deal's amount and expected close as they stand, and note the plan."""

    plan: Annotated[PersonalText | None, Field(description="What comes next; kept in the vault.")] = None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: ConfirmDeal, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The confirmation, each time anew. Raises a Refusal."""
    deal = present(deal, command)
    require_open(deal, command)
    return (DealConfirmed(deal.amount, deal.expected_close, context.sealed.get("plan")),)
