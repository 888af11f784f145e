"""A log for one test alone."""

from collections.abc import Iterator

import psycopg
import pytest

from infra.postgres import Server, scratch_database
from tests.store.log import Log

_EMPTY = """
DELETE FROM dealtrace.events;
DELETE FROM dealtrace.command_results;
DELETE FROM dealtrace.import_ledger;
DELETE FROM dealtrace.vault;
UPDATE dealtrace.log_head SET position = 0, recorded_at = clock_timestamp();
"""


@pytest.fixture(scope="session")
def store_database(server: Server, template_database: str) -> Iterator[Server]:
    """One migrated database for all tests of the log: emptying it is much quicker than making another."""
    with scratch_database(server, template=template_database) as database:
        yield database


@pytest.fixture
def log(store_database: Server) -> Iterator[Log]:
    """An empty log; nothing defined yet."""
    with psycopg.connect(store_database.owner_url, autocommit=True) as conn:
        conn.execute(_EMPTY)
    log = Log(store_database)
    yield log
    log.close()
