"""The oldest PostgreSQL that is supported, with passwords over TCP, as an administrator would give it to us."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.migrations import migrate
from infra.postgres import external_server, scratch_database
from tests.cli.conftest import program_on
from tests.operations.servers import PROGRAMS_15, PostgreSQL15, postgresql_15
from tests.operations.whole import digests, do_everything, log_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL15]:
    """A PostgreSQL 15 as somebody else runs it."""
    if not (PROGRAMS_15 / "initdb").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {PROGRAMS_15}")
    with postgresql_15(tmp_path_factory.mktemp("postgresql_15")) as running:
        yield running


def test_everything_works_on_it_and_outlives_a_restart(postgresql: PostgreSQL15) -> None:
    server = postgresql.server()
    assert server.version.startswith("15.")
    with scratch_database(server) as database:
        assert migrate(database.owner_url)
        do_everything(database)
        before = log_of(database), digests(database)
        postgresql.stop()
        postgresql.start()
        external_server(database.app_url, database.owner_url)
        assert (log_of(database), digests(database)) == before


def test_the_program_starts_while_the_server_is_still_down(postgresql: PostgreSQL15, tmp_path: Path) -> None:
    with scratch_database(postgresql.server()) as database:
        program = program_on(database, tmp_path)
        postgresql.stop()
        late = threading.Timer(1.5, postgresql.start)
        late.start()
        said = program("migrate")
        late.join()
        assert said.code == 0, said.err
        assert program("funnels", "--format", "json").json["funnels"] == []


def test_the_application_can_do_no_more_than_it_needs(postgresql: PostgreSQL15) -> None:
    with scratch_database(postgresql.server()) as database:
        migrate(database.owner_url)
        with psycopg.connect(database.app_url, autocommit=True) as conn:
            for forbidden in ("DELETE FROM dealtrace.events", "CREATE SCHEMA mine", "CREATE ROLE somebody"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(forbidden)
