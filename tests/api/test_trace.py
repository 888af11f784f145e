"""Every request has an id that its answer, its log line and its events carry."""

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.conftest import Api


class Lines(logging.Handler):
    """The access log while the test runs. A line is written after its answer was sent, so it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Condition()
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        with self._written:
            self._records.append(record)
            self._written.notify_all()

    def of(self, answer: httpx.Response) -> Any:
        """The line of the request that was answered so."""
        wanted = answer.headers["X-Request-ID"]

        def found() -> logging.LogRecord | None:
            lines = [r for r in self._records if hasattr(r, "status")]
            return next((r for r in lines if vars(r)["request_id"] == wanted), None)

        with self._written:
            return self._written.wait_for(found, timeout=60)

    @property
    def text(self) -> str:
        return "\n".join(str(vars(r)) for r in self._records)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The access log while the test runs."""
    lines, log = Lines(), logging.getLogger("dealtrace.access")
    level = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    yield lines
    log.setLevel(level)
    log.removeHandler(lines)


def test_the_request_id_comes_back(api: Api) -> None:
    answer = api.client.get("/health", headers={"X-Request-ID": "screen-17.retry=2"})
    assert answer.headers["X-Request-ID"] == "screen-17.retry=2"


@pytest.mark.parametrize("odd", ["", "x" * 129, "two words", "<script>", "line\\nbreak", "é"])
def test_an_id_that_can_not_be_used_is_replaced(api: Api, odd: str) -> None:
    answer = api.client.get("/health", headers=[("X-Request-ID", odd.encode("utf-8"))])
    assert len(answer.headers["X-Request-ID"]) == 36


def test_events_carry_the_ids_of_their_request(api: Api) -> None:
    answer = api.post(
        "/v1/deals",
        {"funnel": "tas_plus"},
        X_Request_ID="request-1",
        X_Correlation_ID="monday-import",
        Idempotency_Key="key-of-request-1",
    )
    meta = metas(api, answer.json()["deal_id"])[0]
    assert (meta["request_id"], meta["correlation_id"], meta["command_id"]) == (
        "request-1",
        "monday-import",
        "key-of-request-1",
    )
    assert meta["actor"] == {"id": "anna", "role": "manager", "auth": "header"}


def test_a_line_says_who_did_what_and_up_to_where(api: Api, lines: Lines) -> None:
    answer = api.post("/v1/deals", {"funnel": "tas_plus"}, X_Correlation_ID="c-2")
    line = lines.of(answer)
    facts = {
        n: getattr(line, n)
        for n in ("method", "path", "status", "actor", "role", "position", "correlation_id")
    }
    assert facts == {
        "method": "POST",
        "path": "/v1/deals",
        "status": 201,
        "actor": "anna",
        "role": "manager",
        "position": answer.json()["position"],
        "correlation_id": "c-2",
    }
    assert line.milliseconds > 0


def test_what_is_searched_for_is_not_logged(api: Api, lines: Lines) -> None:
    assert lines.of(api.get("/v1/deals", params={"q": "Frau Mustermann"})).path == "/v1/deals"
    assert "Mustermann" not in lines.text


def test_a_line_can_not_be_forged(api: Api, lines: Lines) -> None:
    line = lines.of(api.client.get("/v1/deals%0AGET%20/health%20200"))
    assert "\n" not in line.getMessage()


def test_no_answer_is_kept_by_anybody(api: Api) -> None:
    for path in ("/v1/deals", "/health", "/v1/nothing"):
        assert api.get(path).headers["Cache-Control"] == "no-store"


def test_a_failure_inside_says_nothing_of_the_inside(
    api: Api, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("api.queries_system.read_head", broken)
    answer = api.get("/v1/log")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal-error"
    assert "hunter2" not in answer.text
    assert lines.of(answer).status == 500
    assert "hunter2" in lines.text


def metas(api: Api, deal: str) -> list[dict[str, Any]]:
    """The envelopes of a deal's events in the log."""
    with psycopg.connect(api.database.app_url) as conn:
        rows = conn.execute(
            "SELECT state FROM dealtrace.events WHERE originator_id = %s ORDER BY originator_version", [deal]
        ).fetchall()
    return [json.loads(state)["meta"] for (state,) in rows]
