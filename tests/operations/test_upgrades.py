"""From whichever migration a database stands at, the present release brings it to the same tables with the same log."""

from typing import Any

import pytest

from infra.migrations import migrate, numbered
from infra.postgres import Server, scratch_database
from projections.engine.catalogue import catalogue
from projections.engine.connecting import connect
from projections.engine.digests import digest, replay
from projections.engine.running import run_to_head
from tests.operations.conftest import rows
from tests.projections.failing import two_deals
from tests.projections.written_log import write_log

_SHAPE = """
SELECT 'column', table_schema, table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema IN ('dealtrace', 'projection')
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
FROM pg_constraint WHERE connamespace::regnamespace::text IN ('dealtrace', 'projection')
UNION ALL
SELECT 'grant', table_schema, table_name, privilege_type, grantee, '', ''
FROM information_schema.role_table_grants WHERE table_schema IN ('dealtrace', 'projection')
UNION ALL
SELECT 'function', pronamespace::regnamespace::text, proname, prosrc, '', '', ''
FROM pg_proc WHERE pronamespace::regnamespace::text IN ('dealtrace', 'projection')
ORDER BY 1, 2, 3, 4, 5"""


def shape(database: Server) -> list[Any]:
    """Tables, constraints, rights and functions."""
    return rows(database, _SHAPE)


@pytest.mark.parametrize("number", sorted(numbered()))
def test_from_every_migration_a_database_comes_to_where_a_new_one_begins(
    server: Server, migrated: Server, number: int
) -> None:
    log = two_deals()
    with scratch_database(server) as database:
        assert migrate(database.owner_url, upto=number) == list(range(1, number + 1))
        write_log(database.owner_url, log)
        before = rows(database, "SELECT * FROM dealtrace.events ORDER BY notification_id")
        assert migrate(database.owner_url) == sorted(n for n in numbered() if n > number)
        assert shape(database) == shape(migrated)
        assert rows(database, "SELECT * FROM dealtrace.events ORDER BY notification_id") == before
        run_to_head(database.app_url)
        with connect(database.app_url) as conn:
            assert {name: digest(conn, p) for name, p in catalogue().items()} == replay(log)
