"""Where the database is: the server that DATABASE_URL names, or else an embedded one in the data folder."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn, Ping

from infra.embedded_server import SUPERUSER, ServerError, shared_server
from infra.settings import Settings

__all__ = ["APP_ROLE", "DATABASE", "Role", "Server", "ServerError", "open_server", "scratch_database"]

Role = Literal["owner", "app"]

DATABASE = "dealtrace"
APP_ROLE = "dealtrace_app"
OLDEST_SERVER = 15
CONNECT_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A database on a running server, seen by two logins. Connection strings are as libpq and psycopg take them.

    `owner_url` owns the tables and runs migrations; `app_url` is what the program works with.
    `version` is the server's, such as "18.6". No password shows in the repr.
    """

    owner_url: str
    app_url: str
    version: str
    embedded: bool

    def url(self, role: Role) -> str:
        """The connection string of one of the two logins."""
        return self.owner_url if role == "owner" else self.app_url

    @property
    def database(self) -> str:
        """The name of the database."""
        return str(conninfo_to_dict(self.app_url)["dbname"])

    def with_database(self, name: str) -> "Server":
        """The same server and logins, in another database."""
        return replace(
            self,
            owner_url=make_conninfo(self.owner_url, dbname=name),
            app_url=make_conninfo(self.app_url, dbname=name),
        )

    def __repr__(self) -> str:
        kind = "embedded" if self.embedded else "external"
        return f"<{kind} PostgreSQL {self.version}: {without_password(self.app_url)}>"


@contextmanager
def open_server(settings: Settings, *, wait_seconds: float = CONNECT_SECONDS) -> Iterator[Server]:
    """Use the database server; an embedded one is started when needed and stopped by its last user.

    An external server gets `wait_seconds` to come up.
    Raises ServerError with a message for people, never with a password in it.
    """
    if settings.database_url is not None:
        yield external_server(settings.database_url, settings.database_owner_url, wait_seconds)
        return
    with ExitStack() as stack:
        try:
            sockets = stack.enter_context(shared_server(settings.home))
        except (PermissionError, TimeoutError) as error:
            raise ServerError(str(error)) from error
        yield _embedded_server(sockets)


def external_server(app_url: str, owner_url: str | None, wait_seconds: float = CONNECT_SECONDS) -> Server:
    """Wait for a server of somebody else's, and check that both logins work and that it is recent enough."""
    owner_url = owner_url or app_url
    deadline = time.monotonic() + wait_seconds
    version = ""
    for variable, url in (("DATABASE_URL", app_url), ("DATABASE_OWNER_URL", owner_url)):
        _wait_until_accepting(variable, url, deadline)
        version = _version(variable, url)
    return Server(owner_url=owner_url, app_url=app_url, version=version, embedded=False)


@contextmanager
def scratch_database(server: Server, *, template: str | None = None) -> Iterator[Server]:
    """A database that exists for the length of the block: empty, or a copy of the database `template`.

    The owner login must be allowed to create databases, and nobody may be connected to the template.
    """
    name = f"scratch_{uuid.uuid4().hex}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template or "template0")
    )
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server.owner_url, autocommit=True) as connection:
        connection.execute(create)
    try:
        yield server.with_database(name)
    finally:
        with psycopg.connect(server.owner_url, autocommit=True) as connection:
            connection.execute(drop)


def without_password(url: str) -> str:
    """Who connects to which database where, for messages: `user@host:port/database`."""
    parts = conninfo_to_dict(url)
    user, host = parts.get("user", ""), parts.get("host") or parts.get("hostaddr") or "local socket"
    return f"{user}@{host}:{parts.get('port') or 5432}/{parts.get('dbname') or user}"


def _embedded_server(sockets: Path) -> Server:
    def url(user: str, database: str) -> str:
        return f"postgresql://{user}@/{database}?host={sockets}"

    with psycopg.connect(url(SUPERUSER, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            # Another program with the same data folder may be quicker.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        version = _dotted(connection.info.server_version)
    return Server(url(SUPERUSER, DATABASE), url(APP_ROLE, DATABASE), version, embedded=True)


def _wait_until_accepting(variable: str, url: str, deadline: float) -> None:
    where = without_password(url)
    while True:
        answer = PGconn.ping(make_conninfo(url, connect_timeout=5).encode())
        if answer == Ping.OK:
            return
        if answer == Ping.NO_ATTEMPT:
            raise ServerError(f"{variable} is not a connection string that PostgreSQL's client understands.")
        if time.monotonic() > deadline:
            heard = "is not ready for connections" if answer == Ping.REJECT else "does not answer"
            raise ServerError(f"PostgreSQL at {where} {heard}: check {variable}, and that the server runs.")
        time.sleep(0.2)


def _version(variable: str, url: str) -> str:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            number = connection.info.server_version
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ServerError(f"{variable}: PostgreSQL refuses {without_password(url)}: {reason}") from None
    if number // 10000 < OLDEST_SERVER:
        raise ServerError(
            f"{variable}: PostgreSQL {_dotted(number)} is too old; {OLDEST_SERVER} or newer is needed."
        )
    return _dotted(number)


def _dotted(number: int) -> str:
    return f"{number // 10000}.{number % 10000}"
