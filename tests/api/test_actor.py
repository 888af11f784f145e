"""Actor headers are believed from this machine only, and nobody is nobody."""

from collections import defaultdict
from typing import Any

import pytest

from api.actor import NotLoopback, require_loopback, verified_actor
from api.asking import ROUTES as QUERIES
from api.refusals import HeadersNotTrusted, Unauthenticated
from tests.api.conftest import Api


def scope(**changes: Any) -> dict[str, Any]:
    """An ASGI request of a rep on this machine, with some changes."""
    headers = {"host": "127.0.0.1:8400", "x-actor-id": "anna", "x-actor-role": "rep"} | changes.pop(
        "headers", {}
    )
    return {
        "server": ("127.0.0.1", 8400),
        "client": ("127.0.0.1", 55555),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    } | changes


def test_the_headers_name_the_actor() -> None:
    actor = verified_actor(scope(headers={"x-actor-id": "安娜"}))
    assert (actor.id, actor.role, actor.auth) == ("安娜", "rep", "header")


@pytest.mark.parametrize(
    "changes",
    [
        {"server": ("192.168.1.7", 8400)},
        {"server": ("0.0.0.0", 8400)},  # noqa: S104
        {"client": ("192.168.1.9", 55555)},
        {"headers": {"host": "dealtrace.example:8400"}},
        {"headers": {"host": "127.0.0.1.example"}},
    ],
)
def test_they_are_not_believed_from_elsewhere(changes: dict[str, Any]) -> None:
    with pytest.raises(HeadersNotTrusted):
        verified_actor(scope(**changes))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8400", "[::1]:8400", "127.9.9.9:1"])
def test_every_name_of_this_machine_will_do(host: str) -> None:
    assert verified_actor(scope(headers={"host": host}))


@pytest.mark.parametrize(
    "headers",
    [
        {"x-actor-id": ""},
        {"x-actor-id": "   "},
        {"x-actor-id": "x" * 201},
        {"x-actor-id": "bell\x07"},
        {"x-actor-role": ""},
        {"x-actor-role": "boss"},
        {"x-actor-role": "system"},
        {"x-actor-role": "Rep"},
    ],
)
def test_whoever_is_not_named_well_is_nobody(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        verified_actor(scope(headers=headers))


def test_two_names_are_no_name() -> None:
    twice = scope()
    twice["headers"].append((b"x-actor-role", b"admin"))
    with pytest.raises(Unauthenticated):
        verified_actor(twice)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "dealtrace.example", ""])  # noqa: S104
def test_a_server_for_other_machines_does_not_start(host: str) -> None:
    with pytest.raises(NotLoopback):
        require_loopback(host)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.path)
def test_every_query_wants_to_know_who_asks(api: Api, query: Any) -> None:
    answer = api.client.get(
        query.path.format_map(defaultdict(lambda: "0195a000-0000-7000-8000-000000000001", funnel="tas_plus"))
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/problems", "/openapi.json"])
def test_what_is_about_the_server_is_open(api: Api, path: str) -> None:
    assert api.client.get(path).status_code == 200
