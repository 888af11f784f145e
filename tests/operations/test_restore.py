"""A restore is all or nothing, into an empty database, verified, by the owner, and as a new epoch."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
import psycopg
import pytest

from api.queries_system import readiness
from domain.deal import OpenDeal
from domain.errors import CommandIdReused
from infra import recalibration_jobs as jobs
from infra.backup import DamagedBackup, NotEmpty, NotFitting, restore, write_backup
from infra.connection import LogConnection
from infra.event_store import read_head
from infra.executor import Executor
from infra.migrations import migrate, numbered
from infra.postgres import Server, scratch_database
from infra.snapshot import one_snapshot
from infra.vault import read_texts
from infra.verify import verify_log
from projections.engine import adopting
from projections.engine.adopting import adopt_log, foreign
from projections.engine.catalogue import catalogue
from projections.engine.checkpoints import ForeignLog, ensure
from projections.engine.connecting import connect
from projections.engine.rebuilding import Cancelled, rebuild
from projections.engine.replaying import replay_log
from projections.engine.retiring import retire
from projections.engine.running import run_to_head
from projections.engine.switches import switches
from tests.cli.conftest import program_on
from tests.operations.conftest import (
    DATA,
    DEALS,
    EMPTY,
    SECRET,
    contents,
    digests,
    rows,
    tell_more,
    the_command,
    the_row,
    told,
)
from tests.store.log import ask
from workers.restorer import restore_backup
from workers.verifier import prove

ROOT = Path(__file__).parents[2]


def head(server: Server) -> tuple[int, int]:
    """The epoch and the position."""
    return rows(server, "SELECT epoch, position FROM dealtrace.log_head")[0]


def clean_run(server: Server) -> dict[str, str]:
    """What the projections should hold."""
    with one_snapshot(server.app_url, "test") as conn:
        return replay_log(conn, read_head(conn).position, list(catalogue().values()))


def lose_the_log(server: Server) -> None:
    """A disaster, after which the projections are still there."""
    rows(server, f"TRUNCATE {', '.join(f'dealtrace.{table}' for table in DATA)}")


@pytest.mark.parametrize("target", ["bare", "migrated"])
def test_everything_is_there_again_in_a_new_epoch(
    told_once: Server, target: str, file: Path, request: pytest.FixtureRequest
) -> None:
    database: Server = request.getfixturevalue(target)
    manifest = write_backup(told_once.app_url, file)
    outcome = restore_backup(database, file)
    assert contents(database) == contents(told_once)
    key = "SELECT command_key FROM dealtrace.secrets"
    assert rows(database, key) == rows(told_once, key)
    assert head(database) == (2, manifest.position)
    assert rows(database, "SELECT epoch, after_position FROM dealtrace.epochs ORDER BY 1") == [
        (1, 0), (2, manifest.position),
    ]  # fmt: skip
    assert outcome.restored.root == manifest.root
    assert digests(database) == clean_run(told_once)
    assert prove(database.app_url, digests=True).problems == ()


def test_recalibrations_and_the_memory_of_switches_go_on_where_they_were(
    told_once: Server, bare: Server, file: Path
) -> None:
    """What ran is begun again, what waits is taken up, and a retry of asking for it is known."""
    write_backup(told_once.app_url, file)
    restore_backup(bare, file)
    with connect(bare.app_url) as conn:
        assert jobs.any_open(conn)
        waiting = jobs.Wanted("tas_plus", datetime(2026, 3, 1, tzinfo=UTC), None, 2, 10, "alice", "admin")
        again = jobs.ask(conn, waiting, jobs.Key("again", b"the request"))
        taken = jobs.take(conn)
        assert taken is not None
        assert (again.repeated, again.job.id) == (True, taken.id)
        version = catalogue()["deals"].version
        conn.execute(
            "INSERT INTO dealtrace.switches (what, projection, to_version, position) VALUES ('switch', 'deals', %s, 4)",
            [version + 1],
        )
        assert [one.what for one in switches(conn)] == ["switch", "rollback", "switch"]
    assert [n for (n,) in rows(bare, "SELECT number FROM dealtrace.switches ORDER BY 1")] == [1, 2, 3]


def test_where_another_release_answered_it_is_remembered_that_this_one_does_since_the_restore(
    told_log: Server, bare: Server, file: Path
) -> None:
    version = catalogue()["deals"].version
    rows(
        told_log,
        "INSERT INTO dealtrace.switches (what, projection, from_version, to_version, position)"
        " VALUES ('switch', 'deals', %s, %s, 5)",
        version,
        version + 1,
    )
    manifest = write_backup(told_log.app_url, file)
    restore_backup(bare, file)
    with connect(bare.app_url) as conn:
        last = switches(conn)[-1]
        assert (last.what, last.projection, last.from_version, last.to_version, last.position) == (
            "restored", "deals", version + 1, version, manifest.position,
        )  # fmt: skip
    assert retire(bare.app_url) == [], "nothing stands in the way of this release"


def test_it_goes_on_where_the_log_ended(told_once: Server, bare: Server, file: Path) -> None:
    manifest = write_backup(told_once.app_url, file)
    first = told(told_once, the_command(DEALS[0]), the_row())
    restore(bare.owner_url, file)
    assert told(bare, the_command(DEALS[0]), the_row()) == first  # a retry and a row imported already
    assert head(bare)[1] == manifest.position
    (new,) = told(bare, ask(OpenDeal(funnel="tas_plus")))
    assert new.position == manifest.position + 1
    with one_snapshot(bare.app_url, "test") as conn:
        assert verify_log(conn).problems == ()
        ids = [i for (i,) in conn.execute("SELECT id FROM dealtrace.vault").fetchall()]
        assert set(read_texts(conn, ids).values()) == {SECRET}


def test_without_the_vault_a_remembered_command_is_known_and_its_retry_refused(
    told_once: Server, bare: Server, file: Path
) -> None:
    write_backup(told_once.app_url, file, without_vault=True)
    restore_backup(bare, file)
    before = head(bare)
    with closing(LogConnection(bare.app_url)) as connection:
        (answer,) = Executor(connection).execute([the_command(DEALS[0])])
        assert isinstance(answer, CommandIdReused), "whether it is the same can not be said without the key"
        assert head(bare) == before
    told(bare, ask(OpenDeal(funnel="tas_plus", name="told since")))
    assert rows(bare, "SELECT text FROM dealtrace.vault") == [("told since",)]


def test_the_same_event_after_the_restore_has_another_leaf(
    told_log: Server, bare: Server, file: Path
) -> None:
    write_backup(told_log.app_url, file)
    restore(bare.owner_url, file)
    columns = "originator_id, originator_version, topic, state, notification_id, recorded_at"
    tell_more(told_log)
    with psycopg.connect(told_log.owner_url) as one, psycopg.connect(bare.owner_url) as other:
        late = one.execute(
            f"SELECT {columns} FROM dealtrace.events ORDER BY notification_id DESC LIMIT 1"
        ).fetchone()
        assert late is not None
        at = late[4]
        for row in one.execute(
            f"SELECT {columns} FROM dealtrace.events WHERE notification_id > %s", [at - 3]
        ):
            other.execute(f"INSERT INTO dealtrace.events ({columns}) VALUES (%s, %s, %s, %s, %s, %s)", row)
        other.execute("UPDATE dealtrace.log_head SET position = %s, recorded_at = %s", [at, late[5]])
        ours, theirs = verify_log(one), verify_log(other)
    assert (ours.problems, theirs.problems) == ((), ())
    assert ours.root != theirs.root


@pytest.mark.parametrize("table", DATA)
def test_a_database_with_a_single_row_is_not_empty(
    told_once: Server, untouched: Server, file: Path, table: str
) -> None:
    write_backup(told_once.app_url, file)
    row = {
        "events": "(gen_random_uuid(), 1, 'x', '', 1, now())",
        "command_results": "('a', 'b', '', '', now())",
        "import_ledger": "(gen_random_uuid(), 'x', 1)",
        "vault": "(gen_random_uuid(), gen_random_uuid(), '', 'x')",
        "recalibration_records": "(gen_random_uuid(), '', 'x', now(), now(), '{}')",
        "recalibration_jobs": "(gen_random_uuid(), 'x', now(), NULL, 1, 10, 'a', 'admin')",
        "switches": "(DEFAULT, now(), 'switch', 'deals', 1, 2, 3)",
    }
    rows(untouched, f"INSERT INTO dealtrace.{table} VALUES {row[table]}")
    try:
        before = contents(untouched)
        with pytest.raises(NotEmpty, match=f"dealtrace.{table} has rows"):
            restore(untouched.owner_url, file)
        assert contents(untouched) == before
        assert head(untouched) == (1, 0)
    finally:
        rows(untouched, f"TRUNCATE dealtrace.{table}")


@pytest.mark.parametrize("target", ["bare", "untouched"])
def test_the_application_may_not_restore(
    told_once: Server, target: str, file: Path, request: pytest.FixtureRequest
) -> None:
    database: Server = request.getfixturevalue(target)
    write_backup(told_once.app_url, file)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        restore(database.app_url, file)
    if target == "untouched":
        assert contents(database) == EMPTY
        assert head(database) == (1, 0)


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def something_else(file: Path) -> None:
    file.write_bytes(b"a letter")


def changed(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The backup with other contents, in a ZIP file that is well-formed."""
    with ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def with_another_owner(file: Path) -> None:
    """Deals of somebody else's; whoever did this did not know of the manifest's SHA-256."""

    def change(files: dict[str, bytes]) -> None:
        files["events.copy"] = files["events.copy"].replace(b'"anna"', b'"otto"')

    changed(file, change)


