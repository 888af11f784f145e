"""Recalibrations as a service: asked for, followed, cancelled, read, and refused."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from infra import recalibration_jobs as jobs
from infra.postgres import Server, scratch_database
from infra.sessions import Session
from tests.api.answers import problem
from tests.api.conftest import Api, serve
from tests.api.recalibrating import (
    LONG,
    SHORT,
    UNTIL,
    asked,
    children_at_work,
    done,
    events,
    filled,
    running,
    until,
)
from tests.api.test_openapi import OPERATIONS
from tests.cli.conftest import program_on
from workers.recalibration.record import Record


@pytest.fixture(scope="module")
def small_company(server: Server, template_database: str) -> Iterator[Server]:
    """A funnel of 120 deals with five months of history."""
    with scratch_database(server, template=template_database) as database:
        filled(database)
        yield database


@pytest.fixture(scope="module")
def service(small_company: Server) -> Iterator[Api]:
    """The server, asked by an analyst."""
    with serve(small_company) as api:
        yield api.as_role("analyst")


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test has asked for and left is cancelled."""
    yield
    if "service" in request.fixturenames:
        service: Api = request.getfixturevalue("service")
        for one in service.get("/v1/recalibrations").json()["recalibrations"]:
            if one["state"] in jobs.OPEN:
                service.post(f"/v1/recalibrations/{one['id']}/cancel", {})


@pytest.fixture(scope="module")
def record(service: Api) -> dict[str, Any]:
    """What a recalibration found."""
    result: dict[str, Any] = done(service, asked(service, SHORT)["id"])["result"]
    return result


def test_it_is_accepted_followed_to_its_end_and_finds_what_the_command_line_finds(
    service: Api, small_company: Server, tmp_path: Path
) -> None:
    said = asked(service, SHORT)
    assert (said["state"], said["progress"], said["asked_by"]) == ("queued", 0.0, "the-analyst")

    told = list(events(service, said["id"]))
    assert [t["state"] for t in told][-1] == "done"
    assert [t["change"] for t in told] == sorted({t["change"] for t in told})
    assert [t["progress"] for t in told] == sorted(t["progress"] for t in told)
    assert told[-1]["progress"] == 1.0

    found = service.get(f"/v1/recalibrations/{said['id']}").json()["result"]
    assert found["record"] == said["id"]
    program = program_on(small_company, tmp_path)
    by_hand = program(
        "recalibrate", "--funnel", "small", "--until", UNTIL, "--replicates", "3", "--format", "json"
    )
    assert by_hand.code == 0, by_hand.err
    assert found | {"record": by_hand.json["record"]} == by_hand.json
    listed = service.get("/v1/recalibrations?funnel=small&limit=1").json()
    assert [one["id"] for one in listed["recalibrations"]] == [by_hand.json["record"]]
    assert listed["recalibrations"][0]["asked_by"] is None
    more = service.get(f"/v1/recalibrations?funnel=small&limit=1&cursor={listed['next_cursor']}").json()
    assert [one["id"] for one in more["recalibrations"]] == [said["id"]]


def test_who_resumes_gets_what_changed_since_and_nothing_after_the_end(
    service: Api, record: dict[str, Any]
) -> None:
    told = list(events(service, record["record"]))
    assert [t["state"] for t in told] == ["done"]
    address = f"/v1/recalibrations/{record['record']}/events"
    last = service.actor | {"Last-Event-ID": str(told[-1]["change"])}
    assert service.client.get(address, headers=last).status_code == 204
    beyond = service.actor | {"Last-Event-ID": str(told[-1]["change"] + 1)}
    problem(service.client.get(address, headers=beyond), 400, "invalid-parameters")
    assert [t["state"] for t in events(service, record["record"], after=1)] == ["done"]


