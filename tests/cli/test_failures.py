"""What goes wrong is told in one sentence and a hint, on stderr, with an exit code, and without a traceback."""

import socket

import psycopg
import pytest

from infra.postgres import Server
from projections.engine.running import run_to_head
from tests.cli.conftest import Program
from tests.projections.failing import two_deals
from tests.projections.written_log import write_log

DEAL = "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"

USAGE = {
    "a time without an offset": (
        ["funnel", "--funnel", "tas_plus", "--as-of", "2026-01-01T00:00:00"],
        "--as-of must be an RFC 3339 time with an offset",
    ),
    "an id that is none": (["deal", "17"], "DEAL is not an id"),
    "a word nobody knows": (["deals", "--sort", "beauty"], "--sort is not one of the known words"),
    "a verb nobody knows": (["fnnel"], "No such command 'fnnel'"),
    "a verb of a group nobody knows": (["do", "nothing"], "No such command 'nothing'"),
    "an option nobody knows": (["deals", "--colour", "red"], "No such option: --colour"),
    "a missing option": (["funnel"], "Missing option '--funnel'"),
    "an amount without a currency": (
        ["do", "revise-amount", DEAL, "--amount", "5"],
        "--amount must be an amount",
    ),
    "a required field left out": (["do", "revise-amount", DEAL], "--amount is missing"),
    "not a number": (["command", "set-currency", '{"currency": NaN}'], "NaN is no JSON value"),
    "a field nobody knows": (
        ["command", "win-deal", f'{{"deal_id": "{DEAL}", "x": 1}}'],
        "--x there is no such field",
    ),
    "a command nobody knows": (["command", "please", "{}"], "There is no command 'please'"),
    "fields that are no object": (["command", "win-deal", "[]"], "The fields must be a JSON object"),
    "nobody": (["do", "win-deal", DEAL, "--as", ""], "--as names nobody"),
    "a version that is none": (
        ["do", "win-deal", DEAL, "--if-match", "-1"],
        "Invalid value for '--if-match'",
    ),
    "a number with more than digits": (["deals", "--limit", "5_0"], "--limit is no whole number"),
    "a recalibration that is no id": (["recalibrations", "show", "x"], "RECALIBRATION is not an id"),
    "a projection nobody knows": (["projections", "rebuild", "moon"], "There is no projection 'moon'"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_ends_with_two_and_names_the_place(dealtrace: Program, case: str) -> None:
    arguments, sentence = USAGE[case]
    said = dealtrace(*arguments)
    assert said.code == 2
    error, hint = said.err.splitlines()
    assert error.startswith(f"error: {sentence}")
    assert hint.startswith("hint: ")
    assert said.out == ""


def test_a_group_of_verbs_alone_shows_its_help(dealtrace: Program) -> None:
    said = dealtrace("do")
    assert (said.code, said.err) == (2, "")
    assert "advance-stage" in said.out


def test_what_is_told_is_told_to_the_letter(dealtrace: Program) -> None:
    """Not with a picture instead of :x:, nor with [red] taken for a colour."""
    assert dealtrace("command", ":x:[red]", "{}").err.startswith("error: There is no command ':x:[red]'.")


def test_an_unknown_deal_is_a_refusal(dealtrace: Program) -> None:
    said = dealtrace("deal", DEAL)
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[0] == f"error: There is no deal {DEAL}."


def test_an_unknown_funnel_names_those_there_are(dealtrace: Program) -> None:
    dealtrace("do", "set-currency", "--currency", "EUR")
    said = dealtrace("funnel", "--funnel", "moon")
    assert (said.code, said.err.splitlines()) == (
        1,
        ["error: There is no funnel 'moon'.", "hint: accepted: tas_plus"],
    )


def test_a_file_that_is_not_there(dealtrace: Program) -> None:
    said = dealtrace("import", "history", "nowhere.csv", "--mapping", "nowhere.toml")
    assert said.code == 2
    assert "nowhere.toml" in said.err
    assert "Traceback" not in said.err


def test_a_setting_that_can_not_be_used(dealtrace: Program) -> None:
    said = dealtrace("log", DEALTRACE_PORT="many")
    assert said.code == 2
    assert said.err.startswith("error: DEALTRACE_PORT must be a whole number")


def test_a_server_for_other_machines_is_refused(dealtrace: Program) -> None:
    said = dealtrace("serve", DEALTRACE_HOST="0.0.0.0")  # noqa: S104
    assert said.code == 2
    assert "may only listen on 127.0.0.1 or ::1, not 0.0.0.0" in said.err


def test_a_port_in_use(dealtrace: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = dealtrace("run", DEALTRACE_PORT=str(port))
    assert said.code == 1
    assert said.err.splitlines()[0] == f"error: Port {port} is in use already."
    assert f"DEALTRACE_PORT={port + 1}" in said.err


def test_a_password_is_never_shown(dealtrace: Program) -> None:
    said = dealtrace("log", DATABASE_URL="postgresql://anna:s3cret@127.0.0.1:1/x?nonsense=1")
    assert said.code == 1
    assert "s3cret" not in said.out + said.err


def test_a_traceback_is_shown_on_request_alone(dealtrace: Program) -> None:
    assert "Traceback" not in dealtrace("deal", DEAL).err
    assert "Traceback" in dealtrace("--debug", "deal", DEAL).err


def test_a_log_that_is_not_whole_is_told_in_words(dealtrace: Program, database: Server) -> None:
    write_log(database.owner_url, two_deals())
    with psycopg.connect(database.owner_url) as conn:
        conn.execute("DELETE FROM dealtrace.events WHERE notification_id = 4")
    said = dealtrace("deals")
    assert said.code == 1
    error, hint = said.err.splitlines()
    assert error.startswith("error: The log is not whole: ")
    assert (hint, "BrokenLog" in said.err) == ("hint: dealtrace verify names everything", False)


def test_projections_of_another_log_are_told_in_words(dealtrace: Program, database: Server) -> None:
    write_log(database.owner_url, two_deals())
    run_to_head(database.app_url)
    with psycopg.connect(database.owner_url) as conn:
        conn.execute("UPDATE dealtrace.log_head SET epoch = 2")
    said = dealtrace("deals")
    assert said.code == 1
    assert "ForeignLog" not in said.err
    assert said.err.splitlines()[1] == "hint: dealtrace projections adopt-log"
