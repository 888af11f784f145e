"""Who may see manager forecasts (C5, S4): whoever steers by them, and never those whose deals they judge."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from domain.event import Actor
from domain.organisation import Organisation


class Stint(msgspec.Struct, frozen=True):
    """The viewer's time on a deal, as its owner or on its team; `left` is null while it lasts.

    Once it is over it is as long as the forecasts that stood during it did: from the first of them on, until the last
    was superseded or withdrawn. `known` and `left_known` are the same by the knowledge of it.
    """

    deal_id: UUID
    joined: datetime
    left: datetime | None
    known: datetime
    left_known: datetime | None

    def hides(self, at: datetime, known_at: datetime | None) -> bool:
        """Whether what was in force as of T, as known at K (null: as known now), is not for the viewer."""
        if self.left is None or self.left_known is None or self.joined <= at < self.left:
            return True
        return known_at is not None and self.known <= known_at < self.left_known


class Sight(msgspec.Struct, frozen=True):
    """What one viewer may see of F1.

    `any`: whether manager forecasts are for the viewer at all. Without it they do not exist in any answer. `owners`
    are those on whose deals the viewer may see them, None for everybody's; never on those of `own`, the viewer's, nor
    a forecast that stood while the viewer owned the deal or worked on it: `stints`.
    """

    any: bool
    own: frozenset[str] = frozenset()
    owners: frozenset[str] | None = frozenset()
    stints: dict[UUID, tuple[Stint, ...]] = {}

    def sees(
        self,
        deal_id: UUID,
        owner_now: str | None,
        owner_then: str | None,
        at: datetime,
        known_at: datetime | None = None,
    ) -> bool:
        """Whether the viewer may see the forecast of a deal at (T, K), with this owner now, and that one then."""
        if not self.any or owner_now in self.own or owner_then in self.own:
            return False
        if deal_id in self.stints and self._hides(deal_id, at, known_at):
            return False
        return self.owners is None or owner_now in self.owners

    def worked_on(self, at: datetime, known_at: datetime | None = None) -> frozenset[UUID]:
        """The deals whose forecasts of (T, K) the viewer may not see for having worked on them, then or since."""
        return frozenset(deal_id for deal_id in self.stints if self._hides(deal_id, at, known_at))

    def _hides(self, deal_id: UUID, at: datetime, known_at: datetime | None) -> bool:
        return any(stint.hides(at, known_at) for stint in self.stints[deal_id])


BLIND = Sight(any=False)


def persons(viewer: Actor) -> frozenset[str]:
    """The viewer, and whom the viewer acts for: none of the two may see what concerns either."""
    return frozenset(who for who in (viewer.id, viewer.on_behalf_of) if who is not None)


def forecast_sight(viewer: Actor, organisation: Organisation, stints: Iterable[Stint] = ()) -> Sight:
    """What the viewer may see of F1 in the organisation of today; nothing unless the role says otherwise.

    A manager sees the deals of the people below; directors, analysts, auditors and admins those of everybody; none
    of them sees those of their own deals or of whom they act for, nor any that stood while one of the two worked on it:
    `stints`.
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
