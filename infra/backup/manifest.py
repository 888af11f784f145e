"""The format of a backup: a ZIP file of one `<table>.copy` per table and, last, `manifest.json`.

A `.copy` file is what PostgreSQL's `COPY ... TO STDOUT (FORMAT BINARY)` gives for the columns that the manifest names,
so psql can read it without this program. The manifest says what the backup is of and holds the SHA-256 of every file.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import BadZipFile, ZipFile

import msgspec
from psycopg import Connection, sql

FORMAT = "dealtrace-backup/1"
MANIFEST = "manifest.json"
VAULT = "vault"
SECRETS = "secrets"
MIGRATIONS = "migrations"
BLOCK = 1 << 18
"""Bytes read or written at once."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much of it is done, how much there is to do)."""

_TABLES = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'dealtrace'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY c.relname, a.attnum"""


class DamagedBackup(Exception):
    """The file is no backup, or not the one that was written."""


class Column(msgspec.Struct, frozen=True):
    """A column and its type as PostgreSQL spells it."""

    name: str
    type: str


class Saved(msgspec.Struct, frozen=True):
    """One table of the backup."""

    name: str
    columns: tuple[Column, ...]
    rows: int
    sha256: str

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.copy"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the backup is of.

    `root` (hex) is the log root over the positions 1 to `position`. `left_out` names tables that exist but were not
    taken along. `migrations` are those of the database the backup was made of.
    """

    format: str
    made_by: str
    made_at: datetime
    log_id: UUID
    epoch: int
    position: int
    root: str
    migrations: tuple[int, ...]
    left_out: tuple[str, ...]
    tables: tuple[Saved, ...]


def columns_of_tables(conn: Connection[Any]) -> dict[str, tuple[Column, ...]]:
    """The tables to save: every one of the schema `dealtrace` but the list of its migrations."""
    found: dict[str, tuple[Column, ...]] = {}
    for table, name, kind in conn.execute(_TABLES).fetchall():
        if table != MIGRATIONS:
            found[table] = (*found.get(table, ()), Column(name, kind))
    return found


def copy_statement(table: str, columns: tuple[Column, ...], direction: str) -> sql.Composed:
    """COPY of exactly these columns, `FROM STDIN` or `TO STDOUT`."""
    return sql.SQL("COPY {} ({}) {} (FORMAT BINARY)").format(
        sql.Identifier("dealtrace", table),
        sql.SQL(", ").join(sql.Identifier(c.name) for c in columns),
        sql.SQL(direction),
    )


@contextmanager
def opened_backup(file: Path) -> Iterator[tuple[ZipFile, Manifest]]:
    """The backup's files and its manifest. Raises DamagedBackup, also for what is found wrong inside the block."""
    try:
        with ZipFile(file) as archive:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
            if manifest.format != FORMAT:
                raise DamagedBackup(f"{file} has the format {manifest.format}; this release reads {FORMAT}")
            names = [MANIFEST, *(table.file for table in manifest.tables)]
            if sorted(archive.namelist()) != sorted(names):
                raise DamagedBackup(f"{file} does not hold the files that its manifest names")
            yield archive, manifest
    except (BadZipFile, EOFError, KeyError, zlib.error, NotImplementedError, msgspec.MsgspecError) as error:
        raise DamagedBackup(f"{file} is no whole backup: {error}") from error


def read_manifest(file: Path) -> Manifest:
    """What the backup says about itself, unchecked but for its shape. Raises DamagedBackup, OSError."""
    with opened_backup(file) as (_, manifest):
        return manifest
