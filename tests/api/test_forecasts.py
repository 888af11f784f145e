"""Forecasts over HTTP: the table, its audit and accuracy, and that who may not see F1 finds no trace of it."""

import re
from typing import Any
from uuid import uuid4

import pytest

from api.asking import ROUTES
from tests.api.answers import problem
from tests.api.conftest import Api

PLANTED = "7654321.09"
"""A manager forecast that stands nowhere else."""


class Company:
    """Two teams with deals of their own: bob and alice in the north, managed by alice, under dora."""

    def __init__(self, api: Api) -> None:
        self.mark = uuid4().hex[:8]
        self.admin = api.as_role("admin")
        self.alice, self.bob, self.dora = (self.named(name) for name in ("alice", "bob", "dora"))
        self.top, self.north = self.named("top"), self.named("north")
        self.do("create-team", team=self.top, label="Top")
        self.do("create-team", team=self.north, label="North", parent=self.top)
        self.do("appoint-manager", team=self.top, manager=self.dora)
        self.do("appoint-manager", team=self.north, manager=self.alice)
        for person in (self.alice, self.bob):
            self.do("join-team", person=person, team=self.north)
        self.bobs = self.opened(self.bob, "1000")
        self.by(self.alice, "manager", "set-forecast", deal_id=self.bobs, amount=PLANTED)
        api.catch_up()

    def named(self, name: str) -> str:
        return f"{name}_{self.mark}"

    def do(self, command: str, **fields: Any) -> Any:
        return self.by("the-admin", "admin", command, **fields)

    def by(self, actor: str, role: str, command: str, **fields: Any) -> Any:
        if "amount" in fields:
            fields["amount"] = {"amount": fields["amount"], "currency": "EUR"}
        fields.setdefault("if_match", "*")
        if command == "open-deal":
            del fields["if_match"]
        if "reason" not in fields and command in ("set-forecast", "adopt-rate-set", "withdraw-forecast"):
            fields["reason"] = f"because of {PLANTED}" if command == "set-forecast" else "it fits"
        who = Api(self.admin.client, self.admin.app, self.admin.database, actor, role)
        done = who.post("/v1/commands", {"commands": [{"command": command, **fields}]})
        assert done.status_code == 200, done.text
        return done.json()["results"][0]

    def opened(self, owner: str, amount: str) -> str:
        deal = str(uuid4())
        self.do(
            "open-deal",
            deal_id=deal,
            funnel="tas_plus",
            owner=owner,
            amount=amount,
            expected_close="2031-05-20",
        )
        return deal

    def ask(self, actor: str, role: str, path: str = "/v1/forecast", **params: Any) -> Any:
        if path.startswith("/v1/forecast") and not path.endswith(("audit", "accuracy")):
            params = {"funnel": "tas_plus", "month": "2031-05", "team": self.north, **params}
        who = Api(self.admin.client, self.admin.app, self.admin.database, actor, role)
        answer = who.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def company(served: Api) -> Company:
    return Company(served)


def test_managers_directors_and_auditors_see_f1_beside_f2(company: Company) -> None:
    for actor, role in (
        (company.alice, "manager"),
        ("any", "director"),
        ("any", "auditor"),
        ("any", "analyst"),
    ):
        said = company.ask(actor, role)
        assert said["total"]["f1_open"] == PLANTED
        assert (said["total"]["open_deals"], said["total"]["open_amount"]) == (1, "1000")
        (team,) = said["by_team"]
        assert (team["team"], team["headcount"], team["f1_final"]) == (company.north, 2, PLANTED)


def test_a_rep_finds_no_trace_of_a_forecast_anywhere(company: Company) -> None:
    """Everything that a rep can fetch, searched for the number, its reason, and any key of F1."""
    filled = {"deal_id": company.bobs, "funnel": "tas_plus", "account_id": str(uuid4())}
    filled["recalibration_id"] = str(uuid4())
    for actor, role in ((company.bob, "rep"), ("x", "integration")):
        who = Api(company.admin.client, company.admin.app, company.admin.database, actor, role)
        for route in ROUTES:
            for params in (
                {},
                {"funnel": "tas_plus"},
                {"funnel": "tas_plus", "month": "2031-05"},
                {"limit": "500"},
            ):
                named = {
                    k: v
                    for k, v in params.items()
                    if k in route.params.model_fields and "{" + k not in route.path
                }
                text = who.get(route.path.format(**filled), params=named).text
                assert PLANTED not in text
                assert not re.search(r'"f1(_[a-z_]+)?":', text)
                assert "without_forecast" not in text
                assert "forecast.set" not in text
    assert company.ask(company.bob, "rep")["total"].keys() == {
        "open_deals", "open_amount", "won_deals", "won", "f2_open", "f2_final",
    }  # fmt: skip


def test_no_aggregate_of_f1_holds_a_deal_that_the_viewer_may_not_see(company: Company) -> None:
    own = company.opened(company.alice, "500")
    company.by(company.dora, "manager", "set-forecast", deal_id=own, amount="222")
    company.admin.catch_up()

    above, herself = company.ask(company.dora, "manager"), company.ask(company.alice, "manager")

    assert above["total"]["f1_open"] == "7654543.09"
    assert herself["total"]["f1_open"] is herself["total"]["difference"] is None
    by_owner = {row["key"]: row["f1_open"] for row in herself["by_owner"]}
    assert by_owner == {company.alice: None, company.bob: PLANTED}
    assert [row["f1_open"] for row in herself["by_team"]] == [None]
    assert own not in herself["lists"]["without_forecast"]
    company.do("void-deal", deal_id=own, reason="a test")
    company.admin.catch_up()


