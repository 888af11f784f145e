"""A large file is shared out to several processes, and what comes of it is what one of them makes of it."""

import gzip
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.executor import Executor
from infra.failpoints import VARIABLE
from infra.migrations import migrate
from infra.postgres import scratch_database
from tests.store.log import wait_until
from workers.importer import UnusableInput, run_import
from workers.importer.rows import shares
from workers.importer.run import LARGE
from workers.importer.side_by_side import ProcessDied

PROGRAM = """
import sys
from pathlib import Path
from infra.connection import LogConnection
from infra.executor import Executor
from workers.importer import load_mapping, run_import
url, file, mapping = sys.argv[1:]
log = LogConnection(url)
run_import(Executor(log), log, Path(file), load_mapping(Path(mapping)), "history", processes=2)
"""


@pytest.fixture
def alone(mapping_text: str) -> str:
    """A mapping whose deals have nothing in common."""
    return mapping_text.replace(', Account = "account"', "")


def imported(
    importing, file: Path, mapping: str, processes: int | None, progress=lambda _: None, kind="history"
):
    """The summary of an import by so many processes; its problems are `importing.problems`."""
    importing.problems = []
    return run_import(
        Executor(importing.log),
        importing.log,
        file,
        importing.mapping(mapping),
        kind,
        processes=processes,
        report=importing.problems.append,
        progress=progress,
    )


