"""Every command there is, over HTTP: found in the registry, so that a new one is held to the same contract."""

from typing import Any
from uuid import uuid4

import pytest

from api.commands import ROUTES, CommandRoute
from tests.api.conftest import Api

ALL = pytest.mark.parametrize("route", ROUTES.values(), ids=list(ROUTES))
NEED_A_VERSION = pytest.mark.parametrize(
    "route",
    [r for r in ROUTES.values() if r.needs_version],
    ids=[n for n, r in ROUTES.items() if r.needs_version],
)
ON_ONE_OF_MANY = pytest.mark.parametrize(
    "route",
    [r for r in ROUTES.values() if r.id_in_path],
    ids=[n for n, r in ROUTES.items() if r.id_in_path],
)

BODIES: dict[str, dict[str, Any]] = {
    "open-deal": {"funnel": "tas_plus", "expected_close": "2027-06-30"},
    "advance-stage": {"to_stage": "bidding"},
    "regress-stage": {"to_stage": "verification", "reason": "the customer starts over"},
    "reopen-deal": {"to_stage": "bidding", "reason": "the customer came back"},
    "review-stage": {"stage": "verification", "outcome": "approved"},
    "tick-item": {"item": "budget"},
    "untick-item": {"item": "budget"},
    "grade-deal": {"grade": "A", "reason": "the whole branch watches this one"},
    "confirm-assessment": {"party": "us"},
    "leave-team": {"person": "somebody who manages no team"},
    "set-currency": {"currency": "EUR"},
    "set-calendar": {"time_zone": "Asia/Shanghai"},
    "set-checklist": {"stage": "needs_analysis", "items": [{"key": "budget", "label": {"en": "Budget"}}]},
    "set-grades": {"grades": [{"grade": "A", "from_amount": {"amount": "50000", "currency": "EUR"}}]},
}
"""Of the commands whose example from the document does not fit what the tests set up."""

BEGINNINGS = {"deal_id": "open-deal", "account_id": "open-account"}
"""What brings the thing into being that an id names."""

BEFORE: dict[str, str] = {
    "regress-stage": "open-deal advance-stage",
    "reopen-deal": "open-deal win-deal",
    "tick-item": "define-funnel set-checklist open-deal",
    "untick-item": "define-funnel set-checklist open-deal tick-item",
    "grade-deal": "define-funnel set-grades open-deal",
    "reassess-compelling-event": "open-deal record-compelling-event",
    "assess-competitor": "open-deal add-competitor",
    "drop-competitor": "open-deal add-competitor",
    "confirm-assessment": "open-deal assess-our-position",
    "add-deal-contact": "open-account add-contact open-deal",
    "revise-deal-contact": "open-account add-contact open-deal add-deal-contact",
    "assess-attitude": "open-account add-contact open-deal add-deal-contact",
    "choose-strategy": "open-account add-contact open-deal add-deal-contact",
    "remove-deal-contact": "open-account add-contact open-deal add-deal-contact",
    "withdraw-forecast": "open-deal set-forecast",
    "describe-contact": "open-account add-contact",
    "revise-contact-traits": "open-account add-contact",
    "assess-overall-attitude": "open-account add-contact",
    "retire-contact": "open-account add-contact",
    "revise-funnel": "define-funnel",
    "retire-funnel": "define-funnel",
    "set-checklist": "define-funnel",
    "set-grades": "define-funnel",
    "adopt-rate-set": "define-funnel",
    "revise-team": "create-team",
    "appoint-manager": "create-team",
    "join-team": "create-team",
}
"""What must have happened for the command to be possible, where its beginning alone is not enough."""


def example(api: Api, route: CommandRoute) -> dict[str, Any]:
    """A body of the command's shape."""
    operation = api.get("/openapi.json").json()["paths"][route.path]["post"]
    return BODIES.get(route.name) or dict(operation["requestBody"]["content"]["application/json"]["example"])


