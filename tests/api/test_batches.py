"""Batches are done together or not at all."""

from typing import Any
from uuid import uuid4

from tests.api.conftest import Api


def batch(api: Api, *commands: dict[str, Any], **headers: str) -> Any:
    return api.post("/v1/commands", {"commands": list(commands)}, **headers)


def test_a_batch_opens_a_deal_and_works_on_it(api: Api) -> None:
    deal = str(uuid4())

    answer = batch(
        api,
        {
            "command": "open-deal",
            "deal_id": deal,
            "funnel": "tas_plus",
            "name": "Sensoren für Molkereien 乳品",
        },
        {"command": "advance-stage", "deal_id": deal, "to_stage": "bidding"},
        {"command": "win-deal", "deal_id": deal, "if_match": 2},
    )

    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [r["command"] for r in results] == ["open-deal", "advance-stage", "win-deal"]
    assert [r["version"] for r in results] == [1, 2, 3]
    assert {r["deal_id"] for r in results} == {deal}
    assert answer.json()["position"] == results[-1]["position"]


def test_one_refusal_undoes_the_whole_batch_and_names_the_command(api: Api, unchanged_log: None) -> None:
    deal = str(uuid4())

    answer = batch(
        api,
        {"command": "open-deal", "deal_id": deal, "funnel": "tas_plus"},
        {"command": "advance-stage", "deal_id": deal, "to_stage": "no_such_stage"},
    )

    assert answer.status_code == 422
    assert answer.json()["code"] == "unknown-stage"
    assert answer.json()["index"] == 1
    assert "bidding" in answer.json()["accepted"]


def test_a_command_on_somebody_elses_deal_needs_its_version(api: Api) -> None:
    deal = api.open_deal()

    missing = batch(api, {"command": "win-deal", "deal_id": deal})
    stale = batch(api, {"command": "win-deal", "deal_id": deal, "if_match": 7})
    current = batch(api, {"command": "win-deal", "deal_id": deal, "if_match": 1})

    assert [a.status_code for a in (missing, stale, current)] == [428, 412, 200]
    assert missing.json()["index"] == stale.json()["index"] == 0


def test_a_stale_batch_tells_the_version_in_the_log_and_loses_nothing(api: Api) -> None:
    deal, key = api.open_deal(), str(uuid4())
    assert batch(
        api, {"command": "advance-stage", "deal_id": deal, "to_stage": "initiation", "if_match": 1}
    ).is_success
    head = api.head()
    rename = {"command": "rename-deal", "deal_id": deal, "name": "Boiler"}
    win = {"command": "win-deal", "deal_id": deal}

    first_is_stale = batch(api, rename | {"if_match": 1}, win | {"if_match": "*"}, Idempotency_Key=key)
    second_is_stale = batch(api, rename | {"if_match": 2}, win | {"if_match": 2}, Idempotency_Key=key)

    assert [a.status_code for a in (first_is_stale, second_is_stale)] == [412, 412]
    said = first_is_stale.json()
    assert (said["index"], said["field"], said["accepted"]) == (
        0,
        "if_match",
        "2, after reading what changed",
    )
    said = second_is_stale.json()
    assert (said["index"], said["field"]) == (1, "if_match")
    assert "current version is 2, and 3 when the command's turn comes" in said["detail"]
    assert said["accepted"] == '3, or "*" behind a command of the batch that names 2'
    assert api.head() == head
    mended = batch(api, rename | {"if_match": 2}, win | {"if_match": "*"}, Idempotency_Key=key)
    assert [r["version"] for r in mended.json()["results"]] == [3, 4]
    assert mended.json()["position"] == head + 2


def test_a_retried_batch_gets_the_first_answer(api: Api) -> None:
    commands = [{"command": "open-deal", "funnel": "tas_plus"} for _ in range(3)]
    key = str(uuid4())

    first = batch(api, *commands, Idempotency_Key=key)
    head = api.head()
    again = batch(api, *commands, Idempotency_Key=key)
    other = batch(api, *commands[:2], Idempotency_Key=key)

    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert other.json()["code"] == "command-id-reused"
    assert api.head() == head


def test_a_thousand_commands_are_taken_and_one_more_is_not(api: Api) -> None:
    commands = [{"command": "open-deal", "funnel": "tas_plus"} for _ in range(1001)]
    head = api.head()

    too_many = batch(api, *commands)
    taken = batch(api, *commands[:1000])

    assert too_many.status_code == 422
    assert taken.status_code == 200
    assert taken.json()["position"] == head + 1000
    assert len({r["deal_id"] for r in taken.json()["results"]}) == 1000


def test_a_role_is_checked_for_each_command(api: Api, unchanged_log: None) -> None:
    answer = batch(
        api.as_role("rep"),
        {"command": "open-deal", "funnel": "tas_plus"},
        {"command": "set-currency", "currency": "EUR"},
    )

    assert answer.status_code == 403
    assert answer.json()["index"] == 1


def test_what_is_no_batch_is_refused(api: Api, unchanged_log: None) -> None:
    for body in (
        [],
        {},
        {"commands": []},
        {"commands": {}},
        {"commands": [7]},
        {"commands": [{}]},
        {"x": 1, "commands": [{}]},
    ):
        assert api.post("/v1/commands", body).status_code == 422
    unknown = batch(api, {"command": "delete-everything"})
    assert unknown.json()["field"] == "command"
    assert "open-deal" in unknown.json()["accepted"]
    for version in (True, 1.5, "3", -1, 10**30, None):
        answer = batch(api, {"command": "win-deal", "deal_id": str(uuid4()), "if_match": version})
        assert answer.status_code in (422, 428)
