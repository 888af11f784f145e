"""The real loan funnel folded again, kept as files, and asked what other rates would have said, on the command line."""

import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.replay.conftest import Duck

pytestmark = pytest.mark.slow

CUT = "2011-11-15T00:00:00Z"
OPEN = "SELECT count(*), sum(amount) FROM read_parquet(?) WHERE status = 'open' AND next_occurred_at IS NULL"


@pytest.fixture
def duck() -> Duck:
    return Duck()


def test_every_live_table_is_what_the_log_makes_of_it(loan_funnel: Program) -> None:
    said = loan_funnel("replay", "--processes", "2", "--format", "json")
    assert said.code == 0, said.err
    live = {
        p["projection"]: p["digest"] for p in loan_funnel("projections", "digest", "--format", "json").json
    }
    assert {p["projection"]: p["digest"] for p in said.json["projections"]} == live
    assert all(p["equal"] and p["digest"] == p["live"] for p in said.json["projections"])
    assert said.json["events"] == said.json["log"]["position"]


def test_the_files_hold_the_open_deals_of_a_past_moment(
    loan_funnel: Program, duck: Duck, tmp_path: Path
) -> None:
    said = loan_funnel("replay", "--as-of", CUT, "--out", str(tmp_path), "--format", "json")
    assert said.code == 0, said.err
    assert duck.ask(OPEN, tmp_path, "deal_states") == [(735, 11_502_877)]
    told = duck.told(tmp_path, "deal_states")
    assert told["dealtrace.as_of"] == CUT
    assert told["dealtrace.root"] == loan_funnel("verify", "--format", "json").json["root"]
    frames = {frame["frame"]: frame for frame in said.json["frames"]}
    assert told["dealtrace.rows_digest"] == frames["deal_states"]["digest"]
    assert told["dealtrace.position"] == str(said.json["log"]["position"])
    types = duck.types(tmp_path, "deal_states")
    assert (types["amount"], types["occurred_at"], types["expected_close"], types["deal_id"]) == (
        "DECIMAL(19,4)", "TIMESTAMP WITH TIME ZONE", "DATE", "VARCHAR",
    )  # fmt: skip
    weeks = duck.ask(
        "SELECT week, count(*) FROM read_parquet(?) GROUP BY 1 ORDER BY 1", tmp_path, "landmarks"
    )
    assert weeks[-1] == ("2011-W45", 776)


def test_ctrl_c_leaves_the_files_as_they_were_and_a_whole_run_replaces_them(
    loan_funnel: Program, tmp_path: Path
) -> None:
    asked = ("replay", "--projection", "visits", "--processes", "2", "--out", str(tmp_path))
    assert loan_funnel(*asked, "--as-of", CUT).code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    running = loan_funnel.start(*asked, DEALTRACE_FAILPOINTS="replay.before_files=stop")
    while not stopped(running.pid):
        time.sleep(0.02)
    assert list(tmp_path.glob(".replay-*/stage_visits.parquet"))
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGCONT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert loan_funnel(*asked).code == 0
    after = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    visits = tmp_path / "stage_visits.parquet"
    assert len(after[visits]) > len(before[visits])


def stopped(pid: int) -> bool:
    """Whether the process was told to stop and did."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"


def test_what_can_not_be_done_is_said(loan_funnel: Program, tmp_path: Path) -> None:
    refused = loan_funnel("replay", "--out", str(tmp_path / "out"), "--role", "rep")
    assert (refused.code, (tmp_path / "out").exists()) == (1, False)
    assert "which the role rep may not see" in refused.err
    beyond = loan_funnel("replay", "--to-position", "99999999")
    assert (beyond.code, "The log ends at position" in beyond.err) == (1, True)
    unknown = loan_funnel("replay", "--projection", "nothing")
    assert unknown.code == 2
    assert "no projection 'nothing'" in unknown.err
    (tmp_path / "file").write_text("taken")
    taken = loan_funnel("replay", "--out", str(tmp_path / "file"))
    assert taken.code == 1
    assert "can not be written" in taken.err


def test_what_if_under_a_candidate_is_the_forecast_under_it(loan_funnel: Program) -> None:
    recalibrated = loan_funnel(
        "recalibrate", "--funnel", "loan", "--until", "2011-11-14", "--replicates", "2", "--format", "json"
    )
    assert recalibrated.code == 0, recalibrated.err
    rates = f"{recalibrated.json['record']}:landmark/1"
    at = "2011-11-13T23:59:59.999999Z"
    forecast = loan_funnel(
        "forecast", "--funnel", "loan", "--at", at, "--rates", rates, "--format", "json"
    ).json
    asked = ("what-if", "--funnel", "loan", "--week", "2011-W45", "--rates", rates, "--format", "json")
    said = loan_funnel(*asked)
    assert said.code == 0, said.err
    total = said.json["total"]
    assert (total["deals"], total["amount"]) == (forecast["total"]["deals"], forecast["total"]["amount"])
    assert total["what_if"]["f2_open"] == forecast["total"]["f2"]
    assert total["shown"]["f2_open"] is None
    basis = said.json["basis"]
    assert basis["shown"] is None
    assert (basis["what_if"]["record"], basis["what_if"]["candidate"]) == tuple(rates.split(":"))
    assert basis["what_if"]["digest"] == recalibrated.json["digest"]
    assert basis["what_if"]["learnt_until"] == "2011-11-14T00:00:00Z"
    sooner = loan_funnel(*asked, "--stall-after-days", "offer_sent=5").json["total"]
    assert sooner["what_if"]["stalled"] > total["what_if"]["stalled"] == sooner["shown"]["stalled"]
