"""Numbered SQL migrations, applied by the owner, forward only, once, under a lock."""

from contextlib import suppress
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql

APP_ROLE = "dealtrace_app"
_LOCK = 0x6465616C  # "deal": any constant, the same in every release


def numbered() -> dict[int, str]:
    """The SQL of every migration by its number."""
    folder = files(__package__)
    return {
        int(entry.name.split("_")[0]): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".sql")
    }


def migrate(owner_url: str, upto: int | None = None) -> list[int]:
    """Bring the database up to date, or up to the migration `upto`, and return the numbers applied now.

    Raises RuntimeError when the database was migrated by a newer release.
    """
    with psycopg.connect(owner_url, autocommit=True) as conn:
        _ensure_app_role(conn)
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            conn.execute("CREATE SCHEMA IF NOT EXISTS dealtrace")
            conn.execute(
                "CREATE TABLE IF NOT EXISTS dealtrace.migrations"
                " (number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )
            done = {n for (n,) in conn.execute("SELECT number FROM dealtrace.migrations")}
            known = numbered()
            if unknown := sorted(done - known.keys()):
                raise RuntimeError(
                    f"The database has migrations {unknown} of a newer release; start that release instead."
                )
            todo = sorted(n for n in known.keys() - done if upto is None or n <= upto)
            for number in todo:
                conn.execute(known[number].encode())
                conn.execute("INSERT INTO dealtrace.migrations (number) VALUES (%s)", (number,))
            return todo


def not_applied(conn: psycopg.Connection[Any]) -> list[int]:
    """The numbers of this release's migrations that the database does not have yet."""
    if conn.execute("SELECT to_regclass('dealtrace.migrations')").fetchone() == (None,):
        return sorted(numbered())
    done = {n for (n,) in conn.execute("SELECT number FROM dealtrace.migrations")}
    return sorted(numbered().keys() - done)


def _ensure_app_role(conn: psycopg.Connection) -> None:
    """Roles belong to the whole server, so two databases may create it at once."""
    role = sql.Identifier(APP_ROLE)
    if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone():
        # Another database's migration may be quicker.
        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
