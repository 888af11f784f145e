"""Writing a backup: one snapshot of the log and of what stands beside it, while writers go on."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
from psycopg import Connection

from infra.backup.manifest import (
    BLOCK,
    FORMAT,
    MANIFEST,
    SECRETS,
    VAULT,
    Column,
    Manifest,
    Progress,
    Saved,
    columns_of_tables,
    copy_statement,
)
from infra.event_store import read_head
from infra.failpoints import failpoint
from infra.snapshot import one_snapshot
from infra.verify import verify_log

_LEVEL = 1  # on this JSON the higher levels cost three times the time for a tenth of the size


class BackupExists(Exception):
    """There is a file of that name; a backup never replaces one."""


class LogNotWhole(Exception):
    """A backup of this log could not be restored; each argument is one problem of it."""


def write_backup(
    url: str, file: Path, *, without_vault: bool = False, progress: Progress = lambda *_: None
) -> Manifest:
    """Write a backup of the database to a new file; the login of the application suffices.

    The file appears under its name when it is whole and on disk, readable for its owner alone: it holds what the
    vault holds, unless that was to be left out.
    Raises BackupExists, LogNotWhole, OSError.
    """
    with _written_aside(file) as out, one_snapshot(url, "dealtrace backup") as conn:
        head = read_head(conn)
        verified = verify_log(conn, progress=lambda at: progress("Reading the log", at, head.position))
        if verified.problems:
            raise LogNotWhole(*verified.problems)
        tables = columns_of_tables(conn)
        left_out = (SECRETS, VAULT) if without_vault else ()  # whose texts the key would help to guess
        with ZipFile(out, "w", ZIP_DEFLATED, allowZip64=True, compresslevel=_LEVEL) as archive:
            saved = tuple(
                _save(conn, archive, name, columns, progress)
                for name, columns in tables.items()
                if name not in left_out
            )
            manifest = Manifest(
                format=FORMAT,
                made_by=f"dealtrace {metadata.version('dealtrace')}",
                made_at=_one(conn, "SELECT clock_timestamp()"),
                log_id=head.log_id,
                epoch=head.epoch,
                position=head.position,
                root=verified.root,
                migrations=tuple(
                    _one(conn, "SELECT array_agg(number ORDER BY number) FROM dealtrace.migrations")
                ),
                left_out=left_out,
                tables=saved,
            )
            archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def _save(
    conn: Connection[Any], archive: ZipFile, name: str, columns: tuple[Column, ...], progress: Progress
) -> Saved:
    (expected,) = conn.execute(
        "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass", [f"dealtrace.{name}"]
    ).fetchone() or (0,)
    digest, waiting, rows = hashlib.sha256(), bytearray(), 0
    with conn.cursor() as cursor:
        with (
            archive.open(f"{name}.copy", "w", force_zip64=True) as out,
            cursor.copy(copy_statement(name, columns, "TO STDOUT")) as copy,
        ):
            for row in copy:
                waiting += row
                rows += 1
                if len(waiting) >= BLOCK:
                    digest.update(waiting)
                    out.write(waiting)
                    waiting.clear()
                    progress(f"Writing {name}", rows, max(rows, expected))
            digest.update(waiting)
            out.write(waiting)
        return Saved(name, columns, cursor.rowcount, digest.hexdigest())


@contextmanager
def _written_aside(file: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name once the block has written all of it, and is gone when the block fails."""
    if file.exists():
        raise BackupExists(f"{file} exists already, and a backup replaces nothing")
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".unfinished")
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        failpoint("backup.before_rename")
        aside.rename(file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _one(conn: Connection[Any], query: str) -> Any:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
