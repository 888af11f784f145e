"""A deal: what decisions need to know of it, and what every slice of its rules asks first.

The rules lie beside this file, a slice each, in the order Events, `evolve`, Commands, `decide`.
"""

from datetime import date
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from domain.command import Command
from domain.errors import DealClosed, DealGone, NotAllowed, UnknownDeal
from domain.event import Actor, Role, TextRef
from domain.money import Money
from domain.playbook.parts import Grade
from domain.relations import Attitude, DecisionRole, Power, Strategy
from domain.win_rate import Assessment

Status = Literal["open", "won", "lost", "abandoned", "voided", "merged"]

Outcome = Literal["approved", "rejected"]
"""Of a stage's review."""


class Standing(msgspec.Struct, frozen=True):
    """How we stand against the competitors: what the win rate of a deal is computed from.

    `unconfirmed` are the parties ("us" or a competitor's key) whose latest assessment no manager confirmed yet.
    """

    compelling_event: bool = False
    inside_source: bool = False
    sole_source: bool = False
    us: Assessment | None = None
    competitors: dict[str, Assessment | None] = {}
    """The active ones; None for one that was never assessed."""
    unconfirmed: frozenset[str] = frozenset()


class DealContact(msgspec.Struct, frozen=True):
    """A person's part in the deal, and how we stand with them on it."""

    decision_role: DecisionRole | None = None
    department: str | None = None
    power: Power | None = None
    attitude: Attitude | None = None
    strategy: Strategy | None = None
    strategy_chosen: bool = False
    """Whether the strategy was chosen by hand; otherwise it follows the attitude."""


class Deal(msgspec.Struct, frozen=True):
    """What decisions need to know of a deal. `stage` is the last one it stood in."""

    funnel: str
    stage: str
    status: Status = "open"
    name: TextRef | None = None
    owner: str | None = None
    amount: Money | None = None
    expected_close: date | None = None
    left: frozenset[str] = frozenset()
    """The stages it stood in before."""
    closed_times: int = 0
    """How often it was won, lost or abandoned; reopening does not count back."""
    grade: Grade | None = None
    grade_by_hand: bool = False
    partner: str | None = None
    """The registered partner."""
    ticked: frozenset[tuple[str, str]] = frozenset()
    """Stage and key of the ticked checklist items."""
    reviews: dict[str, Outcome] = {}
    """Outcome of the latest review by stage."""
    standing: Standing = Standing()
    contacts: dict[UUID, DealContact] = {}
    former_contacts: frozenset[UUID] = frozenset()
    """Who had a part in it once; an activity with them may be logged later."""
    activities: bytes = b""
    """The ids of the activities that were not imported, 16 bytes each: there may be thousands."""
    team: dict[str, str | None] = {}
    """Department by person of the deal team."""


class DealCommand(Command):
    """A command on one deal."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset(
        {"rep", "manager", "director", "sales_operations", "admin", "integration"}
    )

    deal_id: UUID

    def stream_id(self) -> UUID:
        """The deal's."""
        return self.deal_id


def present(deal: object, command: DealCommand) -> Deal:
    """The deal, which was opened and is neither voided nor merged. Raises UnknownDeal or DealGone."""
    if not isinstance(deal, Deal):  # none, or a stream of another kind
        raise UnknownDeal(command.deal_id)
    if deal.status in ("voided", "merged"):
        raise DealGone(
            f"The deal was {deal.status} and takes no more changes.", field="deal_id", accepted="another deal"
        )
    return deal


def require_open(deal: Deal, command: DealCommand) -> None:
    """Raises DealClosed for a deal that is won, lost or abandoned."""
    if deal.status != "open":
        raise DealClosed(
            f"The deal is {deal.status}; {command.command_name()} needs an open one.",
            field="deal_id",
            accepted="an open deal; reopen-deal opens a closed one",
        )


def require_not_the_owner(actor: Actor, deal: Deal) -> None:
    """Nobody confirms, approves or forecasts their own deal, nor through somebody who acts for them.

    Raises NotAllowed.
    """
    if deal.owner is not None and deal.owner in (actor.id, actor.on_behalf_of):
        raise NotAllowed("This is not for the owner of the deal to do.", accepted="somebody one level up")


def require_not_of_the_team(actor: Actor, deal: Deal) -> None:
    """Nobody forecasts a deal that they work on, nor through somebody who acts for them. Raises NotAllowed."""
    if actor.id in deal.team or actor.on_behalf_of in deal.team:
        raise NotAllowed("This is not for the deal team to do.", accepted="somebody one level up")


MANAGERS: frozenset[Role] = frozenset({"manager", "director", "admin"})
"""The roles that confirm, approve and forecast what reps enter."""
