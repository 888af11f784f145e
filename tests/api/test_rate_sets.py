"""Adopting over HTTP: only on evidence that holds, whichever way the command comes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from infra.postgres import Server, scratch_database
from tests.api.answers import problem
from tests.api.conftest import Api, serve
from tests.api.recalibrating import SHORT, asked, done, filled


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


@pytest.fixture(scope="module")
def record(service: Api) -> dict[str, Any]:
    """What a recalibration found."""
    result: dict[str, Any] = done(service, asked(service, SHORT)["id"])["result"]
    return result


@pytest.fixture
def director(service: Api) -> Api:
    return service.as_role("director")


def adopting(found: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {"record": found["record"], "candidate": "landmark/1", "reason": "Tested."} | change


def by_command(record: dict[str, Any], **change: Any) -> dict[str, Any]:
    """The generic command that says what the candidate of the record says."""
    candidate = next(c for c in record["candidates"] if c["name"] == "landmark")
    rates = [{"stage": r["stage"], "age": r["age"], "rate": str(r["rate"])} for r in candidate["rates"]]
    evidence = {"record": record["record"], "digest": record["digest"], "candidate": "landmark/1"}
    return {"funnel": "small", "rates": rates, "evidence": evidence, "reason": "Tested."} | change


@contextmanager
def tampered(owner_url: str) -> Iterator[None]:
    """Somebody with the keys to the database lets an event say another time; afterwards all is as it was."""
    change = "UPDATE dealtrace.events SET recorded_at = recorded_at {} interval '1 microsecond' WHERE notification_id = 5"
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute(change.format("-"))
        try:
            yield
        finally:
            conn.execute(change.format("+"))


def test_a_candidate_is_adopted_and_the_history_says_on_what_evidence(
    director: Api, record: dict[str, Any]
) -> None:
    director.catch_up()
    before = director.get("/v1/funnels/small/rate-sets").json()["rate_sets"]
    done = director.post("/v1/funnels/small/rate-sets", adopting(record), Idempotency_Key="adopt-1")
    assert done.status_code == 201, done.text
    again = director.post("/v1/funnels/small/rate-sets", adopting(record), Idempotency_Key="adopt-1")
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (done.json(), "true")
    by_hand = by_command(record, evidence=None, reason="By feeling.")
    assert director.post("/v1/playbook/adopt-rate-set", by_hand).status_code == 200
    assert director.post("/v1/playbook/adopt-rate-set", by_command(record)).status_code == 200

    director.catch_up()
    found = director.get("/v1/funnels/small/rate-sets").json()["rate_sets"][len(before) :]
    assert [s["basis"] for s in found] == ["evidence", "hand", "evidence"]
    assert found[0]["evidence"] == by_command(record)["evidence"] == found[2]["evidence"]
    assert (found[0]["actor_id"], found[0]["reason"]) == ("the-director", "Tested.")
    assert found[0]["effective_to"] == found[1]["effective_from"]
    assert found[2]["since"]["reason"] == "No week has ended while it was in force."
    landmark = next(c for c in record["candidates"] if c["name"] == "landmark")
    assert [float(r["rate"]) for r in found[0]["rates"]] == [r["rate"] for r in landmark["rates"]]


def test_evidence_from_another_log_is_refused_whichever_way_it_comes(
    director: Api, record: dict[str, Any], small_company: Server
) -> None:
    batch = {"commands": [{"command": "set-cohort-window", "weeks": 9, "if_match": "*"}]}
    item = {"command": "adopt-rate-set", **by_command(record)}
    with tampered(small_company.owner_url):
        head = director.head()
        problem(director.post("/v1/funnels/small/rate-sets", adopting(record)), 409, "evidence-stale")
        problem(director.post("/v1/playbook/adopt-rate-set", by_command(record)), 409, "evidence-stale")
        both = director.as_role("admin").post("/v1/commands", {"commands": [*batch["commands"], item]})
        problem(both, 409, "evidence-stale")
        assert director.head() == head
        assert director.post("/v1/playbook/adopt-rate-set", by_command(record, evidence=None)).is_success


def test_the_generic_command_must_say_what_its_evidence_says(
    director: Api, record: dict[str, Any], unchanged: None
) -> None:
    evidence = by_command(record)["evidence"]
    rates = by_command(record)["rates"]
    for change, status, code in (
        ({"evidence": evidence | {"record": str(uuid4())}}, 404, "unknown-recalibration"),
        ({"evidence": evidence | {"digest": "0" * 64}}, 409, "not-adoptable"),
        ({"evidence": evidence | {"candidate": "oracle/9"}}, 422, "unknown-candidate"),
        ({"rates": [rates[0] | {"rate": "0.999"}, *rates[1:]]}, 409, "not-adoptable"),
        ({"rates": rates[1:]}, 409, "not-adoptable"),
        ({"funnel": "other"}, 409, "not-adoptable"),
    ):
        refused = director.post("/v1/playbook/adopt-rate-set", by_command(record, **change))
        problem(refused, status, code)


def test_what_can_not_be_adopted_is_named(director: Api, record: dict[str, Any], unchanged: None) -> None:
    for change, status, code in (
        ({"record": str(uuid4())}, 404, "unknown-recalibration"),
        ({"candidate": "oracle/9"}, 422, "unknown-candidate"),
        ({"reason": ""}, 422, "invalid-fields"),
        ({"effective_from": "2001-01-01T00:00:00Z"}, 409, "playbook-conflict"),
    ):
        refused = director.post("/v1/funnels/small/rate-sets", adopting(record, **change))
        problem(refused, status, code)
    problem(director.post("/v1/funnels/other/rate-sets", adopting(record)), 409, "not-adoptable")


def test_a_candidate_that_knows_no_rate_for_a_stage_is_completed_by_hand(
    director: Api, record: dict[str, Any], small_company: Server
) -> None:
    half = with_an_unknown_rate(small_company, record)
    refused = director.post("/v1/funnels/small/rate-sets", adopting(half))
    assert "no rate for lead" in problem(refused, 409, "not-adoptable")["detail"]
    completed = by_command(record, evidence=by_command(half)["evidence"])
    completed["rates"][0]["rate"] = "0.111"
    assert director.post("/v1/playbook/adopt-rate-set", completed).is_success


def with_an_unknown_rate(database: Server, record: dict[str, Any]) -> dict[str, Any]:
    """The same record once more, of a candidate that found nothing out about the first stage."""
    with psycopg.connect(database.app_url) as conn:
        (body,) = conn.execute(
            "SELECT body FROM dealtrace.recalibration_records WHERE id = %s", [record["record"]]
        ).fetchone() or ("",)
        kept = json.loads(body)
        kept["answer"]["record"] = str(uuid4())
        landmark = next(c for c in kept["answer"]["candidates"] if c["name"] == "landmark")
        landmark["rates"][0]["rate"] = None
        conn.execute(
            "INSERT INTO dealtrace.recalibration_records (id, digest, funnel, until, body)"
            " VALUES (%s, %s, 'small', now(), %s)",
            [kept["answer"]["record"], record["digest"], json.dumps(kept)],
        )
    answer: dict[str, Any] = kept["answer"]
    return answer


@pytest.fixture
def unchanged(director: Api) -> Iterator[None]:
    """Whatever the test does must leave the log as it was."""
    before = director.head()
    yield
    assert director.head() == before
