"""A log for one test alone."""

from collections.abc import Iterator

import pytest

from infra.postgres import Server, scratch_database
from tests.store.log import Log

@pytest.fixture(scope="session")
def store_database(server: Server, template_database: str) -> Iterator[Server]:
    """One migrated database for all tests of the log: emptying it is much quicker than making another."""
    with scratch_database(server, template=template_database) as database:
        yield database


@pytest.fixture
def log(store_database: Server) -> Iterator[Log]:
    """An empty log; nothing defined yet."""
    log = Log(store_database)
    log.empty()
    yield log
    log.close()
