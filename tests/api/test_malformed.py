"""Whatever comes in that is not a command gets a clear 4xx, and the log stays as it was."""

import gzip
import json
import socket
from typing import Any

import pytest

from tests.api.answers import problem
from tests.api.conftest import Api

pytestmark = pytest.mark.usefixtures("unchanged_log")

INJECTION = "'; DROP TABLE dealtrace.events; --"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"funnel": "tas_plus"',
        b'{"funnel": "tas_plus"} {}',
        b"{'funnel': 'tas_plus'}",
        b'{"funnel": "tas_plus",}',
        b'{"funnel": "tas_plus", "amount": {"amount": NaN, "currency": "EUR"}}',
        b'{"funnel": "tas_plus", "amount": {"amount": Infinity, "currency": "EUR"}}',
        b'{"funnel": "tas_plus", "amount": {"amount": -Infinity, "currency": "EUR"}}',
        b'{"funnel": "tas_plus", "amount": {"amount": 1e400, "currency": "EUR"}}',
        b'{"funnel": "tas_plus", "amount": {"amount": ' + b"9" * 5000 + b', "currency": "EUR"}}',
        b'{"funnel": "tas_plus", "funnel": "customer"}',
        b'{"funnel": "tas_plus", "owner": "\\ud800"}',
        b'{"funnel": "tas_plus", "owner": "a\\u0000b"}',
        b'{"funnel": "tas_plus", "owner": "a\x00b"}',
        b'{"funnel": "tas_plus", "owner": "\xff\xfe"}',
        b'{"funnel": "tas_plus", "owner": "\xed\xa0\x80"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        "\ufeff{}".encode(),
        '{"funnel": "tas_plus"}'.encode("utf-16"),
    ],
    ids=lambda body: str(body[:50]),
)
def test_what_is_not_strict_json_is_refused(api: Api, body: bytes) -> None:
    problem(api.send("/v1/deals", body), 400, "malformed-json")


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"', b"true"])
def test_json_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    problem(api.send("/v1/deals", body), 422, "invalid-fields")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("funnel", None),
        ("funnel", 7),
        ("funnel", ["tas_plus"]),
        ("funnel", "TAS PLUS"),
        ("funnel", INJECTION),
        ("funnel", "x" * 65),
        ("stage", INJECTION),
        ("name", ""),
        ("name", "   "),
        ("name", "bell\x07"),
        ("name", "x" * 10_001),
        ("owner", "x" * 201),
        ("owner", {"id": 7}),
        ("account_id", INJECTION),
        ("account_id", 12),
        ("deal_id", "not-an-id"),
        ("expected_close", "2026-02-30"),
        ("expected_close", "tomorrow"),
        ("expected_close", 20260301),
        ("occurred_at", "2026-01-01T00:00:00"),
        ("occurred_at", "2026-01-01"),
        ("occurred_at", 1700000000),
        ("occurred_at", "yesterday"),
        ("occurred_at", "0001-01-01T00:00:00+23:59"),
        ("occurred_at", "9999-12-31T23:59:59-23:59"),
        ("occurred_at", "99999-01-01T00:00:00Z"),
        ("amount.amount", "NaN"),
        ("amount.amount", "Infinity"),
        ("amount.amount", "-1"),
        ("amount.amount", True),
        ("amount.amount", "1234567890123456"),
        ("amount.amount", "1e30"),
        ("amount.amount", "9" * 3000),
        ("amount.amount", 10**40),
        ("amount.amount", INJECTION),
        ("amount.currency", "EURO"),
        ("amount.currency", "XXX"),
        ("amount.currency", INJECTION),
        ("color", "blue"),
        (INJECTION, 1),
    ],
)
def test_a_wrong_field_is_named_and_never_echoed(api: Api, field: str, value: Any) -> None:
    body: dict[str, Any] = {"funnel": "tas_plus"}
    if field.startswith("amount."):
        body["amount"] = {"amount": "1", "currency": "EUR"} | {field.partition(".")[2]: value}
    else:
        body[field] = value

    said = problem(api.post("/v1/deals", body), 422, "invalid-fields")

    if value != 10**40:  # beyond 64 bits nobody looks at the fields any more
        assert [e["field"] for e in said["errors"]] == [field]
        assert said["field"] == field
    if isinstance(value, str) and len(value) > 100:
        assert value[:100] not in json.dumps(said)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"funnel": "no_such_funnel"}, 404, "unknown-funnel"),
        ({"funnel": "tas_plus", "stage": "no_such_stage"}, 422, "unknown-stage"),
        ({"funnel": "tas_plus", "stage": "bidding"}, 409, "wrong-stage"),
        ({"funnel": "tas_plus", "amount": {"amount": "1", "currency": "USD"}}, 422, "wrong-currency"),
        ({"funnel": "tas_plus", "amount": {"amount": "1.005", "currency": "EUR"}}, 422, "invalid-amount"),
        ({"funnel": "tas_plus", "occurred_at": "2199-01-01T00:00:00Z"}, 422, "in-the-future"),
    ],
)
def test_what_the_playbook_does_not_know_is_refused(api: Api, body: Any, status: int, code: str) -> None:
    said = problem(api.post("/v1/deals", body), status, code)
    assert said["accepted"]
    assert "index" not in said


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""]
)
def test_a_body_of_another_kind_is_refused(api: Api, kind: str) -> None:
    problem(api.send("/v1/deals", b'{"funnel": "tas_plus"}', Content_Type=kind), 415, "not-json")


