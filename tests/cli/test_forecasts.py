"""Forecasts from the command line, as whoever asks."""

from tests.cli.conftest import Program


def test_a_forecast_is_set_seen_and_audited(dealtrace: Program) -> None:
    for verb in (
        ("set-currency", "--currency", "EUR"),
        ("create-team", "--team", "north", "--label", "North"),
        ("appoint-manager", "--team", "north", "--manager", "alice"),
        ("join-team", "--person", "bob", "--team", "north"),
    ):
        said = dealtrace("do", *verb)
        assert said.code == 0, said.err
    said = dealtrace(
        "do", "open-deal", "--funnel", "tas_plus", "--owner", "bob", "--amount", "1000 EUR", "--expected-close",
        "2031-05-20", "--format", "json",
    )  # fmt: skip
    deal = said.json["deal_id"]
    said = dealtrace(
        "do", "set-forecast", deal, "--amount", "4321 EUR", "--reason", "They said yes.", "--as", "alice", "--role",
        "manager",
    )  # fmt: skip
    assert said.code == 0, said.err

    month = ("--funnel", "tas_plus", "--month", "2031-05")
    seen = dealtrace("forecast", *month, "--as", "alice", "--role", "manager")
    hidden = dealtrace("forecast", *month, "--as", "bob", "--role", "rep")
    assert (seen.code, hidden.code) == (0, 0), seen.err + hidden.err
    assert "4,321" in seen.out
    assert "4,321" not in hidden.out
    assert "f1 open" not in hidden.out
    assert dealtrace("forecast", *month, "--format", "json").json["total"]["f1_open"] == "4321"
    of_others = dealtrace("forecast", *month, "--region", "south", "--format", "json")
    assert (of_others.json["total"]["open_deals"], of_others.json["total"]["f1_open"]) == (0, "0")

    audit = dealtrace("forecast-audit", "--deal", deal, "--role", "auditor")
    assert "They said yes." in audit.out
    rows = dealtrace(
        "forecast-audit", "--deal", deal, "--role", "auditor", "--format", "csv"
    ).out.splitlines()
    assert len(rows) == 3
    assert rows[0].startswith("position,event_id,kind")
    assert "alice" in dealtrace("organisation").out
    assert dealtrace("rate-sets", "--funnel", "tas_plus", "--format", "json").json["rate_sets"] == []
    accuracy = dealtrace("forecast-accuracy", "--funnel", "tas_plus")
    weeks = dealtrace("forecast-weeks", *month)
    assert (accuracy.code, weeks.code) == (0, 0), accuracy.err + weeks.err
