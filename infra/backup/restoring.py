"""Restoring a backup: into an empty database, all of it or nothing, as a new epoch of the same log."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import msgspec
import psycopg
from psycopg import Connection, sql

from infra.backup.manifest import (
    BLOCK,
    MIGRATIONS,
    SECRETS,
    DamagedBackup,
    Manifest,
    Progress,
    Saved,
    columns_of_tables,
    copy_statement,
    opened_backup,
)
from infra.failpoints import failpoint
from infra.migrations import migrate, numbered
from infra.sessions import Session
from infra.verify import verify_log

_MADE_BY_MIGRATIONS = {"log_head", "epochs", SECRETS, MIGRATIONS}
"""Tables that have rows already in an empty database."""

Then = Callable[[Connection[Any]], None]


class NotEmpty(Exception):
    """The database holds something; a backup is restored into an empty one only."""


class NotFitting(Exception):
    """The backup and this release or this database can not be brought together; the message says why."""


class Restored(msgspec.Struct, frozen=True):
    """The log as it stands now: the backup's, in an epoch of its own. `rows` are those of all tables."""

    log_id: UUID
    epoch: int
    position: int
    root: str
    rows: int
    left_out: tuple[str, ...]


def restore(
    owner_url: str,
    file: Path,
    *,
    least_epoch: int = 0,
    and_then: Then = lambda _conn: None,
    progress: Progress = lambda *_: None,
) -> Restored:
    """Restore a backup into an empty database, migrated or not, and begin the next epoch, at least `least_epoch`.

    What was loaded is read again and compared with the backup's log root before anything is committed. `and_then`
    runs on the owner's connection in the same transaction. Interrupted or refused, it leaves an empty database.
    Raises DamagedBackup, NotEmpty, NotFitting, OSError.
    """
    with opened_backup(file) as (archive, manifest):
        _prepare(owner_url, manifest)
        with Session.open(owner_url, "dealtrace restore") as conn:
            with conn.transaction():
                # Whoever would append waits here, and then finds a log that is not the one it had in mind.
                conn.execute("LOCK TABLE dealtrace.log_head IN ACCESS EXCLUSIVE MODE")
                refuse_unless_empty(conn)
                before = conn.execute("SELECT log_id, epoch FROM dealtrace.log_head").fetchone()
                if before is not None and before[0] == manifest.log_id:
                    least_epoch = max(least_epoch, before[1] + 1)  # the same log was here, and was lost
                _load_all(conn, archive, manifest, progress)
                _check(conn, manifest, progress)
                epoch = _begin_epoch(conn, manifest, least_epoch)
                and_then(conn)
                failpoint("restore.before_commit", conn)
            for table in manifest.tables:
                conn.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier("dealtrace", table.name)))
    migrate(owner_url)
    rows = sum(table.rows for table in manifest.tables)
    return Restored(manifest.log_id, epoch, manifest.position, manifest.root, rows, manifest.left_out)


def refuse_unless_empty(conn: Connection[Any]) -> None:
    """Raise NotEmpty when any table of the log has a row that no migration made. Tables need not exist."""
    found = conn.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('dealtrace') AND relkind IN ('r', 'p')"
        " ORDER BY relname"
    ).fetchall()
    for (table,) in found:
        if table in _MADE_BY_MIGRATIONS:
            continue
        query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier("dealtrace", table))
        if conn.execute(query).fetchone() == (True,):
            raise NotEmpty(
                f"The database is not empty: dealtrace.{table} has rows, and a restore replaces nothing"
            )


def _prepare(owner_url: str, manifest: Manifest) -> None:
    """Give the database the tables that the backup was made of."""
    if unknown := sorted(set(manifest.migrations) - numbered().keys()):
        raise NotFitting(
            f"The backup was made by a newer release: this one does not know the migrations {unknown}"
        )
    with Session.open(owner_url, "dealtrace restore") as conn:
        refuse_unless_empty(conn)
        done: set[int] = set()
        if conn.execute("SELECT to_regclass('dealtrace.migrations')").fetchone() != (None,):
            done = {n for (n,) in conn.execute("SELECT number FROM dealtrace.migrations")}
    if done - set(manifest.migrations):
        raise NotFitting(
            f"The backup is of a database with the migrations {list(manifest.migrations)} and this one has"
            f" {sorted(done)}: restore into a database without tables, which are then brought up to date"
        )
    migrate(owner_url, upto=max(manifest.migrations))


def _load_all(conn: Connection[Any], archive: ZipFile, manifest: Manifest, progress: Progress) -> None:
    here = columns_of_tables(conn)
    there = {table.name: table.columns for table in manifest.tables}
    if {name: columns for name, columns in here.items() if name not in manifest.left_out} != there:
        raise NotFitting("The tables of the backup are not those that its migrations make")
    for table in manifest.tables:
        if table.name in _MADE_BY_MIGRATIONS:
            conn.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("dealtrace", table.name)))
        _load(conn, archive, table, progress)
        _number_on(conn, table.name)
        conn.execute(sql.SQL("ANALYZE {}").format(sql.Identifier("dealtrace", table.name)))


def _load(conn: Connection[Any], archive: ZipFile, table: Saved, progress: Progress) -> None:
    digest, done, size = hashlib.sha256(), 0, archive.getinfo(table.file).file_size
    with conn.cursor() as cursor:
        try:
            with (
                archive.open(table.file) as source,
                cursor.copy(copy_statement(table.name, table.columns, "FROM STDIN")) as copy,
            ):
                while block := source.read(BLOCK):
                    digest.update(block)
                    copy.write(block)
                    done += len(block)
                    progress(f"Loading {table.name}", done, size)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DamagedBackup(f"{table.file} can not be loaded: {reason}") from error
        rows = cursor.rowcount
    if digest.hexdigest() != table.sha256:
        raise DamagedBackup(f"{table.file} does not have the SHA-256 that the manifest names")
    if rows != table.rows:
        raise DamagedBackup(f"{table.file} holds {rows} rows, and the manifest names {table.rows}")


def _number_on(conn: Connection[Any], table: str) -> None:
    """Rows that are added now are numbered from behind the last one of the backup."""
    name = sql.Identifier("dealtrace", table)
    numbered_by = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attidentity <> ''"
    for (column,) in conn.execute(numbered_by, [f"dealtrace.{table}"]).fetchall():
        conn.execute(
            sql.SQL(
                "SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 0) + 1, false) FROM {}"
            ).format(f"dealtrace.{table}", column, sql.Identifier(column), name)
        )


def _check(conn: Connection[Any], manifest: Manifest, progress: Progress) -> None:
    found = verify_log(conn, progress=lambda at: progress("Verifying", at, manifest.position))
    if found.problems:
        raise DamagedBackup(f"the log in the backup is not whole: {'; '.join(found.problems[:5])}")
    if (found.log_id, found.epoch, found.position) != (manifest.log_id, manifest.epoch, manifest.position):
        raise DamagedBackup("the log in the backup is not the one that its manifest names")
    if found.root != manifest.root:
        raise DamagedBackup(f"the log root is {found.root}, and the manifest names {manifest.root}")


def _begin_epoch(conn: Connection[Any], manifest: Manifest, least: int) -> int:
    epoch = max(manifest.epoch + 1, least)
    conn.execute("UPDATE dealtrace.log_head SET epoch = %s", [epoch])
    conn.execute(
        "INSERT INTO dealtrace.epochs (epoch, after_position) VALUES (%s, %s)", [epoch, manifest.position]
    )
    return epoch
