"""Programs for a test: a PostgreSQL 15 and a PgBouncer, each in a scratch folder of its own; and our own server."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.postgres import DATABASE, Server, external_server
from infra.server_account import Account, server_account
from tests.cli.conftest import Program

PROGRAMS_15 = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")

_POSTGRESQL = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200
"""
_PGBOUNCER = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {servers}
server_lifetime = 3600
max_client_conn = 200
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def account_for(folder: Path) -> Account:
    """Somebody other than root, who owns the folder now and can get there."""
    account = server_account(folder / "cluster", folder)
    account.let_through(folder / "cluster")
    account.give(folder)
    return account


class PostgreSQL15:
    """A PostgreSQL 15 on a port of the loopback, with passwords. Its logins are an owner and the application."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._account = folder, account_for(folder)
        self._port, self._password = free_port(), secrets.token_urlsafe(12)
        self._run(
            "initdb", "-D", str(folder / "cluster"), "-U", "postgres", "-E", "UTF8", "--locale=C",
            "--auth=scram-sha-256", f"--pwfile={self._secret_file()}",
        )  # fmt: skip
        with (folder / "cluster" / "postgresql.conf").open("a") as conf:
            conf.write(_POSTGRESQL.format(port=self._port))

    def start(self) -> None:
        """Start it; this does not wait until it accepts connections."""
        self._control("start", "-W", "-l", str(self._folder / "server.log"))

    def stop(self, how: str = "fast") -> None:
        """Stop it, and wait for that."""
        self._control("stop", "-m", how)

    def make_logins(self) -> None:
        """What a database administrator does for us: a database, its owner, and a login for the application."""
        with psycopg.connect(self._url("postgres", "postgres"), autocommit=True) as conn:
            password = sql.Literal(self._password)
            # The owner makes scratch databases, watches sessions and cuts connections in the tests.
            conn.execute(sql.SQL("CREATE ROLE dealtrace_owner LOGIN CREATEDB PASSWORD {}").format(password))
            conn.execute(sql.SQL("CREATE ROLE dealtrace_app LOGIN PASSWORD {}").format(password))
            conn.execute("GRANT pg_signal_backend, pg_read_all_stats TO dealtrace_owner")
            conn.execute(f"CREATE DATABASE {DATABASE} OWNER dealtrace_owner")

    @property
    def owner_url(self) -> str:
        """The login that migrates."""
        return self._url("dealtrace_owner", DATABASE)

    @property
    def app_url(self) -> str:
        """The login of the application."""
        return self._url("dealtrace_app", DATABASE)

    def server(self) -> Server:
        """The database as the program sees it, once it is up."""
        return external_server(self.app_url, self.owner_url)

    def _url(self, user: str, database: str) -> str:
        return f"postgresql://{user}:{self._password}@127.0.0.1:{self._port}/{database}"

    def _secret_file(self) -> Path:
        file = self._folder / "password"
        file.write_text(self._password)
        file.chmod(0o600)
        self._account.give(file)
        return file

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "cluster"), "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [PROGRAMS_15 / program, *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            timeout=120,
            **self._account.subprocess_options(),
        )


@contextmanager
def postgresql_15(folder: Path) -> Iterator[PostgreSQL15]:
    """A running one, with its logins."""
    database = PostgreSQL15(folder)
    database.start()
    try:
        external_server(database._url("postgres", "postgres"), None)
        database.make_logins()
        yield database
    finally:
        database.stop("immediate")


@contextmanager
def pgbouncer(server: Server, folder: Path, servers: int) -> Iterator[Server]:
    """The server with its application's login through a PgBouncer, which lends few sessions, one per transaction."""
    assert PGBOUNCER is not None
    parts = conninfo_to_dict(server.app_url)
    port = free_port()
    account = account_for(folder)
    if str(parts["host"]).startswith("/") and account.switches:  # only its owner may use the socket
        owner = Path(str(parts["host"])).stat()
        account = Account(owner.st_uid, owner.st_gid, switches=True)
        account.give(folder)
    (folder / "pgbouncer.ini").write_text(
        _PGBOUNCER.format(
            host=parts["host"],
            server_port=parts.get("port") or 5432,
            port=port,
            folder=folder,
            servers=servers,
        )
    )
    password = parts.get("password") or "none"
    (folder / "users.txt").write_text(f'"{parts["user"]}" "{password}"\n')
    process = subprocess.Popen(
        [PGBOUNCER, "-q", str(folder / "pgbouncer.ini")],
        stderr=subprocess.DEVNULL,
        **account.subprocess_options(),
    )
    url = make_conninfo(server.app_url, host="127.0.0.1", port=port, password=password)
    try:
        external_server(url, None)
        yield Server(server.owner_url, url, server.version, embedded=False)
    finally:
        process.terminate()
        process.wait(60)


class Serving:
    """`dealtrace serve` in a process of its own."""

    def __init__(self, program: Program, environment: dict[str, str]) -> None:
        settings = {"DEALTRACE_PORT": "0", "DEALTRACE_LOG_LEVEL": "warning", **environment}
        self.process = program.start("serve", **settings)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"http://\S+?(?=;)", line)
        assert found, line
        self.address = found[0]

    def end(self) -> tuple[int, str]:
        """Wait for it; its exit code and what it said."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextmanager
def serving(program: Program, **environment: str) -> Iterator[Serving]:
    """Run `dealtrace serve` on a free port for the length of the block."""
    server = Serving(program, environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.communicate(timeout=60)