def with_another_owner_and_hash(file: Path) -> None:
    """The same by somebody who mended the SHA-256: only the log root tells."""

    def change(files: dict[str, bytes]) -> None:
        events = files["events.copy"].replace(b'"anna"', b'"otto"')
        old, new = (
            hashlib.sha256(content).hexdigest().encode() for content in (files["events.copy"], events)
        )
        files |= {"events.copy": events, "manifest.json": files["manifest.json"].replace(old, new)}

    changed(file, change)


def without_a_table(file: Path) -> None:
    changed(file, lambda files: files.__delitem__("vault.copy"))


@pytest.mark.parametrize(
    "damage",
    [flipped, cut_short, something_else, with_another_owner, with_another_owner_and_hash, without_a_table],
)
def test_a_damaged_backup_restores_nothing(
    told_once: Server, untouched: Server, file: Path, damage: Callable[[Path], None]
) -> None:
    write_backup(told_once.app_url, file)
    damage(file)
    with pytest.raises(DamagedBackup):
        restore(untouched.owner_url, file)
    assert contents(untouched) == EMPTY
    assert head(untouched) == (1, 0)
    assert rows(untouched, "SELECT epoch FROM dealtrace.epochs") == [(1,)]


def test_killed_before_its_commit_it_leaves_an_empty_database(
    told_once: Server, bare: Server, file: Path
) -> None:
    write_backup(told_once.app_url, file)
    work = "import sys; from pathlib import Path; from infra.backup import restore; restore(sys.stdin.read(), Path(sys.argv[1]))"
    killed = subprocess.run(
        [sys.executable, "-c", work, str(file)],
        input=bare.owner_url,
        text=True,
        env={**os.environ, "DEALTRACE_FAILPOINTS": "restore.before_commit=kill"},
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -9
    assert contents(bare) == EMPTY
    restore(bare.owner_url, file)
    assert contents(bare) == contents(told_once)


def test_the_backup_of_an_older_release_is_brought_up_to_date(
    server: Server, bare: Server, file: Path
) -> None:
    with scratch_database(server) as old:
        migrate(old.owner_url, upto=1)
        assert write_backup(old.app_url, file).migrations == (1,)
    restore(bare.owner_url, file)
    assert [n for (n,) in rows(bare, "SELECT number FROM dealtrace.migrations ORDER BY 1")] == sorted(
        numbered()
    )


def test_the_backup_of_a_newer_release_or_of_other_tables_is_refused(
    told_once: Server, untouched: Server, file: Path
) -> None:
    manifest = write_backup(told_once.app_url, file)

    def migrations(numbers: tuple[int, ...]) -> None:
        other = msgspec.json.encode(msgspec.structs.replace(manifest, migrations=numbers))
        changed(file, lambda files: files.update({"manifest.json": other}))

    migrations((*manifest.migrations, 9999))
    with pytest.raises(NotFitting, match=r"newer release.*\[9999\]"):
        restore(untouched.owner_url, file)
    migrations((1,))
    with pytest.raises(NotFitting, match="restore into a database without tables"):
        restore(untouched.owner_url, file)


@pytest.mark.parametrize("small", [0, adopting.SMALL], ids=["rebuilt", "caught up"])
def test_projections_ahead_of_the_backup_are_refused_until_told(
    told_log: Server, file: Path, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting, "SMALL", small)
    write_backup(told_log.app_url, file)
    tell_more(told_log)
    ahead = run_to_head(told_log.app_url)
    lose_the_log(told_log)
    outcome = restore_backup(told_log, file)
    assert {f.position for f in outcome.foreign} == {ahead}
    assert {f.projection for f in outcome.foreign} == set(catalogue())

    told(
        told_log, *(ask(OpenDeal(funnel="tas_plus")) for _ in range(9))
    )  # it comes to where they stand, and beyond
    assert head(told_log)[1] > ahead
    with pytest.raises(ForeignLog, match=r"epoch 1, but this is log .*, epoch 2"):
        run_to_head(told_log.app_url)
    with pytest.raises(psycopg.errors.UndefinedTable):
        digests(told_log)  # nor does anybody get an answer out of them
    with connect(told_log.app_url) as conn:
        assert (
            "The projection deals stands on another log: run dealtrace projections adopt-log."
            in readiness(conn).missing
        )

    assert adopt_log(told_log.app_url) == list(catalogue())
    run_to_head(told_log.app_url)
    assert digests(told_log) == clean_run(told_log)
    assert adopt_log(told_log.app_url) == []


def test_neither_what_was_parked_nor_a_rebuild_under_way_goes_on_after_a_restore(
    told_log: Server, file: Path
) -> None:
    deals = catalogue()["deals"]
    write_backup(told_log.app_url, file)
    tell_more(told_log)
    run_to_head(told_log.app_url)
    rows(
        told_log,
        "INSERT INTO projection.parked SELECT 'deals', %s, 1, originator_id, notification_id, originator_id,"
        " originator_version, 'a mistake' FROM dealtrace.events ORDER BY notification_id DESC LIMIT 1",
        deals.version,
    )
    stop = threading.Event()
    with pytest.raises(Cancelled):
        rebuild(
            told_log.app_url, projections=[deals], processes=1, range_events=2, stop=stop,
            progress=lambda *_: stop.set(),
        )  # fmt: skip
    assert rows(told_log, "SELECT count(*) FROM projection.rebuilds") == [(1,)]
    lose_the_log(told_log)
    restore_backup(told_log, file)
    adopt_log(told_log.app_url)
    for left in ("parked", "rebuilds", "rebuild_ranges"):
        assert rows(told_log, f"SELECT count(*) FROM projection.{left}") == [(0,)]
    assert digests(told_log) == clean_run(told_log)
    assert prove(told_log.app_url, digests=True).problems == ()


def test_the_operator_is_told_so_and_by_which_verb(told_log: Server, file: Path, tmp_path: Path) -> None:
    dealtrace = program_on(told_log, tmp_path)
    write_backup(told_log.app_url, file)
    tell_more(told_log)
    run_to_head(told_log.app_url)
    lose_the_log(told_log)
    restored = dealtrace("restore", str(file))
    assert restored.code == 1
    assert restored.err.splitlines()[-1] == "hint: dealtrace projections adopt-log"
    refused = dealtrace("deals")
    assert refused.code == 1
    assert "epoch 1, but this is log" in refused.err.splitlines()[0]
    assert refused.err.splitlines()[-1] == "hint: dealtrace projections adopt-log"
    assert dealtrace("projections", "adopt-log").code == 0
    assert len(dealtrace("deals", "--format", "json").json["deals"]) == len(DEALS)


def test_restored_twice_it_is_not_taken_for_the_first_time(told_log: Server, file: Path) -> None:
    write_backup(told_log.app_url, file)
    for epoch in (2, 3):
        lose_the_log(told_log)
        assert restore(told_log.owner_url, file).epoch == epoch
    run_to_head(told_log.app_url)
    rows(told_log, "UPDATE dealtrace.log_head SET log_id = gen_random_uuid(), epoch = 1")
    lose_the_log(told_log)  # even the head is another, but the projections have seen epoch 3
    assert restore_backup(told_log, file).restored.epoch == 4


def test_an_epoch_that_another_place_has_used_can_be_skipped(
    told_once: Server, bare: Server, file: Path
) -> None:
    write_backup(told_once.app_url, file)
    assert restore(bare.owner_url, file, least_epoch=5).epoch == 5
    with one_snapshot(bare.app_url, "test") as conn:
        assert verify_log(conn).problems == ()


def test_projections_that_hold_nothing_yet_follow_the_restored_log(
    told_once: Server, migrated: Server, file: Path
) -> None:
    with connect(migrated.app_url) as conn:
        ensure(conn, catalogue().values())  # as a projector does that was started first
    write_backup(told_once.app_url, file)
    assert restore_backup(migrated, file).foreign == ()
    assert digests(migrated) == clean_run(told_once)
    with connect(migrated.app_url) as conn:
        assert foreign(conn) == []


def test_one_projection_that_holds_something_makes_all_of_them_wait(told_log: Server, file: Path) -> None:
    write_backup(told_log.app_url, file)
    run_to_head(told_log.app_url, projections=[catalogue()["deals"]])
    with connect(told_log.app_url) as conn:
        ensure(conn, catalogue().values())
    lose_the_log(told_log)
    assert {f.projection for f in restore_backup(told_log, file).foreign} == set(catalogue())
    adopt_log(told_log.app_url)
    assert digests(told_log) == clean_run(told_log)
