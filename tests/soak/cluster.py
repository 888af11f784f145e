"""A PostgreSQL with a disk of its own, to be killed, filled up, slowed down and given another time."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from infra.embedded_server import SUPERUSER, _programs
from infra.postgres import APP_ROLE, DATABASE, Server
from infra.server_account import Account, server_account

CLEAN = "clean"
"""A second database with the same contents at the start, where the run is repeated without faults."""
UP_SECONDS = 180

_CONF = """
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
shared_buffers = 16MB
max_connections = 80
max_wal_size = 16MB
min_wal_size = 2MB
timezone = 'UTC'
log_line_prefix = '%m [%p] %q%a '
hba_file = '{data}/pg_hba.conf'
ident_file = '{data}/pg_ident.conf'
"""


class Cluster:
    """The server of one folder: `cluster` is its data, `server.log` what it says. Not for several folders at once."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.account = _account(folder)
        self.sockets = Path(tempfile.mkdtemp(prefix="dts"))
        self.account.give(self.sockets)
        self._configure()
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.RLock()
        self._ballast = data.parent / "ballast"

    # --- as the program sees it

    @property
    def server(self) -> Server:
        """The database with its two logins."""
        return self._server(DATABASE)

    @property
    def clean(self) -> Server:
        """The database that no fault touches."""
        return self._server(CLEAN)

    def _server(self, database: str) -> Server:
        url = "postgresql://{}@/{}?host={}"
        owner, app = (url.format(user, database, self.sockets) for user in (SUPERUSER, APP_ROLE))
        return Server(owner, app, "", embedded=False)

    def query(self, sql: str, *parameters: Any, database: str = DATABASE) -> list[Any]:
        """What the superuser sees, or does, past every network."""
        with psycopg.connect(self._server(database).owner_url, autocommit=True) as conn:
            cursor = conn.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    # --- coming and going

    def start(self) -> None:
        """Start it and wait until it answers; again when it ends meanwhile, as on a full disk."""
        give_up_at = time.monotonic() + UP_SECONDS
        with self._turn:
            while PGconn.ping(make_conninfo(self.server.owner_url, connect_timeout=5).encode()) != Ping.OK:
                if self._process is None or self._process.poll() is not None:
                    self._launch()
                assert time.monotonic() < give_up_at, f"PostgreSQL did not start: {self.last_words()}"
                time.sleep(0.03)

    def _launch(self) -> None:
        # Processes of a server that was killed hold its shared memory until they have noticed.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "server.log").open("ab") as said:
            self._process = subprocess.Popen(
                [_programs() / "postgres", "-D", self.data, "-c", f"config_file={self.sockets}/server.conf"],
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                cwd=self.sockets,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                **self.account.subprocess_options(),
            )

    def _configure(self, more: str = "") -> None:
        """Write its settings anew, beside its sockets, where the disk never gets full."""
        conf = _CONF.format(sockets=self.sockets, data=self.data)
        unfinished = self.sockets / "server.conf.new"
        unfinished.write_text(conf + more)
        unfinished.rename(self.sockets / "server.conf")  # somebody may be reading it

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast; SIGQUIT: immediate, as if the machine had lost its power but for the disk's cache."""
        with self._turn:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(how)
                self._process.wait(UP_SECONDS)

    def kill(self) -> None:
        """End it at once, whoever is busy with it; it is of no use after that."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join((self.folder / "server.log").read_text(errors="replace").splitlines()[-5:])

    def close(self) -> None:
        """Stop it at once and leave nothing in /tmp."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.sockets, ignore_errors=True)

    # --- faults

    def restart(self, how: str, seconds: float) -> None:
        """Kill or stop it, and start it after some seconds of absence."""
        with self._turn:
            if how == "backend killed":
                with suppress(psycopg.OperationalError):
                    self._kill_a_backend()  # PostgreSQL ends all others too and recovers
            else:
                self.stop(signal.SIGQUIT if how == "immediate" else signal.SIGINT)
                time.sleep(seconds)
        self.start()

    def _kill_a_backend(self) -> None:
        ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dealtrace log' LIMIT 1"
        for (pid,) in self.query(ours):
            os.kill(pid, signal.SIGKILL)

    def fill(self, how: str) -> None:
        """Leave no byte on its disk; with `log`, nor in the segments of its write-ahead log."""
        with self._ballast.open("wb") as ballast:
            size = 16 * 1024 * 1024
            while size >= 4096:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), size)
                except OSError:
                    size //= 2
        if how == "log":
            with suppress(psycopg.Error):
                for _ in range(8):
                    self.query(
                        "SELECT pg_logical_emit_message(false, 'soak', repeat('x', 500000)), pg_switch_wal()"
                    )

    def make_room(self) -> None:
        """Give the space back; a server that died of it is started again."""
        self._ballast.unlink()
        self.start()

    def set_back(self, by: str) -> None:
        """The clock steps back, as soon as the server can be told so."""
        give_up_at = time.monotonic() + UP_SECONDS
        while time.monotonic() < give_up_at:
            with suppress(psycopg.OperationalError):  # away, or without space
                self.query("UPDATE soak.clock SET behind = behind + %s::interval", by)
                return
            time.sleep(0.05)

    def slow(self, microseconds: int) -> None:
        """Every commit waits so long before it is flushed; 0: no longer."""
        self._configure(f"commit_siblings = 0\ncommit_delay = {microseconds}\n")
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def processes(self) -> list[int]:
        """The ids of the server's processes but the postmaster's."""
        if self._process is None or self._process.poll() is not None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def hang(self, seconds: float) -> None:
        """Nobody gets an answer for a while, as when a disk does not answer."""
        with self._turn:
            stopped = self.processes()
            for number, pause in ((signal.SIGSTOP, seconds), (signal.SIGCONT, 0.0)):
                for pid in stopped:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                time.sleep(pause)


def _account(folder: Path) -> Account:
    account = server_account(folder / "cluster", folder)
    account.let_through(folder / "cluster")
    account.let_through(_programs() / "postgres")
    return account