def possible(api: Api, route: CommandRoute) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Address, body and headers of the command on something fresh that it can be done to."""
    before = BEFORE.get(route.name, BEGINNINGS.get(route.id_in_path or "", "")).split()
    about: dict[str, Any] = {}
    if "into" in route.command.model_fields:
        about["into"] = api.open_deal()
    if "define-funnel" in (*before, route.name):
        about["funnel"] = f"spare_{uuid4().hex}"
        _retire_spares(api)
    for each in map(ROUTES.__getitem__, before):
        path, body, headers = _addressed(api, each, about)
        done = api.as_role("admin").post(path, body, **headers)
        assert done.is_success, f"{each.name}: {done.text}"
        about |= {name: done.json()[name] for name in each.answered_ids}
    return _addressed(api, route, about)


def _addressed(
    api: Api, route: CommandRoute, about: dict[str, Any]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """The command on what was brought into being so far: in its address, and in the fields that name it."""
    named = {
        name: value
        for name, value in about.items()
        if name in route.command.model_fields and name not in (route.id_in_path, route.command.MINTS)
    }
    return (
        route.path.format_map(about),
        example(api, route) | named,
        {"If_Match": "*"} if route.needs_version else {},
    )


def nowhere(route: CommandRoute) -> str:
    """An address of the command on something that nobody opened."""
    return route.path.format_map(dict.fromkeys(BEGINNINGS, uuid4()))


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
    assert said.keys() == {*route.answered_ids, "version", "position", "event_ids"}
    if route.id_in_path is not None:
        assert said[route.id_in_path] in path
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


def test_the_same_key_on_another_version_is_another_request(api: Api) -> None:
    path, key = f"/v1/deals/{api.open_deal()}/rename-deal", str(uuid4())
    assert api.post(path, {"name": "Nordlicht"}, Idempotency_Key=key, If_Match="*").is_success

    other = api.post(path, {"name": "Nordlicht"}, Idempotency_Key=key, If_Match='"2"')

    assert other.status_code == 422
    assert other.json()["code"] == "command-id-reused"


@ALL
def test_a_role_that_may_not_is_refused(api: Api, unchanged_log: None, route: CommandRoute) -> None:
    path = nowhere(route)

    answer = api.as_role("auditor").post(path, {}, If_Match="*")

    assert answer.status_code == 403
    assert answer.json()["code"] == "not-allowed"
    assert set(answer.json()["accepted"].split(", ")) == set(route.command.ALLOWED) - {"system"}


@ALL
def test_nobody_is_refused(api: Api, unchanged_log: None, route: CommandRoute) -> None:
    answer = api.client.post(nowhere(route), json={}, headers={"X-Actor-Id": ""})

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


@NEED_A_VERSION
def test_the_version_must_be_named(api: Api, route: CommandRoute) -> None:
    path, body, _ = possible(api, route)
    head = api.head()

    answer = api.as_role("admin").post(path, body)

    assert answer.status_code == 428
    assert answer.json()["code"] == "version-missing"
    assert api.head() == head


@NEED_A_VERSION
def test_a_stale_version_is_refused_and_the_current_one_is_named(api: Api, route: CommandRoute) -> None:
    path, body, _ = possible(api, route)
    head = api.head()

    answer = api.as_role("admin").post(path, body, If_Match='"99"')

    assert answer.status_code == 412
    assert answer.json()["code"] == "stale-version"
    assert answer.json()["accepted"].startswith('"')
    assert api.head() == head


@NEED_A_VERSION
def test_the_current_version_is_accepted(api: Api, route: CommandRoute) -> None:
    path, body, _ = possible(api, route)
    stale = api.as_role("admin").post(path, body, If_Match='"99"').json()

    answer = api.as_role("admin").post(path, body, If_Match=stale["accepted"].partition(",")[0])

    assert answer.status_code == 200, answer.text


@ON_ONE_OF_MANY
def test_what_nobody_opened_is_not_found(api: Api, unchanged_log: None, route: CommandRoute) -> None:
    body = example(api, route)

    answer = api.as_role("admin").post(nowhere(route), body, If_Match="*")

    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == f"unknown-{route.id_field.removesuffix('_id')}"


def test_a_fresh_id_comes_back_in_the_answer_and_in_its_repetition(api: Api) -> None:
    account = api.post("/v1/accounts", {"name": "Halvern Foods"}).json()["account_id"]
    path, key = f"/v1/accounts/{account}/add-contact", str(uuid4())

    first, again = (
        api.post(path, {"name": "Mara"}, If_Match="*", Idempotency_Key=key).json() for _ in range(2)
    )

    assert first == again
    described = api.post(
        f"/v1/accounts/{account}/describe-contact",
        {"contact_id": first["contact_id"], "name": "Mara Lind"},
        If_Match="*",
    )
    assert described.status_code == 200, described.text


def test_a_forecast_has_a_version_of_its_own_and_leaves_the_deals_alone(api: Api) -> None:
    deal, director = api.open_deal(expected_close="2027-06-30"), api.as_role("director")
    body = {"amount": {"amount": "1000", "currency": "EUR"}, "reason": "they said so"}

    def forecast(version: int) -> Any:
        return director.post(f"/v1/deals/{deal}/set-forecast", body, If_Match=f'"{version}"')

    first, second, stale = forecast(0), forecast(1), forecast(0)

    assert (first.json()["deal_id"], first.json()["version"], second.json()["version"]) == (deal, 1, 2)
    assert (stale.status_code, stale.json()["accepted"].partition(",")[0]) == (412, '"2"')
    renamed = api.post(f"/v1/deals/{deal}/rename-deal", {"name": "Sensors"}, If_Match='"1"')
    assert renamed.json()["version"] == 2


@pytest.mark.parametrize("if_match", ["*", '"0"', '"1"', '"7"'])
def test_who_may_not_forecast_learns_nothing_of_the_forecast_from_its_version(
    api: Api, if_match: str
) -> None:
    body = {"amount": {"amount": "1000", "currency": "EUR"}, "reason": "they said so"}
    refused = set()
    for forecasts in range(2):
        deal = api.open_deal(expected_close="2027-06-30")
        for _ in range(forecasts):
            assert (
                api.as_role("director").post(f"/v1/deals/{deal}/set-forecast", body, If_Match="*").is_success
            )
        answer = api.post(f"/v1/deals/{deal}/set-forecast", body, If_Match=if_match)  # a manager of nobody
        refused.add((answer.status_code, answer.json()["code"], answer.json()["detail"]))

    assert refused == {(403, "not-allowed", "Only a manager above the owner of the deal does this.")}


def test_two_who_revise_the_same_rules_do_not_overwrite_each_other(api: Api) -> None:
    admin = api.as_role("admin")
    seen = admin.get("/v1/playbook")
    assert seen.headers["ETag"] == f'"{seen.json()["version"]}"'
    first = admin.post("/v1/playbook/set-cohort-window", {"weeks": 17}, If_Match=seen.headers["ETag"])
    second = admin.post("/v1/playbook/set-cohort-window", {"weeks": 18}, If_Match=seen.headers["ETag"])
    unread = admin.post("/v1/playbook/set-cohort-window", {"weeks": 19})

    assert (first.status_code, second.status_code, unread.status_code) == (200, 412, 428)
    assert admin.get("/v1/playbook").json()["cohort_window_weeks"] == 17