def test_one_runs_at_a_time_and_cancelling_ends_its_process_at_once(
    service: Api, small_company: Server
) -> None:
    with serve(small_company) as second:
        first = running(service, LONG)
        waiting = asked(second.as_role("director"), LONG)
        (process,) = children_at_work()
        cancelled = second.as_role("sales_operations").post(f"/v1/recalibrations/{first['id']}/cancel", {})
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        assert [t["state"] for t in events(service, first["id"])] == ["cancelled"]
        next_one = until(service, waiting["id"], "state", "running")
        assert not process.exists()
        assert next_one["attempt"] == 1
        again = service.post(f"/v1/recalibrations/{first['id']}/cancel", {})
        assert again.json()["state"] == "cancelled"
        problem(service.get(f"/v1/recalibrations/{first['id']}/report"), 409, "recalibration-state")
        assert service.get(f"/v1/recalibrations/{first['id']}").json()["result"] is None
        service.post(f"/v1/recalibrations/{waiting['id']}/cancel", {})


def test_what_is_over_can_not_be_cancelled(service: Api, record: dict[str, Any]) -> None:
    over = service.post(f"/v1/recalibrations/{record['record']}/cancel", {})
    assert "done already" in problem(over, 409, "recalibration-state")["detail"]


def test_a_full_queue_says_when_to_come_again_but_still_answers_retries(service: Api) -> None:
    first = service.post("/v1/recalibrations", LONG, Idempotency_Key="the-first")
    for _ in range(jobs.MOST_OPEN - 1):
        asked(service, LONG)
    refused = service.post("/v1/recalibrations", LONG)
    problem(refused, 429, "queue-full")
    assert refused.headers["Retry-After"] == "30"
    again = service.post("/v1/recalibrations", LONG, Idempotency_Key="the-first")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    other = service.post("/v1/recalibrations", SHORT, Idempotency_Key="the-first")
    problem(other, 422, "command-id-reused")


@pytest.mark.parametrize("role", ["rep", "manager", "integration", "auditor"])
def test_who_is_not_authorised_neither_asks_nor_reads(
    service: Api, record: dict[str, Any], role: str
) -> None:
    other, address = service.as_role(role), f"/v1/recalibrations/{record['record']}"
    problem(other.post("/v1/recalibrations", SHORT), 403, "not-allowed")
    problem(other.post(f"{address}/cancel", {}), 403, "not-allowed")
    adopting = {"record": record["record"], "candidate": "landmark/1", "reason": "I like it."}
    problem(other.post("/v1/funnels/small/rate-sets", adopting), 403, "not-allowed")
    for part in ("", "/events", "/report"):
        answer = other.get(address + part)
        if role == "auditor":
            assert answer.status_code == 200
        else:
            problem(answer, 403, "not-allowed")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"funnel": "no_such"}, 404, "unknown-funnel"),
        ({"until": "2011-11-31"}, 422, "invalid-fields"),
        ({"until": "2090-01-01"}, 422, "invalid-fields"),
        ({"until": "0001-01-01T00:00:00Z"}, 422, "invalid-fields"),
        ({"period": "year"}, 422, "invalid-fields"),
        ({"seed": "7"}, 422, "invalid-fields"),
        ({"knowledge": "hearsay"}, 422, "invalid-fields"),
        ({"colour": "red"}, 422, "invalid-fields"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    service: Api, change: dict[str, Any], status: int, code: str
) -> None:
    problem(service.post("/v1/recalibrations", SHORT | change), status, code)


def test_a_funnel_without_history_fails_with_the_reason(service: Api) -> None:
    said = asked(service, SHORT | {"until": "2011-11-15"})
    last = list(events(service, said["id"]))[-1]
    assert (last["state"], last["phase"]) == ("failed", "Failed")
    assert last["reason"].startswith("Nothing was known of the funnel small by 2011-11-15")


def test_what_its_source_claims_is_no_history_that_this_log_has_witnessed(
    service: Api, record: dict[str, Any]
) -> None:
    assert (record["knowledge"], record["claimed_events"] > 0) == ("source", True)
    said = asked(service, SHORT | {"knowledge": "witnessed"})
    assert said["knowledge"] == "witnessed"
    last = list(events(service, said["id"]))[-1]
    assert last["reason"].startswith("Nothing was recorded in this log of the funnel small by 2024-05-06")


