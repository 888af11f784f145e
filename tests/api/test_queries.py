"""Queries over HTTP: what they answer, page by page, and how they refuse."""

import threading
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from api.asking import ROUTES
from infra.vault import erase
from tests.api.answers import pages, problem
from tests.api.conftest import Api


@pytest.fixture(scope="module")
def owner(served: Api) -> str:
    """Owns seven deals with the amounts 100 to 600, and one without."""
    owner = f"owner-{uuid4()}"
    for amount in (*range(100, 700, 100), None):
        money = {"amount": str(amount), "currency": "EUR"} if amount else None
        served.open_deal(owner=owner, amount=money, name=f"Silo no. {amount}", region="North")
    served.catch_up()
    return owner


def test_a_deal_carries_the_version_for_the_next_command(api: Api) -> None:
    deal = api.open_deal(name="Förderband 输送带", amount={"amount": "1200.50", "currency": "EUR"})
    api.catch_up()

    answer = api.get(f"/v1/deals/{deal}")

    assert answer.json()["name"] == "Förderband 输送带"
    assert answer.json()["amount"] == "1200.5"
    assert api.post(f"/v1/deals/{deal}/win-deal", {}, If_Match=answer.headers["ETag"]).status_code == 200


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("sort", ["amount", "opened_at", "expected_close", "changed_at"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_neither_repeat_nor_miss_a_deal(
    api: Api, owner: str, sort: str, order: str, limit: int
) -> None:
    query = {"owner": owner, "sort": sort, "order": order}
    whole = api.get("/v1/deals", params=query).json()["deals"]

    found = [d for page in pages(api, "/v1/deals", {**query, "limit": limit}) for d in page["deals"]]

    assert found == whole
    assert len(found) == 7


def test_deals_are_sorted_with_unknown_amounts_last(api: Api, owner: str) -> None:
    deals = api.get("/v1/deals", params={"owner": owner, "sort": "amount", "order": "desc"}).json()["deals"]
    assert [d["amount"] for d in deals] == ["600", "500", "400", "300", "200", "100", None]


def test_deals_are_found_by_a_part_of_their_name(api: Api, owner: str) -> None:
    deals = api.get("/v1/deals", params={"owner": owner, "q": "silo NO. 3"}).json()["deals"]
    assert [d["name"] for d in deals] == ["Silo no. 300"]
    for wild in ("%", "_", "\\", "'; DROP TABLE dealtrace.vault; --"):
        assert api.get("/v1/deals", params={"owner": owner, "q": wild}).json()["deals"] == []


def test_a_cursor_of_another_query_is_refused(api: Api, owner: str) -> None:
    cursor = api.get("/v1/deals", params={"owner": owner, "limit": 2}).json()["next_cursor"]

    for other in ({"owner": "somebody"}, {"owner": owner, "sort": "amount"}, {}):
        problem(api.get("/v1/deals", params={**other, "cursor": cursor}), 400, "invalid-cursor")
    for damaged in (cursor[:-1], cursor + "A", "!" + cursor, "", "null", "é", cursor.swapcase()):
        problem(api.get("/v1/deals", params={"owner": owner, "cursor": damaged}), 400, "invalid-cursor")


def test_a_timeline_tells_what_happened_in_order(api: Api) -> None:
    deal = api.open_deal()
    for stage in ("initiation", "bidding"):
        api.post(f"/v1/deals/{deal}/advance-stage", {"to_stage": stage}, If_Match="*")
    api.post(f"/v1/deals/{deal}/lose-deal", {"reason": "price"}, If_Match="*", X_Request_ID="r-1")
    api.catch_up()

    found = [e for page in pages(api, f"/v1/deals/{deal}/timeline", {"limit": 3}) for e in page["events"]]

    assert [e["topic"] for e in found] == [
        "deal.opened",
        "deal.stage_advanced",
        "deal.stage_advanced",
        "deal.lost",
    ]
    assert [e["version"] for e in found] == [1, 2, 3, 4]
    assert found[-1]["data"]["reason"] == "price"
    assert found[-1]["actor_id"] == "anna"


def test_what_is_not_there_is_not_found(api: Api) -> None:
    deal = uuid4()
    problem(api.get(f"/v1/deals/{deal}"), 404, "unknown-deal")
    problem(api.get(f"/v1/deals/{deal}/timeline"), 404, "unknown-deal")
    problem(api.get("/v1/funnels/nowhere"), 404, "unknown-funnel")
    problem(api.get("/v1/funnels/nowhere/snapshot"), 404, "unknown-funnel")
    problem(api.get("/v1/funnels/nowhere/dwell"), 404, "unknown-funnel")


@pytest.mark.parametrize(
    "params",
    [
        {"colour": "blue"},
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "many"},
        {"limit": "9" * 5000},
        {"sort": "name; DROP TABLE x"},
        {"order": "sideways"},
        {"status": "half-open"},
        {"account": "17"},
        {"amount_from": "NaN"},
        {"amount_from": "-1"},
        {"q": ""},
        {"q": "a\x00b"},
        {"opened_from": "2026-01-01"},
        {"opened_from": "2026-01-01T00:00:00"},
        {"opened_from": "1700000000"},
        {"opened_from": "2026-13-01T00:00:00Z"},
        {"opened_from": "0001-01-01T00:00:00+23:59"},
        {"min_position": "-1"},
        {"min_position": "99999999999999999999"},
        {"limit": ["1", "2"]},
    ],
    ids=lambda params: str(params)[:40],
)
def test_a_parameter_that_can_not_be_is_named(api: Api, params: dict[str, Any]) -> None:
    said = problem(api.get("/v1/deals", params=params), 400, "invalid-parameters")
    assert said["field"] == next(iter(params))


def test_a_plus_that_became_a_blank_is_explained(api: Api) -> None:
    said = problem(
        api.get("/v1/funnels/tas_plus/snapshot?as_of=2026-01-01T00:00:00+01:00"), 400, "invalid-parameters"
    )
    assert "%2B" in said["detail"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_an_unknown_parameter_is_refused_everywhere(api: Api, route: Any) -> None:
    path = route.path.format(funnel="tas_plus", deal_id=uuid4(), account_id=uuid4(), recalibration_id=uuid4())
    said = problem(api.get(path, params={"as_off": "x"}), 400, "invalid-parameters")
    assert "as_off" in {said["field"], *(error["field"] for error in said.get("errors", ()))}


def test_a_query_waits_for_the_position_that_it_must_reflect(api: Api) -> None:
    deal = api.open_deal()
    position = api.head()
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(api.get(f"/v1/deals/{deal}", params={"min_position": position}))
    )

    asking.start()
    api.catch_up()
    asking.join()

    assert answers[0].status_code == 200, answers[0].text


def test_a_query_does_not_wait_for_ever(api: Api) -> None:
    api.open_deal()
    answer = api.get("/v1/deals", params={"min_position": api.head()})
    problem(answer, 503, "not-yet-visible")
    assert answer.headers["Retry-After"] == "1"


def test_a_query_does_not_wait_for_what_is_not_in_the_log(api: Api) -> None:
    said = problem(api.get("/v1/deals", params={"min_position": api.head() + 1}), 400, "invalid-parameters")
    assert said["accepted"] == f"up to {api.head()}"


def test_a_funnel_is_shown_as_of_a_moment_with_every_stage(api: Api, owner: str) -> None:
    said = api.get("/v1/funnels/tas_plus/snapshot", params={"owner": owner}).json()

    assert list(said) == [
        "funnel", "as_of", "known_at", "position", "stages", "total", "formula", "knowledge", "claimed_events",
    ]  # fmt: skip
    assert said["total"] == {"deals": 7, "customers": 0, "amount": "2100"}
    assert said["stages"][0] == {
        "stage": "verification",
        "macro_stage": "needs_confirmed",
        "deals": 7,
        "customers": 0,
        "amount": "2100",
    }
    assert [s["deals"] for s in said["stages"][1:]] == [0] * 6
    before = api.get(
        "/v1/funnels/tas_plus/snapshot", params={"owner": owner, "as_of": "2020-01-01T00:00:00Z"}
    ).json()
    assert before["total"]["deals"] == 0
    macro = api.get("/v1/macro-stages", params={"owner": owner}).json()
    assert [m["deals"] for m in macro["macro_stages"]] == [7, 0, 0, 0, 0]


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_the_deals_behind_a_cell_come_page_by_page_as_of_one_moment(api: Api, owner: str, limit: int) -> None:
    query = {"owner": owner, "stage": "verification", "limit": limit}
    found = pages(api, "/v1/funnels/tas_plus/snapshot/deals", query)
    assert [d["amount"] for page in found for d in page["deals"]] == [
        "600",
        "500",
        "400",
        "300",
        "200",
        "100",
        None,
    ]
    assert len({page["as_of"] for page in found}) == 1


def test_dwell_names_every_stage(api: Api, owner: str) -> None:
    said = api.get("/v1/funnels/tas_plus/dwell", params={"owner": owner}).json()
    assert [(s["completed_visits"], s["open_visits"]) for s in said["stages"]] == [(0, 7)] + [(0, 0)] * 6


def test_the_projections_say_where_they_stand(api: Api) -> None:
    api.catch_up()
    said = api.get("/v1/projections").json()
    assert {p["projection"] for p in said["projections"]} >= {"deals", "timeline", "playbook"}
    assert all(p["complete"] and p["position"] == said["position"] for p in said["projections"])


def test_the_funnels_are_listed_with_their_stages(api: Api) -> None:
    said = api.get("/v1/funnels").json()
    tas = next(f for f in said["funnels"] if f["key"] == "tas_plus")
    assert [s["key"] for s in tas["stages"]][:2] == ["verification", "initiation"]
    assert api.get("/v1/funnels/tas_plus").json() == tas
    assert said["currency"] == "EUR"


def test_a_timeline_tells_the_texts_of_the_vault_until_they_are_erased(api: Api) -> None:
    deal = api.open_deal(name="Ersatzbeschaffung Presse 3")
    api.catch_up()

    def told() -> dict[str, object]:
        return api.get(f"/v1/deals/{deal}/timeline").json()["events"][0]["data"]["name"]

    assert told()["text"] == "Ersatzbeschaffung Presse 3"
    with psycopg.connect(api.database.app_url) as conn:
        assert erase(conn, UUID(deal)) == 1
    assert told()["text"] is None
    assert told()["sha256"]
