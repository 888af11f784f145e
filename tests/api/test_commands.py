"""Every command there is, over HTTP: found in the registry, so that a new one is held to the same contract."""

from typing import Any
from uuid import uuid4

import pytest

from api.commands import ROUTES, CommandRoute
from tests.api.conftest import Api

ALL = pytest.mark.parametrize("route", ROUTES.values(), ids=list(ROUTES))
ON_ONE_OF_MANY = pytest.mark.parametrize(
    "route", [r for r in ROUTES.values() if r.needs_version], ids=[n for n, r in ROUTES.items() if r.needs_version]
)

BODIES: dict[str, dict[str, Any]] = {
    "open-deal": {"funnel": "tas_plus"},
    "advance-stage": {"to_stage": "bidding"},
    "regress-stage": {"to_stage": "verification", "reason": "the customer starts over"},
    "reopen-deal": {"to_stage": "bidding", "reason": "the customer came back"},
    "set-currency": {"currency": "EUR"},
    "set-calendar": {"time_zone": "Asia/Shanghai"},
}
"""Of the commands whose example from the document does not fit what the tests set up."""

BEFORE: dict[str, list[str]] = {
    "regress-stage": ["advance-stage"],
    "reopen-deal": ["win-deal"],
    "retire-funnel": ["define-funnel"],
    "revise-funnel": ["define-funnel"],
}
"""What must have happened for the command to be possible."""


def example(api: Api, route: CommandRoute) -> dict[str, Any]:
    """A body of the command's shape."""
    operation = api.get("/openapi.json").json()["paths"][route.path]["post"]
    return BODIES.get(route.name) or dict(operation["requestBody"]["content"]["application/json"]["example"])


def possible(api: Api, route: CommandRoute) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Address, body and headers of the command on something fresh that it can be done to."""
    about: dict[str, Any] = {}
    if "funnel" in route.command.model_fields and not route.id_field:
        about["funnel"] = f"spare_{uuid4().hex}"
        _retire_spares(api)
    if "into" in route.command.model_fields:
        about["into"] = api.open_deal()
    deal = api.open_deal() if route.id_in_path else None
    for each in [ROUTES[name] for name in BEFORE.get(route.name, [])] + [route]:
        path, body = each.path.format(deal_id=deal), example(api, each) | about
        headers = {"If_Match": "*"} if route.needs_version else {}
        if each is not route:
            done = api.as_role("admin").post(path, body, **headers)
            assert done.status_code == 200, done.text
    return path, body, headers


def _retire_spares(api: Api) -> None:
    """At most three funnels are active."""
    for funnel in api.get("/v1/funnels").json()["funnels"]:
        if funnel["active"] and funnel["key"].startswith("spare"):
            body = {"funnel": funnel["key"], "reason": "not needed"}
            assert api.as_role("admin").post("/v1/playbook/retire-funnel", body).is_success


@ALL
def test_a_command_is_accepted_and_answers_with_where_it_stands(api: Api, route: CommandRoute) -> None:
    path, body, headers = possible(api, route)

    answer = api.as_role("admin").post(path, body, **headers)

    assert answer.status_code == (201 if route.creates else 200), answer.text
    said = answer.json()
    assert said.keys() == {route.id_field or "stream_id", "version", "position", "event_ids"}
    assert answer.headers["ETag"] == f'"{said["version"]}"'
    assert api.head() >= said["position"]
    if route.creates:
        assert answer.headers["Location"] == f"{route.path}/{said[route.id_field]}"


@ALL
def test_a_retry_gets_the_first_answer_and_does_nothing(api: Api, route: CommandRoute) -> None:
    path, body, headers = possible(api, route)
    admin, key = api.as_role("admin"), str(uuid4())

    first = admin.post(path, body, Idempotency_Key=key, **headers)
    head = api.head()
    again = admin.post(path, body, Idempotency_Key=key, **headers)

    assert (again.status_code, again.content, again.headers["ETag"]) == (
        first.status_code,
        first.content,
        first.headers["ETag"],
    )
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.head() == head


@ALL
def test_the_same_key_with_another_request_is_refused(api: Api, route: CommandRoute) -> None:
    path, body, headers = possible(api, route)
    admin, key = api.as_role("admin"), str(uuid4())
    assert admin.post(path, body, Idempotency_Key=key, **headers).is_success

    other = admin.post(path, {**body, "occurred_at": "2020-01-01T00:00:00Z"}, Idempotency_Key=key, **headers)

    assert other.status_code == 422
    assert other.json()["code"] == "command-id-reused"


@ALL
def test_a_role_that_may_not_is_refused(api: Api, unchanged_log: None, route: CommandRoute) -> None:
    path = route.path.format(deal_id=uuid4())

    answer = api.as_role("auditor").post(path, {}, If_Match="*")

    assert answer.status_code == 403
    assert answer.json()["code"] == "not-allowed"
    assert set(answer.json()["accepted"].split(", ")) == set(route.command.ALLOWED)


@ALL
def test_nobody_is_refused(api: Api, unchanged_log: None, route: CommandRoute) -> None:
    answer = api.client.post(route.path.format(deal_id=uuid4()), json={}, headers={"X-Actor-Id": ""})

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


@ON_ONE_OF_MANY
def test_the_version_must_be_named(api: Api, route: CommandRoute) -> None:
    path, body, _ = possible(api, route)
    head = api.head()

    answer = api.as_role("admin").post(path, body)

    assert answer.status_code == 428
    assert answer.json()["code"] == "version-missing"
    assert api.head() == head


@ON_ONE_OF_MANY
def test_a_stale_version_is_refused_and_the_current_one_is_named(api: Api, route: CommandRoute) -> None:
    path, body, _ = possible(api, route)
    head = api.head()

    answer = api.as_role("admin").post(path, body, If_Match='"99"')

    assert answer.status_code == 412
    assert answer.json()["code"] == "stale-version"
    assert answer.json()["accepted"].startswith('"')
    assert api.head() == head


@ON_ONE_OF_MANY
def test_the_current_version_is_accepted(api: Api, route: CommandRoute) -> None:
    path, body, _ = possible(api, route)
    stale = api.as_role("admin").post(path, body, If_Match='"99"').json()

    answer = api.as_role("admin").post(path, body, If_Match=stale["accepted"].partition(",")[0])

    assert answer.status_code == 200, answer.text


@ON_ONE_OF_MANY
def test_a_deal_that_nobody_opened_is_not_found(api: Api, unchanged_log: None, route: CommandRoute) -> None:
    body = example(api, route)

    answer = api.as_role("admin").post(route.path.format(deal_id=uuid4()), body, If_Match="*")

    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == "unknown-deal"
