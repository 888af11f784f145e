"""A week of selling over HTTP: what is said by commands is told by the queries."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from domain.relations import DEFAULT_STRATEGIES, DepthRules
from tests.api.answers import pages, problem
from tests.api.conftest import Api


@pytest.fixture
def owner() -> str:
    return f"owner-{uuid4()}"


@pytest.fixture
def deal(api: Api, owner: str) -> str:
    return api.open_deal(owner=owner, amount={"amount": "5000", "currency": "EUR"}, name="Waage")


def done(api: Api, deal: str, command: str, **fields: Any) -> None:
    answer = api.post(f"/v1/deals/{deal}/{command}", fields, If_Match="*")
    assert answer.status_code == 200, answer.text


def compared(api: Api, deal: str, ours: str = "8") -> None:
    """A deal with a compelling event, an inside source, and one weaker rival."""
    done(api, deal, "record-compelling-event", text="The old one fails", deadline="2031-01-31")
    done(api, deal, "find-inside-source")
    done(api, deal, "add-competitor", competitor="rival", label="Rival")
    done(api, deal, "assess-competitor", competitor="rival", need_fit="2", relationship="2")
    done(api, deal, "assess-our-position", need_fit=ours, relationship=ours)
    api.catch_up()


def test_a_deal_that_nobody_compared_has_no_win_rate_rather_than_zero(api: Api, deal: str) -> None:
    api.catch_up()
    said = api.get(f"/v1/deals/{deal}/win-rate").json()
    assert (said["win_rate"]["status"], said["win_rate"]["value"]) == ("not_computed", None)
    assert said["win_rate"]["gates"] == ["no_compelling_event", "missing_assessment", "no_inside_source"]


def test_a_win_rate_comes_with_its_inputs_its_gates_and_what_is_unconfirmed(api: Api, deal: str) -> None:
    compared(api, deal)
    done(api, deal, "confirm-assessment", party="rival")
    api.catch_up()

    said = api.get(f"/v1/deals/{deal}/win-rate").json()

    assert said["win_rate"]["value"] == "0.8000"
    assert (said["win_rate"]["gates"], said["win_rate"]["formula"]) == ([], "share/1")
    assert said["win_rate"]["inputs"]["us"] == {"need_fit": "8", "relationship": "8"}
    assert said["unconfirmed"] == ["us"]
    assert said["moved_by"]["topic"] == "deal.our_position_assessed"
    assert said["compelling_event"]["text"] == "The old one fails"
    (rival,) = said["competitors"]
    assert (rival["label"], rival["assessed_by"], rival["confirmed_by"]) == ("Rival", "anna", "anna")


def test_a_win_rate_can_fall_and_an_alert_says_so(api: Api, deal: str, owner: str) -> None:
    compared(api, deal)
    done(api, deal, "lose-inside-source", reason="moved away")
    api.catch_up()

    curve = api.get(f"/v1/deals/{deal}/win-rate/curve").json()["weeks"]
    weeks = api.get("/v1/funnels/tas_plus/win-rate", params={"owner": owner, "weeks": 2}).json()["weeks"]
    alerts = api.get("/v1/funnels/tas_plus/win-rate/alerts", params={"owner": owner}).json()

    assert (curve[-1]["value"], curve[-1]["gates"]) == ("0.5600", ["no_inside_source"])
    assert (curve[-1]["refreshed"], curve[-1]["weeks_since_assessed"]) == (True, 0)
    assert curve[-1]["moved_by"]["topic"] == "deal.inside_source_lost"
    assert (weeks[-1]["mean"], weeks[-1]["amount"], weeks[0]["deals"]) == ("0.5600", "5000", 0)
    (alert,) = alerts["alerts"]
    assert (alert["before"], alert["now"], alert["fall"], alert["name"]) == (
        "0.8000",
        "0.5600",
        "0.2400",
        "Waage",
    )


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_the_lists_behind_the_states_come_page_by_page_with_names(api: Api, owner: str, limit: int) -> None:
    for number in range(3):
        api.open_deal(owner=owner, name=f"Kran {number}", amount={"amount": "10", "currency": "EUR"})
    api.catch_up()
    query = {"owner": owner, "limit": limit}

    summary = api.get("/v1/funnels/tas_plus/states", params={"owner": owner}).json()
    listed = pages(api, "/v1/funnels/tas_plus/states/deals", {**query, "state": "entered"})
    stale = pages(api, "/v1/funnels/tas_plus/stale", query)

    assert (summary["total"]["entered"], summary["total"]["entered_amount"]) == (3, "30")
    assert [d["name"] for page in listed for d in page["deals"]] == ["Kran 0", "Kran 1", "Kran 2"]
    assert {page["found"] for page in listed} == {3}
    assert [(page["open_deals"], page["deals"]) for page in stale] == [(3, [])]


def test_deals_that_wait_for_months_are_stale_overdue_and_about_to_be_lost(api: Api, owner: str) -> None:
    deal = api.open_deal(owner=owner, occurred_at="2020-01-06T09:00:00Z", name="Silo")
    api.catch_up()
    query = {"owner": owner}

    states = api.get("/v1/funnels/tas_plus/states", params=query).json()
    flow = api.get("/v1/funnels/tas_plus/states/flow", params={**query, "weeks": 1}).json()
    overdue = api.get("/v1/funnels/tas_plus/dwell/alerts", params={**query, "alerts": "all"}).json()
    stale = api.get("/v1/funnels/tas_plus/stale", params=query).json()
    then = {**query, "as_of": "2020-02-01T00:00:00Z"}
    cohort = api.get("/v1/funnels/tas_plus/cohort", params=then).json()
    series = api.get(
        "/v1/funnels/tas_plus/cohort/series", params={**then, "every": "month", "points": 2}
    ).json()

    assert states["total"]["pending_loss"] == 1
    assert [f["after"] for f in flow["weeks"][0]["flows"]] == ["pending_loss"]
    assert [(a["deal_id"], a["name"]) for a in overdue["alerts"]] == [(deal, "Silo")]
    assert [d["deal_id"] for d in stale["deals"]] == [deal]
    assert (cohort["current"]["deals"], cohort["current"]["immature"]) == (1, True)
    assert [(p["period"], p["deals"]) for p in series["points"]] == [("2020-01", 1), ("2020-02", 1)]
    assert (series["baseline"], series["baseline_deals"]) == ("2019-12-31T23:59:59.999999Z", 0)
    done(api, deal, "confirm-deal")
    api.catch_up()
    assert api.get("/v1/funnels/tas_plus/stale", params=query).json()["deals"] == []


def test_a_checklist_tells_who_ticked_what(api: Api, deal: str) -> None:
    admin = api.as_role("admin")
    items = [{"key": "budget", "label": {"en": "Budget"}}, {"key": "need", "label": {"en": "Need"}}]
    asked = {"command": "set-checklist", "funnel": "tas_plus", "stage": "verification", "items": items}
    answer = admin.post("/v1/commands", {"commands": [{**asked, "if_match": "*"}]})
    assert answer.status_code == 200, answer.text
    done(api, deal, "tick-item", item="budget")
    api.catch_up()

    said = api.get(f"/v1/deals/{deal}/checklist").json()

    first = said["stages"][0]
    assert (first["required"], first["required_open"]) == (2, 1)
    assert [(i["item"], i["ticked_by"]) for i in said["items"]] == [("budget", "anna"), ("need", None)]
    admin.post("/v1/commands", {"commands": [{**asked, "items": [], "if_match": "*"}]})


def test_people_have_names_until_they_are_erased_and_depths_from_activities(api: Api, deal: str) -> None:
    region = f"region-{uuid4()}"
    account = api.post("/v1/accounts", {"name": "Mühle AG 面粉", "region": region}).json()["account_id"]
    added = api.post(
        f"/v1/accounts/{account}/add-contact", {"name": "Frau Korn", "details": "+49"}, If_Match="*"
    )
    assert added.status_code == 200, added.text
    api.catch_up()
    person = api.get(f"/v1/accounts/{account}").json()["people"][0]["contact_id"]
    table = {row.attitude: row.strategy for row in DEFAULT_STRATEGIES}
    rules = {"command": "set-strategies", **table, "if_match": "*"}
    asked = [rules, {"command": "set-depth-rules", **msgspec.structs.asdict(DepthRules()), "if_match": "*"}]
    assert api.as_role("admin").post("/v1/commands", {"commands": asked}).status_code == 200
    done(api, deal, "add-deal-contact", contact_id=person, account_id=account, decision_role="decider")
    done(api, deal, "assess-attitude", contact_id=person, attitude="negative")
    for _ in range(3):
        done(api, deal, "log-activity", kind="visit", contacts=[person])
    done(api, deal, "log-activity", kind="internal_meeting", contacts=[person])
    api.catch_up()

    (contact,) = api.get(f"/v1/deals/{deal}/contacts").json()["contacts"]
    listed = api.get("/v1/accounts", params={"region": region, "q": "mühle"}).json()["accounts"]
    (known,) = api.get(f"/v1/accounts/{account}").json()["people"]

    assert (contact["name"], contact["attitude"], contact["strategy"]) == ("Frau Korn", "negative", "attack")
    assert (contact["two_way"], contact["depth"], contact["overall_depth"]) == (3, "repeated", "repeated")
    assert [(a["name"], a["contacts"]) for a in listed] == [("Mühle AG 面粉", 1)]
    assert (known["name"], known["details"], known["depth"]) == ("Frau Korn", "+49", "repeated")


def test_an_activity_that_was_a_mistake_counts_as_it_was_corrected(api: Api, deal: str) -> None:
    account = api.post("/v1/accounts", {"name": "Silo AG"}).json()["account_id"]
    assert api.post(f"/v1/accounts/{account}/add-contact", {"name": "Herr Halm"}, If_Match="*").is_success
    api.catch_up()
    person = api.get(f"/v1/accounts/{account}").json()["people"][0]["contact_id"]
    rules = {"command": "set-depth-rules", **msgspec.structs.asdict(DepthRules()), "if_match": "*"}
    assert api.as_role("admin").post("/v1/commands", {"commands": [rules]}).is_success
    done(api, deal, "add-deal-contact", contact_id=person, account_id=account)

    def logged(kind: str, **fields: Any) -> tuple[str, str]:
        """Its event, and by when it was known."""
        body = {"kind": kind, "contacts": [person], **fields}
        answer = api.post(f"/v1/deals/{deal}/log-activity", body, If_Match="*").json()
        return answer["event_ids"][0], api.get("/v1/log").json()["recorded_at"]

    def met(**params: str) -> tuple[int, int]:
        (contact,) = api.get(f"/v1/deals/{deal}/contacts", params=params).json()["contacts"]
        return contact["two_way"], contact["face_to_face"]

    event, before = logged("visit")
    call, corrected = logged("online", corrects=event)
    logged("internal_meeting", corrects=call)
    api.catch_up()
    assert (met(known_at=before), met(known_at=corrected), met()) == ((1, 1), (1, 0), (0, 0))
    (known,) = api.get(f"/v1/accounts/{account}").json()["people"]
    assert known["depth"] == "never"


def test_overall_attitudes_have_a_history_by_both_clocks(api: Api) -> None:
    opened = {"name": "Korn AG", "occurred_at": "2026-01-01T09:00:00Z"}
    account = api.post("/v1/accounts", opened).json()["account_id"]
    person = str(uuid4())

    def done(command: str, **fields: Any) -> str:
        answer = api.post(f"/v1/accounts/{account}/{command}", {"contact_id": person, **fields}, If_Match="*")
        assert answer.status_code == 200, answer.text
        return str(api.get("/v1/log").json()["recorded_at"])

    done("add-contact", name="Frau Korn", occurred_at="2026-01-02T09:00:00Z")
    times = ("2026-01-05T09:00:00Z", "2026-02-05T09:00:00Z")
    learnt = [
        done("assess-overall-attitude", attitude=attitude, reason=f"{attitude} now", occurred_at=at)
        for attitude, at in zip(("negative", "positive"), times, strict=True)
    ]
    api.catch_up()

    def told(**at: str) -> list[tuple[str, str, str | None]]:
        found = api.get(f"/v1/accounts/{account}/attitudes", params=at).json()["attitudes"]
        return [(a["attitude"], a["since"], a["until"]) for a in found]

    assert told() == [("negative", *times), ("positive", times[1], None)]
    assert told(as_of="2026-01-10T00:00:00Z") == [("negative", times[0], None)]
    assert told(known_at=learnt[0]) == [("negative", times[0], None)]
    assert told(as_of="2026-01-01T00:00:00Z") == []
    problem(api.get(f"/v1/accounts/{uuid4()}/attitudes"), 404, "unknown-account")


def test_the_deal_team_is_told_as_it_is_and_as_it_was(api: Api, deal: str) -> None:
    done(api, deal, "join-deal-team", person="erik", department="engineering")
    done(api, deal, "join-deal-team", person="lena", department="legal")
    api.catch_up()
    before = api.get(f"/v1/deals/{deal}/team").json()
    done(api, deal, "join-deal-team", person="erik", department="service")
    done(api, deal, "leave-deal-team", person="lena", reason="the contract is signed")
    api.catch_up()

    now = api.get(f"/v1/deals/{deal}/team").json()
    then = api.get(f"/v1/deals/{deal}/team", params={"as_of": before["as_of"]}).json()

    assert [(p["person"], p["department"]) for p in now["people"]] == [("erik", "service")]
    assert now["people"][0]["since"] == before["people"][0]["since"]
    assert then["people"] == before["people"]
    assert [(p["person"], p["department"]) for p in then["people"]] == [
        ("erik", "engineering"),
        ("lena", "legal"),
    ]


def test_what_is_not_there_is_not_found(api: Api) -> None:
    api.catch_up()
    for question in ("win-rate", "win-rate/curve", "checklist", "contacts", "team"):
        problem(api.get(f"/v1/deals/{uuid4()}/{question}"), 404, "unknown-deal")
    for question in (
        "win-rate",
        "win-rate/alerts",
        "states",
        "states/deals",
        "states/flow",
        "dwell/alerts",
        "cohort",
        "cohort/series",
        "stale",
    ):
        problem(api.get(f"/v1/funnels/nowhere/{question}"), 404, "unknown-funnel")
    problem(api.get(f"/v1/accounts/{uuid4()}"), 404, "unknown-account")


def test_a_managers_forecast_leaves_no_trace_in_any_of_it(api: Api, deal: str, owner: str) -> None:
    done(api, deal, "revise-expected-close", expected_close="2031-02-10")
    compared(api, deal)
    paths = [
        *(f"/v1/deals/{deal}/{q}" for q in ("win-rate", "win-rate/curve", "checklist", "contacts")),
        *(f"/v1/funnels/tas_plus/{q}?owner={owner}" for q in (
            "win-rate", "win-rate/alerts", "states/deals", "dwell/alerts", "stale",
        )),
    ]  # fmt: skip
    then = "as_of=2031-06-01T00:00:00Z"

    def told() -> list[Any]:
        rep = api.as_role("rep")
        found = []
        for path in paths:
            moment = "" if path.endswith("/win-rate") else ("&" if "?" in path else "?") + then
            body = rep.get(path + moment).json()
            assert body.pop("position") > 0
            found.append(body)
        return found

    before = told()
    answer = api.as_role("director").post(
        f"/v1/deals/{deal}/set-forecast",
        {"amount": {"amount": "987654", "currency": "EUR"}, "reason": "they said so"},
        If_Match="*",
    )
    assert answer.status_code == 200, answer.text
    api.catch_up()
    after = told()

    assert after == before
    assert "987654" not in str(after)
