"""Every command from the command line, as options and as JSON."""

from uuid import uuid4

from domain.registry import COMMANDS
from infra.connection import connect
from infra.postgres import Server
from tests.cli.conftest import Program


def open_deal(dealtrace: Program) -> str:
    said = dealtrace(
        "do", "open-deal", "--funnel", "tas_plus", "--name", "Sensors", "--owner", "anna", "--format", "json"
    )
    assert said.code == 0, said.err
    return str(said.json["deal_id"])


def test_an_empty_log_gets_the_default_funnel_with_the_first_command(dealtrace: Program) -> None:
    assert dealtrace("do", "set-currency", "--currency", "EUR").code == 0
    funnels = dealtrace("funnels", "--format", "json").json
    assert [funnel["key"] for funnel in funnels["funnels"]] == ["tas_plus"]
    assert funnels["currency"] == "EUR"


def test_a_deal_is_opened_moved_and_won(dealtrace: Program) -> None:
    deal = open_deal(dealtrace)
    assert dealtrace("do", "advance-stage", deal, "--to-stage", "bidding").code == 0
    assert (
        dealtrace("do", "regress-stage", deal, "--to-stage", "initiation", "--reason", "New scope.").code == 0
    )
    assert dealtrace("do", "win-deal", deal).code == 0
    found = dealtrace("deal", deal, "--format", "json").json
    assert (found["status"], found["stage"], found["version"]) == ("won", "initiation", 4)
    events = dealtrace("timeline", deal, "--order", "asc", "--format", "json").json["events"]
    assert [event["topic"] for event in events] == [
        "deal.opened",
        "deal.stage_advanced",
        "deal.stage_regressed",
        "deal.won",
    ]


def test_money_lists_and_nothing_are_options_too(dealtrace: Program) -> None:
    deal, account, people = open_deal(dealtrace), str(uuid4()), [str(uuid4()), str(uuid4())]
    dealtrace("do", "set-currency", "--currency", "EUR")
    assert dealtrace("do", "revise-amount", deal, "--amount", "52000.50 EUR").code == 0
    assert dealtrace("deal", deal, "--format", "json").json["amount"] == "52000.5"
    assert dealtrace("do", "revise-amount", deal, "--no-amount").code == 0
    assert dealtrace("deal", deal, "--format", "json").json["amount"] is None
    assert dealtrace("do", "open-account", "--account-id", account).code == 0
    for person in people:
        who = ("--contact-id", person)
        assert dealtrace("do", "add-contact", account, *who).code == 0
        assert dealtrace("do", "add-deal-contact", deal, "--account-id", account, *who).code == 0
    contacts = [word for person in people for word in ("--contacts", person)]
    said = dealtrace("do", "log-activity", deal, "--kind", "visit", *contacts)
    assert said.code == 0, said.err


def test_a_command_may_come_as_json_from_a_pipe(dealtrace: Program) -> None:
    deal = open_deal(dealtrace)
    body = f'{{"deal_id": "{deal}", "to_stage": "bidding"}}'
    assert dealtrace("command", "advance-stage", "-", stdin=body).json["version"] == 2
    again = dealtrace("command", "advance-stage", body).json
    assert (again["version"], again["event_ids"]) == (2, [])


def test_the_log_says_who_did_it_and_in_which_role(dealtrace: Program, database: Server) -> None:
    dealtrace("do", "open-deal", "--funnel", "tas_plus", "--as", "anna", "--role", "rep")
    with connect(database.app_url, "test") as conn:
        row = conn.execute(
            "SELECT convert_from(state, 'UTF8')::json->'meta'->'actor' FROM dealtrace.events"
            " WHERE topic = 'deal.opened'"
        ).fetchone()
    assert row == ({"id": "anna", "role": "rep", "auth": "cli"},)


def test_a_refused_command_says_why_and_writes_nothing(dealtrace: Program) -> None:
    deal = open_deal(dealtrace)
    before = dealtrace("log", "--format", "json").out
    stale = dealtrace("do", "advance-stage", deal, "--to-stage", "bidding", "--if-match", "7")
    assert (stale.code, stale.err.splitlines()[0]) == (
        1,
        "error: The command was based on version 7, the current version is 1.",
    )
    role = dealtrace("do", "void-deal", deal, "--reason", "A test.", "--role", "rep")
    assert (role.code, role.err.splitlines()[0]) == (1, "error: The role rep may not void-deal.")
    stage = dealtrace("do", "advance-stage", deal, "--to-stage", "nowhere")
    assert stage.code == 1
    assert "hint: accepted: verification, initiation," in stage.err
    assert dealtrace("log", "--format", "json").out == before


def test_every_command_of_the_registry_has_a_verb_with_an_example(dealtrace: Program) -> None:
    listed = dealtrace("do", "--help").out
    assert [name for name in COMMANDS if f" {name} " not in listed] == []
    for name in ("open-deal", "define-funnel", "win-deal"):
        assert f"Example:  dealtrace do {name}" in dealtrace("do", name, "--help").out