def test_an_unknown_one_is_not_found(service: Api) -> None:
    for part in ("", "/events", "/report"):
        problem(service.get(f"/v1/recalibrations/{uuid4()}{part}"), 404, "unknown-recalibration")
    problem(service.post(f"/v1/recalibrations/{uuid4()}/cancel", {}), 404, "unknown-recalibration")


def test_the_answers_are_those_that_the_document_describes(service: Api, record: dict[str, Any]) -> None:
    """Where all goes well; what else can be sent is in the tests of the document."""
    one = {"recalibration_id": record["record"]}
    for operation, path, body, status in (
        ("POST /v1/recalibrations", {}, SHORT, 202),
        ("GET /v1/recalibrations", {}, None, 200),
        ("GET /v1/recalibrations/{recalibration_id}", one, None, 200),
        ("GET /v1/recalibrations/{recalibration_id}/events", one, None, 200),
        ("GET /v1/recalibrations/{recalibration_id}/report", one, None, 200),
        ("POST /v1/recalibrations/{recalibration_id}/cancel", one, None, 409),
        ("GET /v1/funnels/{funnel}/rate-sets", {"funnel": "small"}, None, 200),
    ):
        sent = {} if body is None else {"body": body, "media_type": "application/json"}
        case = OPERATIONS[operation].Case(path_parameters=path, headers=service.actor, **sent)
        response = case.call(base_url=str(service.client.base_url))
        assert response.status_code == status
        case.validate_response(response)


def test_the_command_line_asks_looks_and_cancels_too(small_company: Server, tmp_path: Path) -> None:
    program = program_on(small_company, tmp_path)
    said = program(
        "recalibrate", "--funnel", "small", "--replicates", "10000", "--detach", "--format", "json"
    )
    assert said.code == 0, said.err
    job = said.json["id"]
    listed = program("recalibrations", "list", "--limit", "1", "--format", "json").json
    assert [one["id"] for one in listed["recalibrations"]] == [job]
    refused = program("recalibrations", "cancel", job, "--role", "manager")
    assert (refused.code, "may not cancel" in refused.err) == (1, True)
    assert program("recalibrations", "cancel", job, "--format", "json").json["state"] == "cancelled"
    shown = program("recalibrations", "show", job)
    assert (shown.code, "cancelled" in shown.out) == (0, True)


def test_the_report_may_fetch_nothing_from_anywhere(service: Api, record: dict[str, Any]) -> None:
    page = service.get(f"/v1/recalibrations/{record['record']}/report")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "script-src" not in policy
    assert record["digest"] in page.text
    assert "<script" not in page.text


def test_the_report_shows_f1_to_those_who_see_everybodys_and_to_nobody_who_had_a_deal(
    service: Api, small_company: Server, record: dict[str, Any]
) -> None:
    with closing(Session.open(small_company.app_url, "test")) as session:
        kept = Record.found(session, UUID(record["record"]))
        week = replace(kept.tested[0], f1=1234567.0, f1_deals=30)
        forecast = replace(kept, answer=replace(kept.answer, record=uuid4()), tested=(week, *kept.tested[1:]))
        forecast.keep(session)
    address = f"/v1/recalibrations/{forecast.answer.record}/report"
    for role in ("analyst", "auditor", "director", "admin"):
        assert "F1, managers" in service.as_role(role).get(address).text
    assert "F1 is left out of this copy" in service.as_role("sales_operations").get(address).text
    opened = service.as_role("admin").post("/v1/deals", {"funnel": "small", "owner": "the-director"})
    assert opened.status_code == 201, opened.text
    service.catch_up()
    assert "F1 is left out of this copy" in service.as_role("director").get(address).text
    assert "F1, managers" in service.as_role("analyst").get(address).text
