"""Importing from the command line: bad rows named, nothing written by a dry run, exit codes that tell."""

import csv
import os
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Program

MAPPING = str(ROOT / "examples" / "loan_funnel" / "mapping.toml")
HEADER = "deal_id,changed_at,changed_by,field,old_value,new_value\n"
GOOD = "7,2011-10-01T00:00:00.000Z,,created,,submitted\n7,2011-10-02T00:00:00.000Z,,StageName,submitted,accepted\n"
BAD = "7,2011-10-03T00:00:00.000Z,,StageName,accepted,moon\n"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    file = tmp_path / "export.csv"
    file.write_text(HEADER + GOOD + BAD, encoding="utf-8")
    return file


def test_a_bad_row_is_named_and_the_rest_goes_on(dealtrace: Program, export: Path, tmp_path: Path) -> None:
    said = dealtrace(
        "import", "history", str(export), "--mapping", MAPPING, "--bad-rows", str(tmp_path / "bad.csv")
    )
    assert said.code == 1
    assert "line 4: error:" in said.err
    assert "moon" in said.err
    assert "appended 2 events" in said.err
    (row,) = csv.DictReader((tmp_path / "bad.csv").read_text(encoding="utf-8").splitlines())
    assert (row["line"], row["level"], row["deal"]) == ("4", "error", "7")
    assert dealtrace("funnel", "--funnel", "loan", "--format", "json").json["total"]["deals"] == 1


def test_a_dry_run_writes_nothing(dealtrace: Program, export: Path) -> None:
    before = dealtrace("log", "--format", "json").json["position"]
    said = dealtrace("import", "history", str(export), "--mapping", MAPPING, "--dry-run")
    assert said.code == 1
    assert "would append 2 events" in said.err
    assert "nothing was written" in said.err
    assert dealtrace("log", "--format", "json").json["position"] == before


def test_an_interrupted_import_says_that_running_it_again_goes_on(dealtrace: Program, tmp_path: Path) -> None:
    pipe = tmp_path / "export.csv"
    os.mkfifo(pipe)
    process = dealtrace.start("import", "history", str(pipe), "--mapping", MAPPING)
    with pipe.open("w", encoding="utf-8"):  # opens when the import has come to read it
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-2:] == [
        "error: Interrupted; the rows that were committed stay.",
        "hint: run the same command again to go on",
    ]


def test_a_file_that_is_no_export_is_wrong_usage(dealtrace: Program, tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n", encoding="utf-8")
    said = dealtrace("import", "history", str(file), "--mapping", MAPPING)
    assert said.code == 2
    assert said.err.startswith("error: ")
