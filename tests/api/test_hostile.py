"""Clients that mean no good: heads and bodies without end, names that are not ours, times at the edge of the world."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api import body, http_connection
from api.asking import ROUTES
from tests.api.conftest import Api

ACTOR = b"X-Actor-Id: anna\r\nX-Actor-Role: rep\r\n"


@contextmanager
def connected(api: Api) -> Iterator[socket.socket]:
    with socket.create_connection((api.client.base_url.host, api.client.base_url.port), timeout=60) as client:
        yield client


def rest(client: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    said = b""
    try:
        while chunk := client.recv(65536):
            said += chunk
    except ConnectionResetError:
        pass  # it hung up while we were still sending
    return said


def send_without_end(client: socket.socket, chunk: bytes, most: int) -> int:
    """How many bytes were sent before the server hung up."""
    sent = 0
    try:
        while sent < most:
            client.sendall(chunk)
            sent += len(chunk)
    except OSError:
        pass
    return sent


@pytest.mark.parametrize("endless", [b"a" * 65536, b"X-A: aaaaaaaa\r\n" * 4096], ids=["one header", "many"])
def test_a_head_without_end_is_cut_off_and_others_are_served(api: Api, endless: bytes) -> None:
    with connected(api) as client:
        client.sendall(b"GET /v1/log HTTP/1.1\r\nX-A: ")
        most = 64 * 1024 * 1024
        assert send_without_end(client, endless, most) < most
        assert api.get("/v1/log").status_code == 200


def test_a_head_as_large_as_a_browser_sends_is_taken(api: Api) -> None:
    with connected(api) as client:
        cookies = b"Cookie: " + b"a" * 60_000 + b"\r\n"
        client.sendall(
            b"GET /v1/log HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + ACTOR + cookies + b"\r\n"
        )
        assert rest(client).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET /v1/log HT", b"GET /v1/log HTTP/1.1\r\nHost: localhost\r\nX-"])
def test_who_does_not_come_to_the_end_of_its_head_is_hung_up_on(
    api: Api, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_connection, "HEAD_SECONDS", 0.2)
    with connected(api) as client:
        client.sendall(sent)
        assert rest(client)[:12] in (b"", b"HTTP/1.1 400")


def test_the_next_request_of_a_connection_has_its_own_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "HEAD_SECONDS", 3.0)
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(api) as client:
        for _ in range(4):
            client.sendall(request)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.9)  # four of them are longer than one request may take
        client.sendall(request[:-2])
        assert rest(client).startswith(b"HTTP/1.1 400")


@pytest.mark.usefixtures("unchanged_log")
def test_a_body_that_does_not_come_to_its_end_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.2)
    with connected(api) as client:
        head = b"POST /v1/deals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + ACTOR
        client.sendall(head + b"Content-Length: 100\r\n\r\n{")
        assert client.recv(65536).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "hosts",
    [
        [b"evil.example"],
        [b"127.0.0.1.evil.example"],
        [b"[::1].evil.example"],
        [b"localhost:80@evil.example"],
        [b"localhost", b"evil.example"],
    ],
)
def test_actors_are_believed_under_a_name_of_this_machine_only(api: Api, hosts: list[bytes]) -> None:
    names = b"".join(b"Host: " + host + b"\r\n" for host in hosts)
    with connected(api) as client:
        client.sendall(b"GET /v1/log HTTP/1.1\r\nConnection: close\r\n" + names + ACTOR + b"\r\n")
        assert rest(client).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST.:80", b"127.0.0.1:8400", b"[::1]:8400", b"[::1]"])
def test_any_name_of_this_machine_will_do(api: Api, host: bytes) -> None:
    with connected(api) as client:
        client.sendall(
            b"GET /v1/log HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n" + ACTOR + b"\r\n"
        )
        assert rest(client).startswith(b"HTTP/1.1 200")


EDGES = ("0001-01-01T00:00:00Z", "1900-01-01T00:00:00Z", "2200-12-31T23:59:59Z", "9999-12-31T23:59:59Z")
AT_A_TIME = [
    (route.path, name)
    for route in ROUTES
    for name in ("as_of", "known_at")
    if name in route.params.model_fields
]


@pytest.fixture(scope="module")
def deal(served: Api) -> str:
    deal = served.open_deal()
    served.catch_up()
    return deal


@pytest.mark.parametrize(("path", "name"), AT_A_TIME)
def test_no_moment_breaks_a_query(api: Api, deal: str, path: str, name: str) -> None:
    address = path.format(deal_id=deal, account_id=deal, funnel="tas_plus")
    for edge in EDGES:
        answer = api.as_role("auditor").get(address, params={name: edge})
        assert answer.status_code < 500, answer.text
        assert answer.status_code != 200 or edge[:4] in ("1900", "2200")
