"""A backup is of one moment while others write, whole or not there, and says what it holds."""

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest

from domain.deal import OpenDeal
from infra.backup import BackupExists, LogNotWhole, read_manifest, restore, write_backup
from infra.connection import LogConnection
from infra.executor import Executor
from infra.ids import new_id
from infra.postgres import Server
from infra.snapshot import one_snapshot
from infra.verify import log_root
from tests.cli.conftest import program_on
from tests.operations.conftest import DATA, SECRET, rows, told
from tests.store.log import ask

ROOT = Path(__file__).parents[2]


def test_the_manifest_says_what_the_backup_is_of(told_once: Server, file: Path) -> None:
    manifest = write_backup(told_once.app_url, file)
    assert read_manifest(file) == manifest
    with one_snapshot(told_once.app_url, "test") as conn:
        now = log_root(conn)
    assert (manifest.log_id, manifest.epoch, manifest.position, manifest.root) == (
        now.log_id, now.epoch, now.position, now.root,
    )  # fmt: skip
    held = {table.name: table.rows for table in manifest.tables}
    assert held == {t: rows(told_once, f"SELECT count(*) FROM dealtrace.{t}")[0][0] for t in held}
    assert min(held[table] for table in DATA) > 0


def test_every_table_of_the_log_is_in_it(told_log: Server, file: Path) -> None:
    rows(told_log, "CREATE TABLE dealtrace.of_a_later_release (x int)")
    rows(told_log, "GRANT SELECT ON dealtrace.of_a_later_release TO dealtrace_app")
    names = {table.name for table in write_backup(told_log.app_url, file).tables}
    there = {n for (n,) in rows(told_log, "SELECT tablename FROM pg_tables WHERE schemaname = 'dealtrace'")}
    assert there - names == {"migrations"}


def test_it_is_of_one_moment_while_others_write(told_log: Server, bare: Server, file: Path) -> None:
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        with closing(LogConnection(told_log.app_url)) as connection:
            executor = Executor(connection)
            while not stop.is_set():
                command = OpenDeal(funnel="tas_plus", name=SECRET)
                executor.execute([ask(command, command_id=str(new_id()), digest=b"x")])
                begun.set()

    before = rows(told_log, "SELECT position FROM dealtrace.log_head")[0][0]
    known = [
        rows(told_log, f"SELECT count(*) FROM dealtrace.{t}")[0][0] for t in ("command_results", "vault")
    ]
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        manifest = write_backup(told_log.app_url, file)
        for _ in range(2):  # the second one at least was begun since
            begun.clear()
            assert begun.wait(60)
    finally:
        stop.set()
        writer.join()
    assert before < manifest.position < rows(told_log, "SELECT position FROM dealtrace.log_head")[0][0]
    with one_snapshot(told_log.app_url, "test") as conn:
        assert log_root(conn, manifest.position).root == manifest.root
    restore(bare.owner_url, file)
    events, results, texts = (
        rows(bare, f"SELECT count(*) FROM dealtrace.{t}")[0][0]
        for t in ("events", "command_results", "vault")
    )
    assert events == manifest.position
    since = manifest.position - before  # each command brought one event, result and text
    assert [results, texts] == [known[0] + since, known[1] + since]


def test_only_its_owner_may_read_it_and_nothing_else_is_left(told_once: Server, file: Path) -> None:
    write_backup(told_once.app_url, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_there_is_not_replaced(told_once: Server, file: Path) -> None:
    file.write_text("precious")
    with pytest.raises(BackupExists, match="exists already"):
        write_backup(told_once.app_url, file)
    assert file.read_text() == "precious"


def test_without_the_vault_no_name_is_in_it(told_once: Server, bare: Server, file: Path) -> None:
    def mentions() -> bool:
        with ZipFile(file) as archive:
            return any(SECRET.encode() in archive.read(name) for name in archive.namelist())

    whole = write_backup(told_once.app_url, file)
    assert mentions()
    file.unlink()
    manifest = write_backup(told_once.app_url, file, without_vault=True)
    assert not mentions()
    assert manifest.left_out == ("secrets", "vault")
    assert manifest.root == whole.root  # what is proven does not depend on it
    restore(bare.owner_url, file)
    assert rows(bare, "SELECT * FROM dealtrace.vault") == []


def test_a_log_that_is_not_whole_is_not_backed_up(told_log: Server, file: Path) -> None:
    rows(told_log, "DELETE FROM dealtrace.events WHERE notification_id = 4")
    with pytest.raises(LogNotWhole, match="positions 4 to 4 are missing"):
        write_backup(told_log.app_url, file)
    assert list(file.parent.iterdir()) == []


def test_killed_before_it_is_whole_there_is_no_file_of_that_name(told_once: Server, file: Path) -> None:
    work = "import sys; from pathlib import Path; from infra.backup import write_backup; write_backup(sys.stdin.read(), Path(sys.argv[1]))"
    killed = subprocess.run(
        [sys.executable, "-c", work, str(file)],
        input=told_once.app_url,
        text=True,
        env={**os.environ, "DEALTRACE_FAILPOINTS": "backup.before_rename=kill"},
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -9
    assert not file.exists()


def test_psql_can_read_it_without_this_program(told_once: Server, bare: Server, file: Path) -> None:
    manifest = write_backup(told_once.app_url, file)
    table = next(t for t in manifest.tables if t.name == "vault")
    columns = ", ".join(f"{c.name} {c.type}" for c in table.columns)
    rows(bare, f"CREATE TABLE mine ({columns})")
    with psycopg.connect(bare.owner_url) as conn, ZipFile(file) as archive:
        with conn.cursor() as cursor, cursor.copy("COPY mine FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(archive.read("vault.copy"))
        assert conn.execute("SELECT DISTINCT text FROM mine").fetchall() == [(SECRET,)]


def test_from_the_command_line_backup_restore_and_verify(
    told_once: Server, bare: Server, tmp_path: Path
) -> None:
    source, target = program_on(told_once, tmp_path), program_on(bare, tmp_path)
    made = source("backup", "a.dealtrace")
    assert made.code == 0, made.err
    root = made.err.split()[-1]
    restored = target("restore", "a.dealtrace")
    assert restored.code == 0, restored.err
    assert restored.err.splitlines()[-1] == "The projections reflect all of it."
    proven = target("verify", "--digests", "--expect", root, "--format", "json")
    assert proven.code == 0, proven.err
    assert f"{proven.json['root']}@{proven.json['position']}" == root
    assert proven.json["epoch"] == 2
    assert len(told(bare, ask(OpenDeal(funnel="tas_plus")))) == 1
