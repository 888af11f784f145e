"""A database of somebody else's: nothing is done to its tables unasked, and who may do it is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.postgres import Server, scratch_database
from tests.cli.conftest import Program, program_on


@pytest.fixture
def bare(server: Server, template_database: str) -> Iterator[Server]:
    """A database without any table of ours, on a server that has our role."""
    with scratch_database(server) as database:
        yield database


def test_an_unmigrated_database_is_named_and_migrated_on_request(bare: Server, tmp_path: Path) -> None:
    dealtrace = program_on(bare, tmp_path)
    before = dealtrace("log")
    assert (before.code, before.err.splitlines()) == (
        1,
        ["error: The database has not been brought up to date.", "hint: dealtrace migrate"],
    )
    assert dealtrace("migrate").err.startswith("Applied 1")
    assert dealtrace("migrate").err == "Nothing to do: the tables are up to date.\n"
    assert dealtrace("log", "--format", "json").json["position"] == 0


def test_the_application_alone_may_not_migrate(bare: Server, tmp_path: Path) -> None:
    both = program_on(bare, tmp_path)
    application = Program({n: v for n, v in both.environment.items() if n != "DATABASE_OWNER_URL"}, tmp_path)
    assert application("serve", DEALTRACE_PORT="0").code == 1
    refused = application("migrate")
    assert refused.code == 1
    assert refused.err.startswith("error: PostgreSQL does not permit it:")
    assert "DATABASE_OWNER_URL" in refused.err
    assert both("migrate").code == 0
    assert application("do", "open-deal", "--funnel", "tas_plus").code == 0
