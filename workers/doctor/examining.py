"""The examination: one check after the other, each of which is only tried when those that it needs went well."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import psycopg

from infra.postgres import Server, ServerError, open_server
from infra.sessions import Session
from infra.settings import SettingError, Settings
from workers.doctor import database, figures
from workers.doctor.finding import Examination, Finding, worst

WAIT_SECONDS = 5.0
"""For how long a server that does not answer is waited for."""

Clock = Callable[[], datetime]
Check = Callable[[Session], Finding]


def _now() -> datetime:
    return datetime.now(UTC)


def examine(
    environ: Mapping[str, str] = os.environ, *, wait_seconds: float = WAIT_SECONDS, clock: Clock = _now
) -> Examination:
    """Look at settings, server, tables, privileges, log and projections; nothing is changed.

    An embedded server that does not run is started for the length of the examination.
    """
    return worst(list(_settings(environ, wait_seconds, clock)))


def _settings(environ: Mapping[str, str], wait_seconds: float, clock: Clock) -> Iterator[Finding]:
    try:
        settings = Settings.from_environment(environ)
    except SettingError as error:
        yield Finding("settings", "problem", str(error), "see docs/configuration.md")
        return
    yield Finding("settings", "ok", "Every setting can be used.")
    yield database.disk(settings)
    try:
        with open_server(settings, wait_seconds=wait_seconds) as server:
            where = f"embedded in {settings.home}" if server.embedded else "external"
            yield Finding("server", "ok", f"PostgreSQL {server.version}, {where}, answers.")
            yield from _database(server, clock)
    except (ServerError, OSError) as error:
        first, _, rest = str(error).partition("\n")
        hint = (
            rest
            or "start the server, or mend DATABASE_URL and DATABASE_OWNER_URL; without them an own one runs"
        )
        yield Finding("server", "problem", first, hint)


def _database(server: Server, clock: Clock) -> Iterator[Finding]:
    try:
        with Session.open(server.owner_url, "dealtrace doctor") as owner:
            migrations = database.migrations(owner)
    except psycopg.Error as error:
        migrations = Finding(
            "migrations", "problem", _words(error), "DATABASE_OWNER_URL is to name the owner"
        )
    yield migrations
    if migrations.verdict != "ok":
        return
    try:
        session = Session.open(server.app_url, "dealtrace doctor")
    except psycopg.OperationalError as error:
        yield Finding(
            "login", "problem", _words(error), "DATABASE_URL is to name the login of the application"
        )
        return
    checks: list[tuple[str, Check]] = [
        ("privileges", database.privileges),
        ("durability", database.durability),
        ("clock", lambda conn: database.clocks(conn, clock)),
        ("log", database.log),
        ("log identity", figures.identity),
        ("projector", lambda conn: figures.projector(conn, server.embedded)),
        ("releases", figures.releases),
        ("parked deals", figures.parked),
        ("completeness", figures.completeness),
        ("recalibrations", figures.recalibrations),
    ]
    with session:
        for name, check in checks:
            try:
                yield check(session)
            except psycopg.errors.InsufficientPrivilege as error:
                yield Finding(name, "skipped", f"Not permitted to look: {_words(error)}", "see privileges")
            except psycopg.Error as error:
                yield Finding(name, "problem", f"Could not be looked at: {_words(error)}", "dealtrace verify")


def _words(error: Exception) -> str:
    text = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return text if text.endswith(".") else f"{text}."
