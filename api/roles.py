"""Which roles may ask what not everybody may."""

from collections.abc import Set

from domain.errors import NotAllowed
from domain.event import Actor, Role

OPERATORS: frozenset[Role] = frozenset(
    {"manager", "director", "sales_operations", "analyst", "auditor", "admin"}
)
"""Who may see how the machinery stands: how many events a projection applied says how many forecasts were set."""


def require_role(actor: Actor, roles: Set[Role], what: str) -> None:
    """Raises NotAllowed unless the actor's role is one of those that may do `what`."""
    if actor.role not in roles:
        raise NotAllowed(
            f"The role {actor.role} may not {what}.", accepted=", ".join(sorted(roles - {"system"}))
        )
