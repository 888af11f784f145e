"""Who may see manager forecasts (C5, S4): whoever steers by them, and never those whose deals they judge."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from domain.event import Actor
from domain.organisation import Organisation


class Stint(msgspec.Struct, frozen=True):
    """The viewer's time on the team of a deal; `left` is null while it lasts."""

    deal_id: UUID
    joined: datetime
    left: datetime | None


class Sight(msgspec.Struct, frozen=True):
    """What one viewer may see of F1.

    `any`: whether manager forecasts are for the viewer at all. Without it they do not exist in any answer. `owners`
    are those on whose deals the viewer may see them, None for everybody's; never on those of `own`, the viewer's, nor
    on those that the viewer works on: `stints`.
    """

    any: bool
    own: frozenset[str] = frozenset()
    owners: frozenset[str] | None = frozenset()
    stints: dict[UUID, tuple[Stint, ...]] = {}

    def sees(self, deal_id: UUID, owner_now: str | None, owner_then: str | None, at: datetime) -> bool:
        """Whether the viewer may see the forecast of a deal with this owner now, and that one at the time asked."""
        if not self.any or owner_now in self.own or owner_then in self.own:
            return False
        if deal_id in self.stints and self._works_on(deal_id, at):
            return False
        return self.owners is None or owner_now in self.owners

    def worked_on(self, at: datetime) -> frozenset[UUID]:
        """The deals on whose team the viewer is now, or was at the time asked."""
        return frozenset(deal_id for deal_id in self.stints if self._works_on(deal_id, at))

    def _works_on(self, deal_id: UUID, at: datetime) -> bool:
        return any(s.left is None or s.joined <= at < s.left for s in self.stints[deal_id])


BLIND = Sight(any=False)


def persons(viewer: Actor) -> frozenset[str]:
    """The viewer, and whom the viewer acts for: none of the two may see what concerns either."""
    return frozenset(who for who in (viewer.id, viewer.on_behalf_of) if who is not None)


def forecast_sight(viewer: Actor, organisation: Organisation, stints: Iterable[Stint] = ()) -> Sight:
    """What the viewer may see of F1 in the organisation of today; nothing unless the role says otherwise.

    A manager sees the deals of the people below; directors, analysts, auditors and admins those of everybody; none
    of them sees their own, nor those of whom they act for, nor those on whose team one of the two works: `stints`.
    """
    by_deal: dict[UUID, tuple[Stint, ...]] = {}
    for stint in stints:
        by_deal[stint.deal_id] = (*by_deal.get(stint.deal_id, ()), stint)
    match viewer.role:
        case "director" | "analyst" | "auditor" | "admin":
            return Sight(any=True, own=persons(viewer), owners=None, stints=by_deal)
        case "manager":
            manager = viewer.on_behalf_of or viewer.id
            below = (p for p in organisation.team_of if manager in organisation.managers_above(p))
            return Sight(any=True, own=persons(viewer), owners=frozenset(below), stints=by_deal)
    return BLIND
