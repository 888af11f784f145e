"""What each kind of field takes and keeps, and what it refuses."""

from typing import Any

import pytest

from api.asking import ROUTES
from tests.api.answers import problem
from tests.api.conftest import Api


def opened(api: Api, **fields: Any) -> dict:
    """The deal as it is read back."""
    deal = api.open_deal(**fields)
    api.catch_up()
    return api.get(f"/v1/deals/{deal}").json()


def refused(api: Api, **fields: Any) -> None:
    answer = api.post("/v1/deals", {"funnel": "tas_plus", **fields})
    problem(answer, 422, "invalid-fields")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("2026-03-02T09:30:00Z", "2026-03-02T09:30:00Z"), ("2026-03-02t10:30:00.123456+01:00", "2026-03-02T09:30:00.123456Z")],
)  # fmt: skip
def test_a_time_is_kept_to_the_microsecond(api: Api, sent: str, kept: str) -> None:
    deal = api.open_deal(occurred_at=sent)
    api.catch_up()
    (event,) = api.get(f"/v1/deals/{deal}/timeline").json()["events"]
    assert event["occurred_at"] == kept


@pytest.mark.parametrize(
    "sent", ["2026-03-02T09:30:00.1234567Z", "2026-03-02T09:30:00", "1899-12-31T00:00:00Z", 1772443800]
)
def test_other_times_are_refused(api: Api, unchanged_log: None, sent: Any) -> None:
    refused(api, occurred_at=sent)


@pytest.mark.parametrize("sent", ["2026-06-30", "1900-01-01", "2200-12-31", "2028-02-29"])
def test_a_day_is_kept(api: Api, sent: str) -> None:
    assert opened(api, expected_close=sent)["expected_close"] == sent


@pytest.mark.parametrize(
    "sent",
    ["1899-12-31", "2201-01-01", "0001-01-01", "9999-12-31", "2026-06-30T00:00:00Z", "2026-6-30", "2026-02-29",
     "2026-06-30 ", "٢٠٢٦-06-30", 20260630],
)  # fmt: skip
def test_other_days_are_refused(api: Api, unchanged_log: None, sent: Any) -> None:
    refused(api, expected_close=sent)


@pytest.mark.parametrize(
    ("sent", "kept"), [("12500.00", "12500"), ("0.5", "0.5"), ("0", "0"), (12500, "12500")]
)
def test_an_amount_is_kept(api: Api, sent: Any, kept: str) -> None:
    assert opened(api, amount={"amount": sent, "currency": "EUR"})["amount"] == kept


@pytest.mark.parametrize(
    "sent",
    [
        "1_000",
        "١٢",
        "1e3",
        "+5",
        "-5",
        " 5",
        "5.",
        ".5",
        "1,000",
        "",
        "NaN",
        "Infinity",
        "0" * 41,
        "0." + "0" * 39,
    ],
)
def test_other_amounts_are_refused(api: Api, unchanged_log: None, sent: str) -> None:
    refused(api, amount={"amount": sent, "currency": "EUR"})


@pytest.mark.parametrize("sent", ["Süd", "华南", "نبيل", "R&D 🚀", "می\u200cخواهم"])
def test_a_label_is_kept(api: Api, sent: str) -> None:
    assert opened(api, region=sent)["region"] == sent


@pytest.mark.parametrize(
    "character",
    ["\u202e", "\u2066", "\u0085", "\u009b", "\ufdd0", "\uffff", "\U0010ffff", "\u2028", "\n", "\x7f"],
)
def test_a_label_that_would_show_as_another_is_refused(api: Api, unchanged_log: None, character: str) -> None:
    refused(api, region=f"So{character}uth")


@pytest.mark.parametrize(
    "zone", ["localtime", "posixrules", "Factory", "posix/Europe/Berlin", "../UTC", "Moon/Base"]
)
def test_a_time_zone_that_is_no_place_is_refused(api: Api, unchanged_log: None, zone: str) -> None:
    body = {"commands": [{"command": "set-calendar", "time_zone": zone, "if_match": "*"}]}
    problem(api.as_role("admin").post("/v1/commands", body), 422, "invalid-fields")


@pytest.mark.parametrize(
    "there", ["/v1/funnels/tas_plus/snapshot/deals", "/v1/funnels/tas_plus/states/deals", "/v1/deals"]
)
def test_a_stage_that_the_funnel_does_not_have_is_refused(api: Api, there: str) -> None:
    api.catch_up()
    assert api.get(there, params={"stage": "verification"}).status_code == 200
    found = problem(api.get(there, params={"stage": "zz"}), 422, "unknown-stage")
    assert found["field"] == "stage"
    assert "verification" in found["accepted"]


def test_a_stage_of_another_funnel_is_refused(api: Api) -> None:
    api.catch_up()
    stages = {f["key"]: f["stages"] for f in api.get("/v1/funnels").json()["funnels"]}
    tas, customer = ({s["key"] for s in stages[key]} for key in ("tas_plus", "customer"))
    foreign = min(customer - tas)
    assert api.get("/v1/deals", params={"stage": foreign}).status_code == 200
    asked = api.get("/v1/deals", params={"funnel": "tas_plus", "stage": foreign})
    assert problem(asked, 422, "unknown-stage")["accepted"].startswith("verification, ")


FUNNEL_IN_QUERY = [
    route.path for route in ROUTES if "funnel" in route.params.model_fields and "{funnel}" not in route.path
]


@pytest.mark.parametrize("there", FUNNEL_IN_QUERY)
def test_a_funnel_that_there_is_not_is_refused_wherever_one_can_be_named(api: Api, there: str) -> None:
    api.catch_up()
    director = api.as_role("director")
    found = problem(director.get(there, params={"funnel": "nope"}), 404, "unknown-funnel")
    assert found["field"] == "funnel"
    assert "tas_plus" in found["accepted"]


def test_a_macro_stage_that_there_is_not_is_refused(api: Api) -> None:
    asked = api.get("/v1/funnels/tas_plus/snapshot/deals", params={"macro_stage": "zz"})
    assert "plan_confirmed" in problem(asked, 400, "invalid-parameters")["accepted"]
