"""The checks of the database itself: its disk, tables, privileges, durability, clock and log."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from psycopg import Connection

from infra.event_store import read_head
from infra.migrations import APP_ROLE, not_applied, numbered
from infra.settings import Settings
from workers.doctor.finding import Finding, listed

GIB = 1 << 30
FEW, VERY_FEW = 5 * GIB, 1 * GIB
"""Free bytes that warn, and that stop being enough for the write-ahead log of the embedded server (up to 2 GB)."""
CLOCK_SECONDS = 2.0

_FORBIDDEN = {
    "events": ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER"),
    "log_head": ("INSERT", "DELETE", "TRUNCATE", "TRIGGER"),
    "epochs": ("INSERT", "UPDATE", "DELETE", "TRUNCATE"),
    "migrations": ("INSERT", "UPDATE", "DELETE", "TRUNCATE"),
    "import_ledger": ("UPDATE", "DELETE", "TRUNCATE"),
    "recalibration_records": ("UPDATE", "DELETE", "TRUNCATE"),
    "recalibration_jobs": ("DELETE", "TRUNCATE"),
    "secrets": ("INSERT", "UPDATE", "DELETE", "TRUNCATE"),
    "command_results": ("UPDATE", "TRUNCATE"),
    "switches": ("UPDATE", "DELETE", "TRUNCATE"),
    "vault": ("UPDATE", "TRUNCATE"),
}
_NEEDED = {
    "events": ("SELECT", "INSERT"),
    "log_head": ("SELECT",),
    "epochs": ("SELECT",),
    "migrations": ("SELECT",),
    "import_ledger": ("SELECT", "INSERT"),
    "recalibration_records": ("SELECT", "INSERT"),
    "recalibration_jobs": ("SELECT", "INSERT"),
    "secrets": ("SELECT",),
    "command_results": ("SELECT", "INSERT", "DELETE"),
    "switches": ("SELECT", "INSERT"),
    "vault": ("SELECT", "INSERT", "DELETE"),
}
_HAS = """
SELECT t, p, CASE WHEN p IN ('INSERT', 'UPDATE', 'SELECT') AND NOT whole THEN has_any_column_privilege(t, p)
                  ELSE has_table_privilege(t, p) END
FROM unnest(%s::text[], %s::text[], %s::boolean[]) AS w(t, p, whole)"""
_ROLE = """
SELECT current_user::text, rolsuper, pg_has_role(current_user, c.relowner, 'MEMBER'),
       has_column_privilege('dealtrace.log_head', 'log_id', 'UPDATE')
         OR has_column_privilege('dealtrace.log_head', 'epoch', 'UPDATE'),
       has_column_privilege('dealtrace.log_head', 'position', 'UPDATE')
         AND has_column_privilege('dealtrace.log_head', 'recorded_at', 'UPDATE'),
       has_schema_privilege('projection', 'CREATE')
FROM pg_roles r, pg_class c WHERE r.rolname = current_user AND c.oid = 'dealtrace.events'::regclass"""


def disk(settings: Settings) -> Finding:
    """How full the disk of the data folder is."""
    if settings.database_url is not None:
        return Finding(
            "disk", "skipped", "The data lie with the external server; its disk is not seen from here."
        )
    folder = settings.home.absolute()
    while not folder.exists():
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(
            "disk", "problem", f"{folder} can not be looked at: {error.strerror}.", "choose another folder"
        )
    return _room(folder, free)


def _room(folder: Path, free: int) -> Finding:
    said = f"{free / GIB:.1f} GiB are free on the disk of {folder}."
    if free >= FEW:
        return Finding("disk", "ok", said)
    hint = (
        "make room, or move the data folder to a larger disk; a full disk stops every append and loses none"
    )
    return Finding("disk", "problem" if free < VERY_FEW else "warning", f"Only {said}", hint)


def migrations(owner: Connection[Any]) -> Finding:
    """Whether the tables are those of this release."""
    missing = not_applied(owner)
    if missing == sorted(numbered()):
        return Finding("migrations", "problem", "The database has no tables yet.", "dealtrace migrate")
    if missing:
        sentence = f"The migrations {listed([str(n) for n in missing])} have not been applied."
        return Finding("migrations", "problem", sentence, "dealtrace migrate")
    done = {n for (n,) in owner.execute("SELECT number FROM dealtrace.migrations").fetchall()}
    if newer := sorted(done - numbered().keys()):
        sentence = f"The database has the migrations {newer}, which are of a newer release."
        return Finding(
            "migrations", "problem", sentence, "start that release instead, or restore a backup for this one"
        )
    return Finding("migrations", "ok", f"All {len(done)} migrations are applied.")


def privileges(app: Connection[Any]) -> Finding:
    """Whether the application's login may do what it must, and nothing that would let it rewrite the log."""
    login, superuser, is_owner, may_rename, may_append, may_project = app.execute(_ROLE.encode()).fetchall()[
        0
    ]
    hint = f"DATABASE_URL with the login {APP_ROLE}, DATABASE_OWNER_URL with {login}"
    if superuser:
        return Finding("privileges", "problem", f"The application works as {login}, a superuser.", hint)
    if is_owner:
        return Finding(
            "privileges", "problem", f"The application works as {login}, an owner of the log.", hint
        )
    too_much = [f"{p} {t}" for t, p, has in _asked(app, _FORBIDDEN, whole=False) if has]
    too_much += ["UPDATE dealtrace.log_head (log_id, epoch)"] if may_rename else []
    if too_much:
        sentence = f"The application's login {login} may do what would rewrite the log: {listed(too_much)}."
        return Finding("privileges", "problem", sentence, f"as the owner: {_revoke(too_much, login)}")
    lacking = [f"{p} {t}" for t, p, has in _asked(app, _NEEDED, whole=True) if not has]
    lacking += [] if may_append else ["UPDATE dealtrace.log_head (position, recorded_at)"]
    lacking += [] if may_project else ["CREATE in schema projection"]
    if lacking:
        sentence = f"The application's login {login} may not do what it must: {listed(lacking)}."
        return Finding("privileges", "problem", sentence, f"grant it as the migrations do for {APP_ROLE}")
    return Finding("privileges", "ok", f"The login {login} may add to the log and change nothing in it.")


