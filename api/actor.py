"""Who sends a request: the one place that says so. Denied by default.

For now two headers name the actor, and they are believed from this machine only.
"""

import re
from ipaddress import ip_address
from typing import Any, get_args

from api.refusals import HeadersNotTrusted, Unauthenticated
from domain.event import Actor, Role

ROLES = tuple(role for role in get_args(Role) if role != "system")
"""The roles that may come from outside."""

ACTOR_ID, ACTOR_ROLE = b"x-actor-id", b"x-actor-role"
ACTOR_IDS = "1 to 200 printable characters"
_HOST = re.compile(r"(?:\[([^][]+)\]|([^][:@]*))(?::\d*)?")


class NotLoopback(Exception):
    """Actor headers would be believed from other machines; the server does not start."""


def require_loopback(host: str) -> None:
    """Raises NotLoopback unless a server bound to this host can be reached from this machine only."""
    if not _is_loopback(host):
        raise NotLoopback(
            f"Actor headers stand in for authentication, so the server may only listen on 127.0.0.1 or ::1, not {host}."
        )


def verified_actor(scope: Any) -> Actor:
    """The actor of an ASGI request.

    Raises HeadersNotTrusted when the request did not come over the loopback, Unauthenticated when it names nobody.
    """
    _refuse_strangers(scope)
    sent = [(name, value) for name, value in scope["headers"] if name in (ACTOR_ID, ACTOR_ROLE)]
    headers = dict(sent)
    if len(headers) < len(sent):
        raise Unauthenticated("The request says twice who sends it.", accepted="each header once")
    try:
        actor_id = headers.get(ACTOR_ID, b"").decode("utf-8").strip()
    except UnicodeDecodeError:
        actor_id = ""
    role = headers.get(ACTOR_ROLE, b"").decode("latin-1").strip()
    if not may_be_actor_id(actor_id):
        raise Unauthenticated(
            "The request does not say who sends it.", field="X-Actor-Id", accepted=ACTOR_IDS
        )
    for known in ROLES:
        if role == known:
            return Actor(id=actor_id, role=known, auth="header")
    raise Unauthenticated(
        "The request does not say in which role it is sent.", field="X-Actor-Role", accepted=", ".join(ROLES)
    )


def may_be_actor_id(text: str) -> bool:
    """Whether somebody may be called so."""
    return 0 < len(text) <= 200 and text.isprintable()


def _refuse_strangers(scope: Any) -> None:
    """The socket, the sender and the name used must all be of this machine.

    The name, so that a web page can not reach the server by a name of its own that resolves to the loopback.
    """
    server, client = scope.get("server"), scope.get("client")
    names = [_without_port(value.decode("latin-1")) for key, value in scope["headers"] if key == b"host"]
    for place in (server[0] if server else None, client[0] if client else None, *filter(None, names)):
        if place is not None and not _is_loopback(place):
            raise HeadersNotTrusted(
                "Actor headers are believed over the loopback only.", accepted="127.0.0.1 or ::1"
            )


def _without_port(host: str) -> str:
    """The name or address; what is neither stays whole, and is nobody's."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2] or "") if found else host


def _is_loopback(host: str) -> bool:
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