def is_there(group: int) -> bool:
    """Whether a process of the group still runs."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, its_group, *_ = stat.read_text().rpartition(")")[2].split()
            if int(its_group) == group and state != "Z":
                return True
    return False


def spoilt(rows: str) -> str:
    """The rows with one in 37 of another stage, and one in 41 that lacks a column."""
    lines = rows.splitlines(keepends=True)
    lines[::37] = [line.replace("Second", "Moon").replace("created", "Colour") for line in lines[::37]]
    lines[::41] = [line.rpartition(",")[0] + "\n" for line in lines[::41]]
    return "".join(lines)


def counted(summary) -> tuple:
    """Everything that a summary counts; positions and times are of one run."""
    fields = ("rows", "events", "already_there", "ignored", "bad", "warnings", "deals", "opened")
    return tuple(getattr(summary, field) for field in fields)


def elsewhere(importing, work):
    """What the work comes to in an empty database, and the digest of its log."""
    with scratch_database(importing.database) as empty:
        migrate(empty.owner_url)
        there = type(importing)(empty, importing.folder)
        try:
            return work(there), there.digest(), there.problems
        finally:
            there.log.close()


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_do_what_one_does(importing, many_rows, alone, processes):
    file = importing.written("deal,at,by,field,old,new\n" + spoilt(many_rows(900)))

    summary = imported(importing, file, alone, processes)

    one, digest, problems = elsewhere(importing, lambda there: imported(there, file, alone, 1))
    assert counted(summary) == counted(one)
    assert importing.problems == problems
    assert len(problems) > 400
    assert importing.digest() == digest
    positions = [event.position for event in importing.recorded()]
    assert positions == list(range(1, summary.position + 1))

    again = imported(importing, file, alone, processes)
    assert (again.events, again.bad) == (0, one.bad)


def test_so_it_is_with_activities(importing, many_rows, alone):
    file = importing.written("deal,at,by,field,old,new\n" + many_rows(50))
    imported(importing, file, alone, 1)
    calls = "".join(f"d{n % 60},2026-01-31T09:{n % 60:02}:00Z,ann,Call,5,\n" for n in range(600))
    calls = importing.written("deal,at,by,kind,minutes,note\n" + calls, "calls.csv")

    summary = imported(importing, calls, alone, 2, kind="activities")

    # The last ten deals are not there; identical rows are told apart by their number, wherever they are counted.
    assert (summary.rows, summary.events, summary.bad) == (600, 500, 100)
    assert {p.deal for p in importing.problems} == {f"d{n}" for n in range(50, 60)}
    lines = [p.line for p in importing.problems]
    assert lines == sorted(lines)
    assert imported(importing, calls, alone, 3, kind="activities").events == 0


def test_rows_of_one_moment_open_a_deal_together_only_when_they_follow_one_another(importing, alone):
    rows = "".join(
        f"{a},2026-01-01T09:00Z,,created,,First\n"
        f"{b},2026-01-01T09:00Z,,created,,First\n"
        f"{a},2026-01-01T09:00Z,,Amount,,5\n"
        for a, b in [(f"a{n}", f"b{n}") for n in range(8)]
    )
    file = importing.written("deal,at,by,field,old,new\n" + rows)

    imported(importing, file, alone, 3)

    topics = [[topic for topic, _ in importing.events(f"a{n}")] for n in range(8)]
    assert topics == [["deal.opened", "deal.amount_revised"]] * 8


@pytest.mark.parametrize(
    ("text", "instead"),
    [('Region = "region"', 'Account = "account"'), ('new = "new" }', 'new = "new", id = "by" }')],
)
def test_deals_that_share_accounts_or_ids_of_rows_are_left_to_one_process(
    importing, many_rows, alone, text, instead
):
    children = []
    file = importing.written("deal,at,by,field,old,new\n" + many_rows(20))

    imported(
        importing,
        file,
        alone.replace(text, instead, 1),
        4,
        progress=lambda _: children.extend(multiprocessing.active_children()),
    )

    assert children == []


def test_a_small_file_is_not_worth_another_process_and_a_large_one_is(importing, many_rows, alone):
    rows = many_rows(150)
    children, small = [], importing.written("deal,at,by,field,old,new\n" + rows)
    assert small.stat().st_size < LARGE / 10

    def look(_) -> None:
        children.extend(multiprocessing.active_children())

    imported(importing, small, alone, None, progress=look)
    assert children == []

    large = importing.written("deal,at,by,field,old,new\n" + rows + "\n" * LARGE, "large.csv")
    assert imported(importing, large, alone, None, progress=look).events == 0
    assert len(children) > 0 or os.cpu_count() == 1


def test_when_a_process_dies_the_import_says_so_and_continues_the_next_time(importing, many_rows, alone):
    file = importing.written("deal,at,by,field,old,new\n" + many_rows(900))
    before = []

    def kill(_) -> None:
        for child in multiprocessing.active_children():
            before.append(child.pid)
            child.kill()
            child.join()

    with pytest.raises(ProcessDied, match="ended with -9; run the same command again"):
        imported(importing, file, alone, 3, progress=kill)
    assert len(set(before)) == 2

    rest = imported(importing, file, alone, 2)

    assert 0 < rest.already_there < rest.rows
    assert importing.digest() == elsewhere(importing, lambda there: imported(there, file, alone, 1))[1]


def test_interrupted_it_ends_its_processes(importing, many_rows, alone):
    def interrupt(_) -> None:
        raise KeyboardInterrupt

    file = importing.written("deal,at,by,field,old,new\n" + many_rows(900))
    with pytest.raises(KeyboardInterrupt):
        imported(importing, file, alone, 3, progress=interrupt)
    assert multiprocessing.active_children() == []

    imported(importing, file, alone, 2)
    assert importing.digest() == elsewhere(importing, lambda there: imported(there, file, alone, 1))[1]


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", ["append.before_commit", "append.after_commit"])
def test_killed_as_a_whole_it_leaves_no_process_behind_and_ends_as_a_clean_one(
    importing, many_rows, alone, failpoint
):
    file = importing.written("deal,at,by,field,old,new\n" + many_rows(900))
    importing.mapping(alone)
    arguments = [importing.database.app_url, str(file), str(importing.folder / "mapping.toml")]
    killed = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, VARIABLE: f"{failpoint}=kill@3", "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    )
    assert killed.wait(60) == -signal.SIGKILL
    wait_until(lambda: not is_there(killed.pid))

    imported(importing, file, alone, 2)

    assert importing.digest() == elsewhere(importing, lambda there: imported(there, file, alone, 1))[1]


def test_a_damaged_file_is_a_damaged_file_to_all_of_them(importing, many_rows, alone):
    whole = gzip.compress(("deal,at,by,field,old,new\n" + many_rows(900)).encode())
    file = importing.written(whole[: len(whole) * 2 // 3], "cut.csv.gz")

    with pytest.raises(UnusableInput, match="is damaged after line"):
        imported(importing, file, alone, 2)

    assert multiprocessing.active_children() == []


@given(st.text(), st.text(" \t\u00a0\u2003", max_size=2), st.integers(1, 5), st.floats(0, 0.2))
def test_each_deal_belongs_to_one_share_whatever_space_is_around_it(deal, space, of, lead):
    theirs = [share for share in shares(of, lead) if share.has(deal)]

    assert len(theirs) == 1
    assert theirs[0].has(space + deal + space)


def test_the_first_share_is_larger_by_what_it_does_while_the_others_start():
    parts = [sum(share.has(f"d{n}") for n in range(10_000)) for share in shares(3, lead=0.1)]

    assert sum(parts) == 10_000
    assert parts == [pytest.approx(part, rel=0.05) for part in (4_000, 3_000, 3_000)]
