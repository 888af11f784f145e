"""What if, over HTTP: a past week under other rates and rules, and nothing of F1 for those who may not see it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.answers import problem
from tests.api.conftest import Api
from tests.api.test_forecasts import Company

AMOUNT, FORECAST = "8000", "7123.45"
FIELDS_OF_F1 = {"f1_open", "f1_final", "difference"}


class PastWeek:
    """A deal of bob's that was there nine days ago, and what alice, his manager, then expected of it."""

    def __init__(self, api: Api) -> None:
        self.company = company = Company(api)
        at = (datetime.now(UTC) - timedelta(days=9)).isoformat()
        self.deal = str(uuid4())
        opening = {
            "funnel": "tas_plus",
            "owner": company.bob,
            "amount": AMOUNT,
            "expected_close": "2031-05-20",
        }
        company.do("open-deal", deal_id=self.deal, occurred_at=at, **opening)
        company.by(
            company.alice, "manager", "set-forecast", deal_id=self.deal, amount=FORECAST, occurred_at=at
        )
        api.catch_up()

    def ask(self, actor: str = "ann", role: str = "analyst", **params: Any) -> Any:
        """As known today, since all of it became known today."""
        who = Api(self.company.admin.client, self.company.admin.app, self.company.admin.database, actor, role)
        week = f"{datetime.now(UTC) - timedelta(days=7):%G-W%V}"
        known = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        asked = {"week": week, "known_at": known, "month": "2031-05", "owner": self.company.bob, **params}
        given = {name: value for name, value in asked.items() if value is not None}
        return who.get("/v1/funnels/tas_plus/what-if", params=given)


@pytest.fixture(scope="module")
def past(served: Api) -> PastWeek:
    return PastWeek(served)


def test_the_week_is_shown_as_it_was_and_under_other_rules(past: PastWeek) -> None:
    said = past.ask(stall_after_days="verification=1", lose_after_days="verification=2").json()
    (stage,) = (row for row in said["stages"] if row["deals"])
    assert (stage["stage"], stage["deals"], stage["amount"]) == ("verification", 1, AMOUNT)
    assert (stage["shown"]["entered"], stage["what_if"]["entered"]) == (1, 0)
    assert said["total"]["f1_open"] == stage["f1_open"] == FORECAST
    assert said["period"] == "2031-05"


def test_as_it_was_known_then_nothing_was_there(past: PastWeek) -> None:
    assert past.ask(known_at=None, owner=None, month=None).json()["total"]["deals"] == 0


@pytest.mark.parametrize(("actor", "role"), [("alice", "manager"), ("x", "director"), ("x", "auditor")])
def test_those_up_the_line_see_f1(past: PastWeek, actor: str, role: str) -> None:
    who = past.company.named(actor) if actor == "alice" else actor
    assert past.ask(who, role).json()["total"]["f1_open"] == FORECAST


@pytest.mark.parametrize("role", ["rep", "sales_operations", "integration"])
def test_those_who_never_see_f1_find_no_trace_of_it(past: PastWeek, role: str) -> None:
    said = past.ask(past.company.bob, role)
    assert FORECAST not in said.text
    for figures in (said.json()["total"], *said.json()["stages"]):
        assert not FIELDS_OF_F1 & {*figures, *figures["shown"], *figures["what_if"]}


@pytest.mark.parametrize("role", ["manager", "director", "analyst"])
def test_nobody_sees_the_forecast_of_a_deal_of_their_own(past: PastWeek, role: str) -> None:
    said = past.ask(past.company.bob, role)
    assert FORECAST not in said.text
    assert said.json()["total"]["f1_open"] is None


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"week": "2011-W53"}, "week"),
        ({"week": "2199-W01"}, "week"),
        ({"rates": "nonsense"}, "rates"),
        ({"stall_after_days": "verification=900"}, "stall_after_days"),
        ({"stall_after_days": "verification=9,verification=3"}, "stall_after_days"),
        ({"lose_after_days": "verification=0"}, "lose_after_days"),
        ({"without_gates": "missing_assessment"}, "without_gates"),
        ({"no_inside_source_factor": "0.8"}, "no_inside_source_factor"),
        ({"quarter": "FY2031-Q2"}, "quarter"),
    ],
)
def test_what_can_not_be_tried_is_named(past: PastWeek, params: dict[str, str], field: str) -> None:
    told = problem(past.ask(**params), 400, "invalid-parameters")
    assert field in str(told)


@pytest.mark.parametrize(
    ("field", "value", "status", "code"),
    [
        ("rates", "77", 422, "unknown-rate-set"),
        ("rates", f"{UUID(int=3)}:entry/1", 404, "unknown-recalibration"),
        ("stall_after_days", "nowhere=3", 422, "unknown-stage"),
        ("team", "nowhere", 422, "unknown-team"),
    ],
)
def test_what_is_not_there_can_not_be_tried(
    past: PastWeek, field: str, value: str, status: int, code: str
) -> None:
    assert problem(past.ask(**{field: value}), status, code)["field"] == field


def test_the_rates_of_a_record_are_not_for_reps(past: PastWeek) -> None:
    said = past.ask(past.company.bob, "rep", rates=f"{UUID(int=3)}:entry/1")
    assert said.status_code == 403
