"""Migrations run once, forward, whoever starts them and however many at once."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from infra.migrations import migrate, numbered
from infra.postgres import Server, scratch_database
from tests.store.log import Running


@pytest.fixture
def empty(server: Server) -> Iterator[Server]:
    """A database in which nothing was migrated yet."""
    with scratch_database(server) as database:
        yield database


def test_a_database_is_migrated_once(empty: Server) -> None:
    assert migrate(empty.owner_url) == sorted(numbered())
    with psycopg.connect(empty.owner_url) as conn:
        identity = conn.execute("SELECT log_id, epoch FROM dealtrace.log_head").fetchall()
    assert migrate(empty.owner_url) == []
    with psycopg.connect(empty.owner_url) as conn:
        assert conn.execute("SELECT log_id, epoch FROM dealtrace.log_head").fetchall() == identity
        assert conn.execute("SELECT number FROM dealtrace.migrations ORDER BY 1").fetchall() == [
            (n,) for n in sorted(numbered())
        ]


def test_of_several_that_migrate_at_once_one_does_and_the_others_wait_for_it(empty: Server) -> None:
    together = threading.Barrier(4)

    def start() -> list[int]:
        together.wait()
        return migrate(empty.owner_url)

    starts = [Running(start) for _ in range(4)]
    assert sorted(s.result() for s in starts) == [[], [], [], sorted(numbered())]


def test_a_database_of_a_newer_release_is_left_alone(empty: Server) -> None:
    migrate(empty.owner_url)
    with psycopg.connect(empty.owner_url) as conn:
        conn.execute("INSERT INTO dealtrace.migrations (number) VALUES (9999)")
    with pytest.raises(RuntimeError, match=r"9999.*newer release"):
        migrate(empty.owner_url)


def test_a_migration_that_fails_leaves_nothing_half_done(empty: Server) -> None:
    with psycopg.connect(empty.owner_url) as conn:
        conn.execute("CREATE SCHEMA projection")  # somebody's own: in the way of the first migration
    with pytest.raises(psycopg.errors.DuplicateSchema):
        migrate(empty.owner_url)
    with psycopg.connect(empty.owner_url) as conn:
        assert conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'dealtrace'").fetchall() == [(0,)]
        conn.execute("DROP SCHEMA projection")
    assert migrate(empty.owner_url) == sorted(numbered())


def test_migrations_are_numbered_without_a_gap() -> None:
    assert list(numbered()) == list(range(1, len(numbered()) + 1))
