"""A database for projections that many random logs can be written into, one after the other."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from domain.event import Recorded
from infra.postgres import Server
from projections.engine.catalogue import catalogue
from projections.engine.description import Projection
from tests.projections.written_log import write_log

_EMPTY = """
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT viewname FROM pg_views WHERE schemaname = 'projection' LOOP
    EXECUTE format('DROP VIEW projection.%I', one.viewname);
  END LOOP;
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'projection' AND tablename ~ '_g[0-9]+$' LOOP
    EXECUTE format('DROP TABLE projection.%I', one.tablename);
  END LOOP;
END $$;
TRUNCATE projection.checkpoints, projection.parked, projection.rebuilds, projection.rebuild_ranges, projection.versions,
  dealtrace.switches, dealtrace.events;
UPDATE dealtrace.log_head SET position = 0, recorded_at = '2000-01-01Z', epoch = 1;
"""


class Playground:
    """One database, emptied for every log written into it."""

    def __init__(self, server: Server) -> None:
        self.owner_url, self.app_url = server.owner_url, server.app_url

    def holding(self, events: Iterable[Recorded]) -> None:
        """Exactly this log, and no projection yet."""
        self.without_projections()
        write_log(self.owner_url, events)

    def without_projections(self) -> None:
        """No log and no projection."""
        with psycopg.connect(self.owner_url, autocommit=True) as conn:
            conn.execute(_EMPTY)

    def gains(self, events: Iterable[Recorded]) -> None:
        """More events at the end of the log."""
        write_log(self.owner_url, events)

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the application."""
        with psycopg.connect(self.app_url, autocommit=True) as conn:
            yield conn


@pytest.fixture
def playground(database: Server) -> Playground:
    return Playground(database)


@pytest.fixture(params=sorted(catalogue()))
def projection(request: pytest.FixtureRequest) -> Projection:
    """Every projection that the engine finds."""
    return catalogue()[request.param]
