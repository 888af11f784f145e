"""Recalibrating the real loan funnel, forecasting under what was found, and adopting it, on the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import Program

pytestmark = pytest.mark.slow

CUT = "2011-11-15"
CAME_IN = 4_121_067
"""What the deals open at the cut had brought in by the end of the data."""


@pytest.fixture(scope="module")
def record(loan_funnel: Program) -> dict[str, Any]:
    said = recalibrated(loan_funnel)
    assert said["log"]["position"] == loan_funnel("log", "--format", "json").json["position"]
    return said


def recalibrated(program: Program, *more: str) -> dict[str, Any]:
    said = program(
        "recalibrate", "--funnel", "loan", "--until", CUT, "--replicates", "4", "--format", "json", *more
    )
    assert said.code == 0, said.err
    return said.json


def forecast(program: Program, rates: str) -> dict[str, Any]:
    said = program("forecast", "--funnel", "loan", "--at", CUT, "--rates", rates, "--format", "json")
    assert said.code == 0, said.err
    return said.json


def test_the_record_names_the_log_the_cut_and_every_candidate(
    loan_funnel: Program, record: dict[str, Any]
) -> None:
    assert record["log"]["root"] == loan_funnel("verify", "--format", "json").json["root"]
    assert (record["funnel"], record["until"], record["target"]) == ("loan", "2011-11-15T00:00:00Z", "T1")
    assert [f"{c['name']}/{c['version']}" for c in record["candidates"]] == [
        "survivor/2", "entry/1", "landmark/1", "landmark_age/1", "ipcw/1", "competing/1", "outcome_match/1",
    ]  # fmt: skip
    assert (record["current"], record["recommended"]) == (None, "survivor/2")
    assert {r["age"] for r in record["candidates"][0]["rates"]} == {"fresh", "stalled"}
    assert [r["stage"] for r in record["candidates"][1]["rates"]] == [
        "submitted", "preaccepted", "accepted", "offer_sent", "offer_returned",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("candidate", "f2", "error"), [("entry/1", "5790029.38", 0.40), ("landmark/1", "4887880.55", 0.19)]
)
def test_the_textbook_and_complete_cases_forecast_too_much(
    loan_funnel: Program, record: dict[str, Any], candidate: str, f2: str, error: float
) -> None:
    said = forecast(loan_funnel, f"{record['record']}:{candidate}")
    total = said["total"]
    assert (total["deals"], total["amount"]) == (735, "11502877")
    assert float(total["f2"]) == pytest.approx(float(f2), abs=0.01)
    assert float(total["f2"]) / CAME_IN - 1 == pytest.approx(error, abs=0.01)
    assert sum(float(deal["f2"]) for deal in said["deals"]) == pytest.approx(float(total["f2"]))
    assert sum(float(stage["f2"]) for stage in said["stages"]) == pytest.approx(float(total["f2"]))


def test_survivor_forecasts_every_deal_by_itself_and_comes_nearer(
    loan_funnel: Program, record: dict[str, Any]
) -> None:
    said = forecast(loan_funnel, f"{record['record']}:survivor/2")
    assert said["rates"]["basis"] == "estimator"
    total = said["total"]
    assert abs(float(total["f2"]) / CAME_IN - 1) < 0.10
    assert float(total["p10"]) < float(total["p50"]) < float(total["p90"])
    assert float(total["p10"]) < CAME_IN < float(total["p90"])
    rates = {deal["rate"] for deal in said["deals"] if deal["stage"] == "offer_sent"}
    assert len(rates) > 10
    assert said == forecast(loan_funnel, f"{record['record']}:survivor/2")


def test_the_digest_is_the_same_after_a_rebuild_and_with_another_seed(
    loan_funnel: Program, record: dict[str, Any]
) -> None:
    assert loan_funnel("projections", "rebuild", "funnel").code == 0
    again = recalibrated(loan_funnel, "--seed", "7")
    assert again["digest"] == record["digest"]
    assert again["record"] != record["record"]
    rates = [[r["rate"] for r in c["rates"]] for c in again["candidates"]]
    assert rates == [[r["rate"] for r in c["rates"]] for c in record["candidates"]]


def test_the_report_is_one_file_and_replaces_none(loan_funnel: Program, record: dict[str, Any]) -> None:
    asked = ("rates", "report", record["record"], "--out", "report.html")
    assert loan_funnel(*asked).code == 0
    page = (loan_funnel.folder / "report.html").read_text(encoding="utf-8")
    assert record["reason"] in page
    assert loan_funnel(*asked).code == 2


def test_an_unknown_record_candidate_or_funnel_is_named(loan_funnel: Program, record: dict[str, Any]) -> None:
    for rates, sentence in (
        (f"{record['record']}:oracle/9", "The record has no candidate 'oracle/9'"),
        ("00000000-0000-7000-8000-000000000000:entry/1", "There is no record 00000000"),
        ("nonsense", "'nonsense' does not name a record"),
        ("current", "No rates are in force"),
    ):
        said = loan_funnel("forecast", "--funnel", "loan", "--rates", rates)
        assert said.code == 1
        assert sentence in said.err
    before = loan_funnel("recalibrate", "--funnel", "loan", "--until", "2011-09-01")
    assert before.code == 1
    assert "Nothing was known of the funnel loan" in before.err


def test_its_source_claims_all_of_it_and_nobody_here_had_witnessed_it(
    loan_funnel: Program, record: dict[str, Any]
) -> None:
    assert (record["knowledge"], record["claimed_events"] > 10_000) == ("source", True)
    refused = loan_funnel("recalibrate", "--funnel", "loan", "--until", CUT, "--knowledge", "witnessed")
    assert refused.code == 1
    assert "Nothing was recorded in this log of the funnel loan" in refused.err
    assert "--knowledge source" in refused.err
    named = f"{record['record']}:entry/1"
    at_the_cut = ("forecast", "--funnel", "loan", "--at", CUT, "--rates", named, "--format", "json")
    claimed, witnessed = (
        loan_funnel(*at_the_cut).json,
        loan_funnel(*at_the_cut, "--knowledge", "witnessed").json,
    )
    assert [(said["total"]["deals"], said["knowledge"]) for said in (claimed, witnessed)] == [
        (735, "source"), (0, "witnessed"),
    ]  # fmt: skip
    assert claimed["claimed_events"] == record["claimed_events"]
    assert witnessed["claimed_events"] == 0


def test_a_person_without_the_right_may_not_adopt(loan_funnel: Program, record: dict[str, Any]) -> None:
    name = f"{record['record']}:landmark/1"
    said = loan_funnel("rates", "adopt", name, "--reason", "I like it.", "--as", "rita", "--role", "rep")
    assert said.code == 1
    assert "director" in said.err
    assert loan_funnel("rates", "history", "--funnel", "loan", "--format", "json").json["rate_sets"] == []


def test_adopting_refers_to_the_evidence_and_counts_from_then_on(
    loan_funnel: Program, record: dict[str, Any]
) -> None:
    name = f"{record['record']}:landmark/1"
    reason = "Nearer than the textbook."
    said = loan_funnel("rates", "adopt", name, "--reason", reason, "--role", "sales_operations")
    assert said.code == 0, said.err
    (adopted,) = loan_funnel("rates", "history", "--funnel", "loan", "--format", "json").json["rate_sets"]
    assert adopted["evidence"] == {
        "record": record["record"], "digest": record["digest"], "candidate": "landmark/1",
    }  # fmt: skip
    assert adopted["reason"] == reason
    under_it = forecast(loan_funnel, "current")
    assert under_it["rates"]["rate_set"] == 1
    assert under_it["total"]["f2"] == forecast(loan_funnel, name)["total"]["f2"]

    with tampered(loan_funnel.environment["DATABASE_OWNER_URL"]):
        refused = loan_funnel("rates", "adopt", name, "--reason", "Again.")
    assert refused.code == 1
    assert "is not the one that the record was made from" in refused.err


@contextmanager
def tampered(owner_url: str) -> Iterator[None]:
    """Somebody with the keys to the database lets an event say another time; afterwards all is as it was."""
    change = "UPDATE dealtrace.events SET recorded_at = recorded_at {} interval '1 microsecond' WHERE notification_id = 5"
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute(change.format("-"))
        yield
        conn.execute(change.format("+"))
