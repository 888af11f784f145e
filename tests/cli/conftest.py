"""The real program in a process of its own, against a database of the test's own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.postgres import Server, scratch_database

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-c", "from api.cli import main; main()")


@dataclass(frozen=True)
class Said:
    """What the program printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The answer on stdout."""
        return msgspec.json.decode(self.out)


@dataclass(frozen=True)
class Program:
    """`dealtrace` as a shell would start it."""

    environment: Mapping[str, str]
    folder: Path

    def __call__(self, *arguments: str, stdin: str | None = None, **environment: str) -> Said:
        done = subprocess.run(
            [*PROGRAM, *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            env={**self.environment, **environment},
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start it and leave it running; its stderr is a pipe."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**self.environment, **environment},
            cwd=self.folder,
            start_new_session=True,
        )


def without_settings() -> dict[str, str]:
    """The environment, without anything that points the program at data."""
    kept = {
        n: v
        for n, v in os.environ.items()
        if not n.startswith(("DEALTRACE_", "DATABASE_", "PGHOST", "PGPORT"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def url(conninfo: str) -> str:
    """A connection string as DATABASE_URL takes it."""
    parts = conninfo_to_dict(conninfo)
    login = parts["user"] + (f":{parts['password']}" if "password" in parts else "")
    port = f":{parts['port']}" if "port" in parts and not parts["host"].startswith("/") else ""
    if parts["host"].startswith("/"):
        return f"postgresql://{login}@/{parts['dbname']}?host={parts['host']}"
    return f"postgresql://{login}@{parts['host']}{port}/{parts['dbname']}"


def program_on(database: Server, folder: Path) -> Program:
    """The program with that database."""
    return Program(
        {
            **without_settings(),
            "DATABASE_URL": url(database.app_url),
            "DATABASE_OWNER_URL": url(database.owner_url),
            "DEALTRACE_HOME": str(folder / "home"),
        },
        folder,
    )


@pytest.fixture
def dealtrace(database: Server, tmp_path: Path) -> Program:
    """The program with an empty database."""
    return program_on(database, tmp_path)


@pytest.fixture
def at_home(tmp_path: Path) -> Program:
    """The program as a new user has it: an empty home, no database but the embedded one."""
    return Program(
        {**without_settings(), "HOME": str(tmp_path), "DEALTRACE_HOME": str(tmp_path / "home")}, tmp_path
    )


@pytest.fixture(scope="module")
def loan_funnel(
    server: Server, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The program with the real history and activities imported through it."""
    data = ROOT.parent / "shared" / "data"
    if not (data / "loan_funnel_history.csv.gz").exists():
        pytest.skip("the exports of the loan funnel are not on this machine")
    folder = tmp_path_factory.mktemp("loan")
    mapping = str(ROOT / "examples" / "loan_funnel" / "mapping.toml")
    with scratch_database(server, template=template_database) as database:
        program = program_on(database, folder)
        for kind in ("history", "activities"):
            said = program("import", kind, str(data / f"loan_funnel_{kind}.csv.gz"), "--mapping", mapping)
            assert said.code == 0, said.err
        yield program
