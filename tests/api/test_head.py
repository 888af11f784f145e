"""HEAD answers wherever GET does: the same status and headers, and no body."""

import socket
from uuid import uuid4

import pytest

from api.asking import ROUTES
from tests.api.conftest import Api

SYSTEM = ["/", "/health", "/ready", "/problems", "/problems/unknown-deal", "/openapi.json", "/metrics"]
STREAMS = ["/v1/stream", f"/v1/recalibrations/{uuid4()}/events"]
OF_THE_REQUEST = {"date", "x-request-id", "content-length"}
"""What may differ between two requests: a later answer may tell a later moment."""


def paths(deal: str) -> list[str]:
    """Every address that can be read, for a deal that is there and an account that is not."""
    known = {"funnel": "tas_plus", "deal_id": deal, "account_id": uuid4(), "recalibration_id": uuid4()}
    return [*SYSTEM, *(route.path.format(**known) for route in ROUTES)]


def test_head_answers_as_get_does_without_the_body(api: Api) -> None:
    deal = api.open_deal()
    api.catch_up()
    for path in paths(deal):
        got = api.get(path)
        told = api.client.head(path, headers=api.actor)
        assert told.status_code == got.status_code, path
        assert told.content == b""
        assert told.headers.keys() == got.headers.keys(), path
        same = got.headers.keys() - OF_THE_REQUEST
        assert {name: told.headers[name] for name in same} == {name: got.headers[name] for name in same}


def test_a_connection_goes_on_after_head(api: Api) -> None:
    """No byte of a body is left on it, which would be taken for the next answer."""
    ask = b"%s /health HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    with socket.create_connection((api.client.base_url.host, api.client.base_url.port), timeout=30) as client:
        client.sendall(ask % (b"HEAD", b"") + ask % (b"GET", b"Connection: close\r\n"))
        said = b""
        while chunk := client.recv(65536):
            said += chunk
    assert said.count(b"HTTP/1.1 200") == 2
    assert said.count(b'{"status":"alive"}') == 1


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_has_no_head(api: Api, path: str) -> None:
    answer = api.client.head(path, headers=api.actor)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"


def test_head_is_refused_as_get_is(api: Api) -> None:
    assert api.client.head("/v1/log").status_code == 401
    assert api.client.head("/v1/nothing", headers=api.actor).status_code == 404
