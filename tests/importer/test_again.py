"""Importing again: repeated, longer, interrupted, rehearsed."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.deal import ReviseOwner
from infra.executor import Executor
from infra.failpoints import VARIABLE
from infra.migrations import migrate
from infra.postgres import scratch_database
from infra.requests import Request
from projections.engine.digests import replay
from workers.importer.run import IMPORTER

PROGRAM = """
import sys
from pathlib import Path
from infra.connection import LogConnection
from infra.executor import Executor
from workers.importer import load_mapping, run_import
url, file, mapping = sys.argv[1:]
log = LogConnection(url)
run_import(Executor(log), log, Path(file), load_mapping(Path(mapping)), "history")
"""


def test_a_repeated_import_adds_nothing(importing, many_rows):
    rows = many_rows(300)
    first = importing.rows(rows)
    before = importing.digest()

    again = importing.rows(rows)

    assert (first.bad, first.already_there, first.deals) == (0, 0, 300)
    assert (again.events, again.already_there, again.bad, again.deals) == (0, first.rows, 0, 300)
    assert importing.digest() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
def test_a_longer_export_adds_just_what_it_has_more(importing, many_rows, share):
    lines = many_rows(300).splitlines(keepends=True)
    part = int(len(lines) * share)

    first = importing.rows("".join(lines[:part]))
    rest = importing.rows("".join(lines[part // 2 :]))

    assert (first.bad, rest.bad, rest.warnings) == (0, 0, 0)
    assert rest.already_there == part - part // 2
    assert importing.count("import_ledger") == len(lines)
    together = importing.digest()
    assert together == _clean_digest(importing, "".join(lines))


@pytest.mark.parametrize("failpoint", ["append.before_commit", "append.after_commit"])
def test_an_import_killed_in_the_middle_continues_and_ends_as_a_clean_one(
    importing, many_rows, mapping_text, failpoint
):
    rows = many_rows(1000)
    importing.mapping(mapping_text)
    file = importing.written("deal,at,by,field,old,new\n" + rows)
    arguments = [importing.database.app_url, str(file), str(importing.folder / "mapping.toml")]

    killed = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, VARIABLE: f"{failpoint}=kill@3", "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    taken = importing.count("import_ledger")

    summary = importing.file(file)

    assert 0 < taken < 9000
    assert (summary.already_there, summary.bad, summary.warnings) == (taken, 0, 0)
    assert importing.digest() == _clean_digest(importing, rows)


def test_identical_rows_are_told_apart_by_their_number(importing):
    rows = "1,2026-01-01T09:00Z,,created,,First\n" + "1,2026-01-02T09:00Z,,Amount,,5\n" * 2
    importing.rows(rows)

    assert importing.count("import_ledger") == 3
    assert importing.rows(rows).already_there == 3


def test_the_same_rows_of_another_source_are_other_deals(importing, mapping_text, many_rows):
    rows = many_rows(20)
    importing.rows(rows)

    other = importing.rows(rows, mapping=mapping_text.replace('source = "crm"', 'source = "crm two"'))

    assert (other.already_there, other.opened, other.bad) == (0, 20, 0)


def test_rows_older_than_a_change_made_here_are_refused(importing):
    importing.rows("1,2026-01-01T09:00Z,,created,,First\n")
    command = ReviseOwner(deal_id=importing.deal_id("1"), owner="ann")
    Executor(importing.log).execute([Request(commands=(command,), actor=IMPORTER, command_id="live")])

    importing.rows("1,2026-01-02T09:00Z,,Stage,First,Second\n")

    assert importing.reported() == [(2, "error", "out-of-order")]
    assert importing.deal("1").stage == "first"


def test_a_dry_run_decides_everything_and_writes_nothing(importing, many_rows):
    rows = many_rows(300) + "x,2026-01-31T09:00Z,,created,,Nowhere\n"

    rehearsed = importing.rows(rows, dry_run=True)
    said = importing.reported()
    tables = ("events", "import_ledger", "vault", "command_results")
    assert [importing.count(table) for table in tables] == [0, 0, 0, 0]

    real = importing.rows(rows)
    assert said == importing.reported() == [(2702, "error", "unknown-stage")]
    for figure in ("rows", "events", "already_there", "bad", "warnings", "opened"):
        assert getattr(rehearsed, figure) == getattr(real, figure)


def test_a_dry_run_of_a_longer_export_stands_on_what_is_there(importing, many_rows):
    lines = many_rows(100).splitlines(keepends=True)
    importing.rows("".join(lines[:400]))
    before = importing.digest()

    rehearsed = importing.rows("".join(lines), dry_run=True)

    assert (rehearsed.already_there, rehearsed.bad, rehearsed.warnings) == (400, 0, 0)
    assert importing.digest() == before


def test_another_import_of_the_same_file_gives_every_projection_of_deals_the_same_digest(
    importing, many_rows
):
    rows = many_rows(100)
    importing.rows(rows)

    with _another(importing) as other:
        other.rows(rows)
        here, there = importing.recorded(), other.recorded()

    assert not {e.meta.event_id for e in here} & {e.meta.event_id for e in there}
    ours, theirs = replay(here), replay(there)
    assert {name for name in ours if ours[name] != theirs[name]} == {"playbook"}, (
        "which is known since the import"
    )


def _clean_digest(importing, rows):
    """The digest of the same rows imported at once into a database of its own."""
    with _another(importing) as clean:
        clean.rows(rows)
        return clean.digest()


@contextmanager
def _another(importing):
    """An importer into a database of its own."""
    with scratch_database(importing.database) as fresh:
        migrate(fresh.owner_url)
        clean = type(importing)(fresh, importing.folder)
        try:
            yield clean
        finally:
            clean.log.close()
