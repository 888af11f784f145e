"""Who may see manager forecasts (C5, S4): whoever steers by them, and never those whose deals they judge."""

import msgspec

from domain.event import Actor
from domain.organisation import Organisation


class Sight(msgspec.Struct, frozen=True):
    """What one viewer may see of F1.

    `any`: whether manager forecasts are for the viewer at all. Without it they do not exist in any answer. `owners`
    are those on whose deals the viewer may see them, None for everybody's; never on those of `own`, the viewer's.
    """

    any: bool
    own: frozenset[str] = frozenset()
    owners: frozenset[str] | None = frozenset()

    def sees(self, owner_now: str | None, owner_then: str | None) -> bool:
        """Whether the viewer may see the forecast of a deal with this owner now, and that one at the time asked."""
        if not self.any or owner_now in self.own or owner_then in self.own:
            return False
        return self.owners is None or owner_now in self.owners


BLIND = Sight(any=False)


def forecast_sight(viewer: Actor, organisation: Organisation) -> Sight:
    """What the viewer may see of F1 in the organisation of today; nothing unless the role says otherwise.

    A manager sees the deals of the people below; directors, analysts, auditors and admins those of everybody; none
    of them sees their own, nor those of whom they act for.
    """
    own = frozenset(who for who in (viewer.id, viewer.on_behalf_of) if who is not None)
    match viewer.role:
        case "director" | "analyst" | "auditor" | "admin":
            return Sight(any=True, own=own, owners=None)
        case "manager":
            manager = viewer.on_behalf_of or viewer.id
            below = (p for p in organisation.team_of if manager in organisation.managers_above(p))
            return Sight(any=True, own=own, owners=frozenset(below))
    return BLIND