def test_the_audit_tells_who_changed_what_and_why(company: Company) -> None:
    audit = company.ask("any", "auditor", "/v1/forecast/audit", deal=company.bobs, month="2031-05")
    opened, forecast = [entry for entry in audit["entries"] if entry["deal_id"]]

    assert (opened["kind"], opened["field"], opened["new"]) == ("F2", "outcome", "open")
    assert (forecast["kind"], forecast["actor_id"], forecast["actor_role"]) == (
        "F1",
        company.alice,
        "manager",
    )
    assert (forecast["old"], forecast["new"], forecast["new_month"]) == (None, PLANTED, "2031-05")
    assert (forecast["f1_before"], forecast["f1_after"]) == ("0", PLANTED)
    assert forecast["context"]["owner"] == company.bob
    assert forecast["reason"].startswith("because")
    for viewer in ((company.bob, "director"), (company.bob, "manager")):
        blind = company.ask(*viewer, "/v1/forecast/audit", deal=company.bobs)
        assert [entry["kind"] for entry in blind["entries"] if entry["deal_id"]] == ["F2"]
        assert PLANTED not in str(blind)


def test_a_rate_set_moves_f2_and_another_may_be_tried(company: Company) -> None:
    stages = company.admin.get("/v1/funnels/tas_plus").json()["stages"]
    for rate in ("0.1", "0.25"):
        rates = [{"stage": stage["key"], "rate": rate} for stage in stages]
        company.do("adopt-rate-set", funnel="tas_plus", rates=rates)
    company.admin.catch_up()

    now = company.ask(company.bob, "rep")
    sets = company.ask("any", "rep", "/v1/funnels/tas_plus/rate-sets")
    tried = company.ask(company.bob, "rep", rate_set=sets["in_force"] - 1)
    audit = company.ask("any", "rep", "/v1/forecast/audit", funnel="tas_plus", month="2031-05", order="desc")

    assert (now["total"]["f2_open"], now["rate_set"], now["what_if"]) == ("250", sets["in_force"], False)
    assert (tried["total"]["f2_open"], tried["what_if"]) == ("100", True)
    moved = next(entry for entry in audit["entries"] if entry["field"] == "rate_set")
    assert (moved["old"], moved["new"]) == (str(sets["in_force"] - 1), str(sets["in_force"]))
    assert float(moved["f2_after"]) == 2.5 * float(moved["f2_before"]) > 0


def test_the_organisation_is_told_with_its_people(company: Company) -> None:
    teams = {team["team"]: team for team in company.ask("any", "rep", "/v1/organisation")["teams"]}
    north = teams[company.north]
    assert (north["manager"], north["people"]) == (company.alice, sorted([company.alice, company.bob]))
    assert (teams[company.top]["people"], teams[company.top]["people_with_sub_teams"]) == ([], 2)


def test_accuracy_and_weeks_are_answered_with_and_without_f1(company: Company) -> None:
    for role, there in (("rep", False), ("director", True)):
        for path in ("/v1/forecast/accuracy", "/v1/forecast/weeks"):
            said = company.ask("x", role, path, funnel="tas_plus")
            rows = said.get("groups") or said["weeks"]
            assert rows
            assert any(key.startswith("f1") for row in rows for key in row) is there


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"funnel": "tas_plus", "month": "2031-13"}, "month"),
        ({"funnel": "tas_plus", "month": "2031-05", "quarter": "FY2031-Q2"}, "quarter"),
        ({"funnel": "tas_plus", "month": "eventually"}, "month"),
        ({"funnel": "tas_plus", "as_of": "0001-01-02T00:00:00Z"}, "as_of"),
        ({}, "funnel"),
    ],
)
def test_what_can_not_be_forecast_is_named(api: Api, params: dict[str, str], field: str) -> None:
    assert problem(api.get("/v1/forecast", params=params), 400, "invalid-parameters")["field"] == field
    problem(api.get("/v1/forecast", params={"funnel": "nowhere"}), 404, "unknown-funnel")


def test_the_audit_of_a_month_that_the_funnel_has_not_is_no_empty_one(api: Api) -> None:
    asked = {"funnel": "tas_plus", "month": "eventually"}
    refused = problem(api.get("/v1/forecast/audit", params=asked), 400, "invalid-parameters")
    assert refused["field"] == "month"
    assert api.get("/v1/forecast/audit", params=asked | {"month": "2031-05"}).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "code"), [({"team": "nowhere"}, "unknown-team"), ({"rate_set": "999"}, "unknown-rate-set")]
)
def test_a_team_or_a_rate_set_that_is_not_there_is_named(api: Api, wanted: dict[str, str], code: str) -> None:
    refused = problem(api.get("/v1/forecast", params={"funnel": "tas_plus", **wanted}), 422, code)
    assert refused["field"] in wanted