def test_a_compressed_body_is_refused(api: Api) -> None:
    packed = gzip.compress(b'{"funnel": "tas_plus"}')
    for coding in ("gzip", "GZIP", "br", "identity, gzip"):
        said = problem(api.send("/v1/deals", packed, Content_Encoding=coding), 415, "not-json")
        assert said["field"] == "Content-Encoding"


@pytest.mark.parametrize(
    "number", ["5_0", " 5", "+5", "5.0", "1e2", "５", "", "five", "0", "501", "9" * 5000]
)
def test_a_page_of_so_many_deals_is_refused(api: Api, number: str) -> None:
    said = problem(api.get("/v1/deals", params={"limit": number}), 400, "invalid-parameters")
    assert (said["field"], said["accepted"]) == ("limit", "a whole number from 1 to 500")


@pytest.mark.parametrize("query", ["q=%FF", "q=%ED%A0%80", "owner=a&%C3=b", "q=%C3%28"])
def test_a_query_that_is_no_text_is_refused(api: Api, query: str) -> None:
    problem(api.get(f"/v1/deals?{query}"), 400, "invalid-parameters")


@pytest.mark.parametrize("path", ["/v1/deals", "/v1/commands"])
def test_ten_megabytes_are_refused_unread(api: Api, path: str) -> None:
    """The answer comes when only the headers were sent."""
    host, port = api.client.base_url.host, api.client.base_url.port
    with socket.create_connection((host, port), timeout=10) as raw:
        raw.sendall(
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Actor-Id: anna\r\nX-Actor-Role: rep\r\n"
            "Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n".encode()
        )
        answer = raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body-too-large" in answer or b"problem+json" in answer


def test_ten_megabytes_without_a_length_are_refused(api: Api) -> None:
    def chunks() -> Any:
        yield b'{"name": "'
        for _ in range(100):
            yield b"x" * 100_000
        yield b'"}'

    try:
        answer = api.client.post(
            "/v1/deals", content=chunks(), headers={**api.actor, "Content-Type": "application/json"}
        )
    except OSError:
        pytest.fail("the connection was cut before the answer was read")
    problem(answer, 413, "body-too-large")


def test_a_command_takes_no_query_parameters(api: Api) -> None:
    problem(api.post("/v1/deals?dry_run=1", {"funnel": "tas_plus"}), 400, "invalid-parameters")


@pytest.mark.parametrize("version", ["7", 'W/"7"', '"seven"', '"7", "8"', '"-1"', '""', '"' + "9" * 30 + '"'])
def test_a_version_that_is_none_is_refused(api: Api, version: str) -> None:
    path = "/v1/deals/0195a000-0000-7000-8000-000000000001/win-deal"
    assert problem(api.post(path, {}, If_Match=version), 400, "invalid-parameters")["field"] == "If-Match"


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ".encode().decode("latin-1")])
def test_a_key_that_can_not_be_kept_is_refused(api: Api, key: str) -> None:
    answer = api.client.post(
        "/v1/deals",
        json={"funnel": "tas_plus"},
        headers=[*api.actor.items(), ("Idempotency-Key", key.encode("latin-1"))],
    )
    assert problem(answer, 400, "invalid-parameters")["field"] == "Idempotency-Key"


def test_an_id_in_the_address_that_is_none_is_refused(api: Api) -> None:
    problem(api.post("/v1/deals/17/win-deal", {}, If_Match="*"), 400, "invalid-parameters")


def test_the_address_and_the_body_do_not_both_name_the_deal(api: Api) -> None:
    deal = "0195a000-0000-7000-8000-000000000001"
    problem(api.post(f"/v1/deals/{deal}/win-deal", {"deal_id": deal}, If_Match="*"), 422, "invalid-fields")


def test_unknown_addresses_and_methods(api: Api) -> None:
    problem(api.get("/v1/nothing"), 404, "no-such-address")
    problem(api.get("/v1/deals/"), 404, "no-such-address")
    answer = api.client.delete("/v1/deals", headers=api.actor)
    problem(answer, 405, "method-not-allowed")
    assert {m.strip() for m in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}


def test_an_address_too_long_is_refused(api: Api) -> None:
    problem(api.get("/v1/deals?q=" + "x" * 33_000), 414, "address-too-long")
