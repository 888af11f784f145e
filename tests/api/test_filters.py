"""Every figure by team and by grade (C2): what the filters choose, and the deal's grade itself."""

from collections.abc import Iterator
from typing import Any

import pytest

from api import params as p
from api.asking import ROUTES
from infra.postgres import Server, scratch_database
from tests.api.answers import problem
from tests.api.conftest import Api, serve

FILTERED = [
    (route.name, route.path.format(funnel="tas_plus"))
    for route in ROUTES
    if issubclass(route.params, p.Filters)
]
JUNE = {"funnel": "tas_plus", "month": "2031-06"}
DEALS = {"ann": "150000", "bob": "4000", "cid": "4000", "dee": "150000"}
"""Amounts by owner: ann and bob in the north, cid in the east, which lies below it, dee in the south."""


@pytest.fixture(scope="module")
def company(server: Server, template_database: str) -> Iterator[Api]:
    """Four deals of people in three teams; by their amounts two are of grade A and two of grade C."""
    with scratch_database(server, template=template_database) as database, serve(database) as api:
        admin = api.as_role("admin")
        for command in _rules():
            done = admin.post("/v1/commands", {"commands": [command]})
            assert done.is_success, done.text
        for owner, amount in DEALS.items():
            money = {"amount": amount, "currency": "EUR"}
            api.open_deal(owner=owner, amount=money, expected_close="2031-06-30")
        api.catch_up()
        yield api


def _rules() -> list[dict[str, Any]]:
    from domain.templates import TAS_PLUS

    rules = [
        {"grade": "A", "from_amount": {"amount": "100000", "currency": "EUR"}},
        {"grade": "C", "from_amount": {"amount": "0", "currency": "EUR"}},
    ]
    teams = (("north", None), ("east", "north"), ("south", None))
    people = {"ann": "north", "bob": "north", "cid": "east", "dee": "south"}
    return [
        {"command": "set-currency", "currency": "EUR"},
        {"command": "define-funnel", **TAS_PLUS.model_dump(mode="json", exclude_none=True)},
        {"command": "set-grades", "funnel": "tas_plus", "grades": rules, "if_match": "*"},
        *({"command": "create-team", "team": t, "label": t, "parent": parent} for t, parent in teams),
        *({"command": "join-team", "team": team, "person": person} for person, team in people.items()),
    ]


def owners(api: Api, **asked: str) -> set[str]:
    """Whose deals are in the list, which is also of as many as the funnel counts."""
    listed = api.get("/v1/deals", params=asked).json()["deals"]
    counted = api.get("/v1/funnels/tas_plus/snapshot", params=asked).json()["total"]["deals"]
    assert counted == len(listed)
    return {deal["owner"] for deal in listed}


def test_a_team_is_its_people_and_those_of_the_teams_below(company: Api) -> None:
    assert owners(company, team="north") == {"ann", "bob", "cid"}
    assert owners(company, team="east") == {"cid"}
    assert owners(company, team="south") == {"dee"}
    assert owners(company, team="south", owner="ann") == set()


def test_a_grade_is_that_of_the_deal(company: Api) -> None:
    assert owners(company, grade="A") == {"ann", "dee"}
    assert owners(company, grade="C", team="north") == {"bob", "cid"}
    assert owners(company, grade="B") == set()


def test_there_was_a_filter_to_test() -> None:
    assert len(FILTERED) >= 11


@pytest.mark.parametrize(("name", "path"), FILTERED)
def test_every_figure_is_filtered_by_team_and_grade(company: Api, name: str, path: str) -> None:
    forecast = JUNE if "forecast" in path else {}
    everything = company.get(path, params=forecast)
    assert everything.is_success
    for asked in ({"team": "north"}, {"grade": "A"}, {"team": "south", "grade": "C"}):
        answer = company.get(path, params=forecast | asked)
        assert answer.is_success, answer.text
        # nothing has fallen or stayed too long, and there was nothing at the end of any week
        if name not in ("win-rate-alerts", "dwell-alerts", "forecast-weeks"):
            assert _told(answer) != _told(everything)


def _told(answer: Any) -> dict[str, Any]:
    return {k: v for k, v in answer.json().items() if k not in ("as_of", "next_cursor")}


@pytest.mark.parametrize(("name", "path"), FILTERED)
def test_a_team_that_is_not_there_is_refused_and_those_that_are_named(
    company: Api, name: str, path: str
) -> None:
    forecast = JUNE if "forecast" in path else {}
    refused = problem(company.get(path, params=forecast | {"team": "west"}), 422, "unknown-team")
    assert (refused["field"], refused["accepted"]) == ("team", "east, north, south")
    for wrong in ({"team": "North"}, {"grade": "F"}):
        problem(company.get(path, params=forecast | wrong), 400, "invalid-parameters")


def test_who_changes_the_team_takes_the_deals_along_from_then_on(company: Api) -> None:
    before = company.get("/v1/funnels/tas_plus/snapshot").json()["as_of"]
    moved = {"command": "join-team", "team": "south", "person": "bob"}
    assert company.as_role("admin").post("/v1/commands", {"commands": [moved]}).is_success
    company.catch_up()
    assert owners(company, team="south") == {"bob", "dee"}
    then = company.get("/v1/funnels/tas_plus/snapshot", params={"team": "south", "as_of": before}).json()
    assert then["total"]["deals"] == 1


def test_a_deal_tells_its_grade_who_gave_it_and_its_state(company: Api) -> None:
    (listed,) = company.get("/v1/deals", params={"owner": "cid"}).json()["deals"]
    assert (listed["grade"], listed["graded_by"], listed["grade_reason"]) == ("C", "amount", None)
    address = f"/v1/deals/{listed['deal_id']}"
    override = {"grade": "A", "reason": "A name that others will follow."}
    assert company.post(f"{address}/grade-deal", override, If_Match="*").is_success
    company.catch_up()
    deal = company.get(address).json()
    assert (deal["grade"], deal["graded_by"]) == ("A", "override")
    assert deal["grade_reason"] == "A name that others will follow."
    assert (deal["state"], deal["age_state"], deal["state_formula"]) == (
        "entered",
        "entered",
        "four_states/1",
    )
    (judged,) = company.get("/v1/funnels/tas_plus/states/deals", params={"owner": "cid"}).json()["deals"]
    assert {n: deal[n] for n in ("state", "age_state", "required_open")} == {
        n: judged[n] for n in ("state", "age_state", "required_open")
    }
    assert company.post(f"{address}/lose-deal", {}, If_Match="*").is_success
    company.catch_up()
    lost = company.get(address).json()
    assert (lost["grade"], lost["state"], lost["required_open"]) == ("A", None, None)
