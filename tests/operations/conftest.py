"""The servers that some tests of this folder need; where one is not installed, the skip says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.postgres import Server
from tests.operations.servers import PGBOUNCER, PROGRAMS_15, PostgreSQL15, pgbouncer, postgresql_15


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL15]:
    """A PostgreSQL 15 with passwords, as somebody else runs it."""
    if not (PROGRAMS_15 / "initdb").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {PROGRAMS_15}")
    with postgresql_15(tmp_path_factory.mktemp("postgresql_15")) as running:
        yield running


@pytest.fixture
def pooled(database: Server, tmp_path: Path) -> Iterator[Server]:
    """A migrated, empty database behind a PgBouncer in transaction mode that lends three sessions."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed")
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    with pgbouncer(database, folder) as behind:
        yield behind
