"""By whose word things were known: asked wherever a time of knowledge may be, and told by every such answer."""

import pytest

from api.asking import ROUTES
from tests.api.answers import problem
from tests.api.conftest import Api

WITH_A_K = [route.path for route in ROUTES if "known_at" in route.params.model_fields]
WITHOUT = [route.path for route in ROUTES if "known_at" not in route.params.model_fields]


@pytest.fixture(scope="module")
def ids(served: Api) -> dict[str, str]:
    account = served.post("/v1/accounts", {"name": "Kern AG"}).json()["account_id"]
    deal = served.open_deal()
    served.catch_up()
    return {
        "deal_id": deal,
        "account_id": account,
        "funnel": "tas_plus",
        "recalibration_id": "00000000-0000-5000-8000-000000000001",
    }


@pytest.mark.parametrize("path", WITH_A_K)
@pytest.mark.parametrize("knowledge", ["source", "witnessed"])
def test_an_answer_says_whose_knowledge_it_is_and_how_much_of_it_is_claim(
    api: Api, ids: dict[str, str], path: str, knowledge: str
) -> None:
    asked = {"knowledge": knowledge, "known_at": "2031-01-01T00:00:00Z"}
    if path.startswith("/v1/forecast"):
        asked["funnel"] = "tas_plus"
    answer = api.as_role("auditor").get(path.format_map(ids), params=asked)
    assert answer.status_code == 200, answer.text
    assert list(answer.json())[-2:] == ["knowledge", "claimed_events"]
    assert (answer.json()["knowledge"], answer.json()["claimed_events"]) == (knowledge, 0)


@pytest.mark.parametrize("path", WITH_A_K)
def test_anything_else_is_refused_and_told_what_would_do(api: Api, ids: dict[str, str], path: str) -> None:
    answer = api.as_role("auditor").get(path.format_map(ids), params={"knowledge": "hearsay"})
    refused = problem(answer, 400, "invalid-parameters")
    assert refused["field"] == "knowledge"
    assert "source" in refused["accepted"]
    assert "witnessed" in refused["accepted"]


@pytest.mark.parametrize("path", WITHOUT)
def test_what_is_asked_of_now_alone_takes_no_knowledge(api: Api, ids: dict[str, str], path: str) -> None:
    answer = api.as_role("auditor").get(path.format_map(ids), params={"knowledge": "witnessed"})
    problem(answer, 400, "invalid-parameters")
