"""The embedded server: shared, private, durable, and surviving whatever is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from infra.embedded_server import _nobody_holds, watched_server
from infra.postgres import Server, ServerError, open_server, scratch_database
from infra.settings import Settings

ROOT = Path(__file__).parents[2]

USE_UNTIL_TOLD = """
import sys
from pathlib import Path
from infra.postgres import open_server
from infra.settings import Settings
with open_server(Settings(home=Path(sys.argv[1]))) as server:
    print(server.owner_url, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data folder of its own, removed at the end because a cluster is large."""
    yield tmp_path / "home"
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


class User:
    """Another process that uses the server of a data folder."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USE_UNTIL_TOLD, str(home)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def owner_url(self) -> str:
        """Wait until it uses the server."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait() == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def users(home: Path, count: int = 1) -> Iterator[list[User]]:
    present = [User(home) for _ in range(count)]
    try:
        yield present
    finally:
        for user in present:
            user.kill()
            assert user.process.stdin is not None
            assert user.process.stdout is not None
            user.process.stdin.close()
            user.process.stdout.close()


def using(home: Path) -> AbstractContextManager[Server]:
    return open_server(Settings(home=home))


def is_running(home: Path) -> bool:
    return not _nobody_holds(home / "postgres" / "server.lock")


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "cluster" / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def remember(url: str, word: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS remembered (word text)")
        connection.execute("INSERT INTO remembered VALUES (%s)", [word])


def remembered(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {word for (word,) in connection.execute("SELECT word FROM remembered")}


def test_the_server_is_durable_and_listens_to_its_socket_alone(home: Path) -> None:
    with using(home) as server:
        for durable in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(server.owner_url, f"SHOW {durable}") == "on"
        assert ask(server.owner_url, "SHOW listen_addresses") == ""
        assert ask(server.owner_url, "SHOW server_encoding") == "UTF8"
        assert ask(server.owner_url, "SELECT current_user") == "postgres"
        assert server.version == ask(server.owner_url, "SHOW server_version")
        socket = Path(str(ask(server.owner_url, "SHOW unix_socket_directories")))
        assert socket.stat().st_mode & 0o077 == 0
    assert not is_running(home)


def test_two_processes_share_one_server_and_the_last_one_stops_it(home: Path) -> None:
    with users(home) as [other]:
        url = other.owner_url()
        with using(home) as server:
            assert server.owner_url == url
            started = ask(url, "SELECT pg_postmaster_start_time()")
            other.leave()
            assert ask(url, "SELECT pg_postmaster_start_time()") == started
    assert not is_running(home)


def test_processes_that_start_at_once_meet_on_one_server(home: Path) -> None:
    with users(home, 4) as starting:
        began = {ask(user.owner_url(), "SELECT pg_postmaster_start_time()") for user in starting}
        assert len(began) == 1
        for user in starting:
            assert is_running(home)
            user.leave()
    assert not is_running(home)


def test_a_killed_user_does_not_count_any_more(home: Path) -> None:
    with using(home), users(home) as [other]:
        other.owner_url()
        other.kill()
    assert not is_running(home)


def test_after_the_only_user_is_killed_the_next_one_takes_over_and_stops_the_server(home: Path) -> None:
    with users(home) as [other]:
        remember(other.owner_url(), "written")
        other.kill()
    with using(home) as server:
        assert remembered(server.owner_url) == {"written"}
    assert not is_running(home)


def test_a_killed_server_is_started_again_with_everything_committed(home: Path) -> None:
    with users(home) as [other]:
        url = other.owner_url()
        remember(url, "committed")
        with psycopg.connect(url, autocommit=True) as idle:
            idle.execute("SELECT 1")
            os.kill(postmaster(home), signal.SIGKILL)
            with using(home) as server:
                assert remembered(server.owner_url) == {"committed"}
                remember(server.owner_url, "after the crash")
        assert remembered(url) == {"committed", "after the crash"}, (
            "for the one who stayed it is at the same place"
        )
        other.leave()
    assert not is_running(home)


def test_a_stale_process_id_taken_by_another_program_does_not_stand_in_the_way(home: Path) -> None:
    with using(home) as server:
        remember(server.owner_url, "kept")
        pid_file = home / "postgres" / "cluster" / "postmaster.pid"
        lines = pid_file.read_text(encoding="utf-8").splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n", encoding="utf-8")
    with using(home) as server:
        assert remembered(server.owner_url) == {"kept"}


def test_an_interrupted_first_start_is_begun_anew(home: Path) -> None:
    half_made = home / "postgres" / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n", encoding="utf-8")
    with using(home) as server:
        assert ask(server.owner_url, "SELECT current_database()") == "dealtrace"


def test_an_error_of_the_program_passes_unchanged_and_the_server_is_stopped(home: Path) -> None:
    with pytest.raises(PermissionError, match="the program's own"), using(home):
        raise PermissionError("the program's own")
    assert not is_running(home)


def test_the_users_ctrl_c_does_not_reach_the_server(home: Path) -> None:
    with users(home) as [starter]:
        url = starter.owner_url()
        with using(home):
            started = ask(url, "SELECT pg_postmaster_start_time()")
            os.killpg(starter.process.pid, signal.SIGINT)
            starter.process.wait()
            assert ask(url, "SELECT pg_postmaster_start_time()") == started


def test_a_home_may_have_a_long_path_with_any_characters(tmp_path: Path) -> None:
    home = tmp_path / "spaces, 漏斗 and $(quotes) \"'`" / ("long" * 50) / "home"
    with using(home) as server:
        assert Path(str(ask(server.owner_url, "SHOW data_directory"))).is_relative_to(home.resolve())
        socket = Path(str(ask(server.owner_url, "SHOW unix_socket_directories")))
        assert socket.stat().st_mode & 0o077 == 0
    assert not socket.exists()
    shutil.rmtree(home)


def test_a_home_that_can_not_be_a_folder_is_named_with_the_reason_and_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for home, reason in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "x", "Not a directory")):
        with pytest.raises(ServerError) as refused, open_server(Settings(home=home)):
            pass
        sentence, hint = str(refused.value).splitlines()
        assert sentence == f"The data folder {home} can not be used: {reason}."
        assert hint == "DEALTRACE_HOME names another one"


def test_two_homes_never_meet(home: Path, tmp_path: Path) -> None:
    with using(home) as ours, using(tmp_path / "other home") as theirs:
        remember(ours.owner_url, "ours")
        remember(theirs.owner_url, "theirs")
        assert remembered(ours.owner_url) == {"ours"}
        assert remembered(theirs.owner_url) == {"theirs"}
    shutil.rmtree(tmp_path / "other home")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
def test_started_by_root_the_folders_above_stay_closed_to_everybody_else(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with using(private / "home") as server:
        assert ask(server.owner_url, "SELECT 1") == 1
    assert private.stat().st_mode & 0o007 == 0
    shutil.rmtree(private)


def test_data_of_another_postgresql_release_are_left_alone(home: Path) -> None:
    cluster = home / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("14\n", encoding="utf-8")
    with (
        pytest.raises(ServerError, match=r"are of PostgreSQL 14 and this release brings PostgreSQL 18"),
        using(home),
    ):
        pass
    assert [file.name for file in cluster.iterdir()] == ["PG_VERSION"]


def test_a_scratch_database_copies_its_template_and_is_gone_afterwards(server: Server) -> None:
    count = "SELECT count(*) FROM pg_database"
    before = ask(server.owner_url, count)
    with scratch_database(server) as template:
        remember(template.owner_url, "in the template")
        with scratch_database(server, template=template.database) as copy:
            assert remembered(copy.owner_url) == {"in the template"}
            remember(copy.owner_url, "in the copy")
        assert remembered(template.owner_url) == {"in the template"}
    assert ask(server.owner_url, count) == before


def test_an_external_server_is_used_as_given(server: Server) -> None:
    with open_server(Settings(database_url=server.owner_url)) as external:
        assert (external.app_url, external.owner_url) == (server.owner_url, server.owner_url)
        assert not external.embedded
        assert external.version == server.version


def test_an_external_server_that_does_not_answer_is_named_without_its_password() -> None:
    nowhere = Settings(database_url="postgresql://app:tr0mbone@127.0.0.1:9/dealtrace")
    with pytest.raises(ServerError) as refused, open_server(nowhere, wait_seconds=0.1):
        pass
    assert "app@127.0.0.1:9/dealtrace does not answer: check DATABASE_URL" in str(refused.value)
    assert "tr0mbone" not in str(refused.value)


def test_an_external_server_that_refuses_the_login_is_not_waited_for(server: Server) -> None:
    stranger = server.with_database("no_such_database").owner_url
    refused = pytest.raises(ServerError, match='database "no_such_database" does not exist')
    with refused, open_server(Settings(database_url=stranger), wait_seconds=60):
        pass


def test_no_repr_of_a_server_shows_a_password() -> None:
    url = "postgresql://app:tr0mbone@db.example/dealtrace"
    assert "tr0mbone" not in repr(Server(owner_url=url, app_url=url, version="18.6", embedded=False))


def test_while_somebody_watches_it_a_killed_server_comes_back_with_its_data(home: Path) -> None:
    with using(home) as server, watched_server(home):
        remember(server.owner_url, "kept")
        killed = postmaster(home)
        os.kill(killed, signal.SIGKILL)
        assert came_back(server.owner_url)
        assert remembered(server.owner_url) == {"kept"}
        assert postmaster(home) != killed
    assert not is_running(home)


def came_back(url: str, seconds: float = 60) -> bool:
    """Whether the server answers within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            ask(url, "SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return True
    return False
