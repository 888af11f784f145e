"""A week of selling on the command line: every question has an answer for people, and for programs."""

import pytest

from tests.cli.conftest import Program

ASKED = (
    ("states",),
    ("state-deals",),
    ("states-flow",),
    ("dwell-alerts", "--alerts", "all"),
    ("cohort",),
    ("cohort-series", "--every", "month", "--points", "2"),
    ("stale",),
    ("win-rates", "--weeks", "3"),
    ("win-rate-alerts",),
)


@pytest.fixture
def deal(dealtrace: Program) -> str:
    """A deal of anna's, compared with a weaker rival."""
    assert dealtrace("do", "set-currency", "--currency", "EUR").code == 0
    said = dealtrace(
        "do", "open-deal", "--funnel", "tas_plus", "--owner", "anna", "--amount", "5000 EUR", "--name", "Waage",
        "--occurred-at", "2021-03-01T09:00:00Z",
    )  # fmt: skip
    assert said.code == 0, said.err
    opened = str(dealtrace("deals", "--format", "json").json["deals"][0]["deal_id"])
    for verb, *options in (
        ("record-compelling-event", "--text", "The old one fails"),
        ("find-inside-source",),
        ("add-competitor", "--competitor", "rival"),
        ("assess-competitor", "--competitor", "rival", "--need-fit", "2", "--relationship", "2"),
        ("assess-our-position", "--need-fit", "8", "--relationship", "8"),
        ("lose-inside-source", "--reason", "moved away"),
    ):
        said = dealtrace("do", verb, opened, *options)
        assert said.code == 0, said.err
    return opened


def test_every_question_of_the_week_has_an_answer_for_people(dealtrace: Program, deal: str) -> None:
    for verb, *options in ASKED:
        said = dealtrace(verb, "--funnel", "tas_plus", *options)
        assert (said.code, bool(said.out)) == (0, True), said.err
    for verb in ("win-rate", "win-rate-curve", "checklist", "deal-contacts"):
        said = dealtrace(verb, deal)
        assert (said.code, bool(said.out)) == (0, True), said.err
    assert "Waage" in dealtrace("state-deals", "--funnel", "tas_plus", "--state", "pending_loss").out
    assert dealtrace("win-rate", deal, "--format", "json").json["win_rate"]["value"] == "0.5600"
    (alert,) = dealtrace("win-rate-alerts", "--funnel", "tas_plus", "--format", "json").json["alerts"]
    assert (alert["deal_id"], alert["fall"]) == (deal, "0.2400")


def test_accounts_are_listed_and_shown(dealtrace: Program) -> None:
    assert dealtrace("do", "open-account", "--name", "Mühle", "--region", "North").code == 0
    (listed,) = dealtrace("accounts", "--region", "North", "--format", "json").json["accounts"]
    shown = dealtrace("account", listed["account_id"], "--format", "json").json
    assert (shown["name"], shown["people"]) == ("Mühle", [])
