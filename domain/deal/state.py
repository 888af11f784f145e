"""A deal: what decisions need to know of it, and what every slice of its rules asks first.

The rules lie beside this file, a slice each, in the order Events, `evolve`, Commands, `decide`.
"""

from datetime import date
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from domain.command import Command
from domain.errors import DealClosed, DealGone, UnknownDeal, UnknownStage
from domain.event import Role, TextRef
from domain.money import Money
from domain.playbook import Funnel

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