def _asked(
    app: Connection[Any], wanted: dict[str, tuple[str, ...]], *, whole: bool
) -> list[tuple[str, str, bool]]:
    """Which of these privileges the login has: on the whole table, or on any column of it."""
    pairs = [(f"dealtrace.{table}", p) for table, several in wanted.items() for p in several]
    return app.execute(
        _HAS.encode(), [[t for t, _ in pairs], [p for _, p in pairs], [whole] * len(pairs)]
    ).fetchall()


def _revoke(too_much: list[str], login: str) -> str:
    words = sorted((what.split(" ", 1)[1], what.split(" ", 1)[0]) for what in too_much)
    return "; ".join(
        f"REVOKE {', '.join(p for _, p in group)} ON {table.partition(' (')[0]} FROM {login}, PUBLIC"
        for table, group in groupby(words, key=lambda pair: pair[0])
    )


def durability(app: Connection[Any]) -> Finding:
    """Whether what was answered is on disk."""
    names = ("fsync", "synchronous_commit", "full_page_writes")
    off = [name for name in names if app.execute("SELECT current_setting(%s)", [name]).fetchone() == ("off",)]
    if off:
        sentence = (
            f"{' and '.join(off)} {'are' if len(off) > 1 else 'is'} off: a crash can lose what was answered."
        )
        return Finding(
            "durability", "problem", sentence, f"ALTER SYSTEM RESET {off[0]}, or where it was set off"
        )
    return Finding(
        "durability", "ok", "What is answered is on disk: fsync, synchronous_commit, full_page_writes."
    )


def clocks(app: Connection[Any], clock: Callable[[], datetime]) -> Finding:
    """Whether this machine and the database agree about the time, and the log is not ahead of it."""
    before = clock()
    (theirs,) = app.execute("SELECT clock_timestamp()").fetchall()[0]
    after = clock()
    away, doubt = (
        (theirs - before - (after - before) / 2).total_seconds(),
        (after - before).total_seconds() / 2,
    )
    if abs(away) - doubt > CLOCK_SECONDS:
        where = "ahead of" if away > 0 else "behind"
        sentence = f"The database's clock is {abs(away):,.0f} s {where} the clock of this machine."
        return Finding(
            "clock", "warning", sentence, "let both follow a time server; the log keeps the database's time"
        )
    ahead = (read_head(app).recorded_at - theirs).total_seconds()
    if ahead > CLOCK_SECONDS:
        sentence = (
            f"The last event was recorded {ahead:,.0f} s after the present time of the database's clock."
        )
        return Finding(
            "clock", "warning", sentence, "its clock was set back; new events take that time until it is over"
        )
    return Finding("clock", "ok", f"The clocks agree: it is {theirs.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.")


def log(app: Connection[Any]) -> Finding:
    """Whether the head points at the last event; `dealtrace verify` reads all of them."""
    head = read_head(app)
    (last,) = app.execute("SELECT coalesce(max(notification_id), 0) FROM dealtrace.events").fetchall()[0]
    if last != head.position:
        sentence = f"The head of the log is at position {head.position}, and its last event at {last}."
        return Finding(
            "log", "problem", sentence, "dealtrace verify names what is missing; restore a backup elsewhere"
        )
    return Finding("log", "ok", f"Log {head.log_id}, epoch {head.epoch}, has {head.position:,} events.")
