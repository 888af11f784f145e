"""The application may add to the log and read it; nothing it could be made to do changes what stands there."""

import psycopg
import pytest

from domain.deal import WinDeal
from infra.connection import connect
from tests.store.log import Log, ask

FORBIDDEN = [
    "UPDATE dealtrace.events SET state = 'x'",
    "UPDATE dealtrace.events SET notification_id = 7",
    "DELETE FROM dealtrace.events",
    "TRUNCATE dealtrace.events",
    "DROP TABLE dealtrace.events",
    "ALTER TABLE dealtrace.events DISABLE TRIGGER ALL",
    "ALTER TABLE dealtrace.events ADD COLUMN more text",
    "CREATE TRIGGER t AFTER INSERT ON dealtrace.events EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON INSERT TO dealtrace.events DO INSTEAD NOTHING",
    "LOCK TABLE dealtrace.events IN ACCESS EXCLUSIVE MODE",
    "UPDATE dealtrace.log_head SET log_id = gen_random_uuid()",
    "UPDATE dealtrace.log_head SET epoch = epoch + 1",
    "DELETE FROM dealtrace.log_head",
    "INSERT INTO dealtrace.log_head SELECT * FROM dealtrace.log_head",
    "TRUNCATE dealtrace.log_head",
    "INSERT INTO dealtrace.epochs (epoch, after_position) VALUES (2, 0)",
    "UPDATE dealtrace.epochs SET after_position = 7",
    "UPDATE dealtrace.command_results SET result = 'x'",
    "UPDATE dealtrace.secrets SET command_key = sha256('')",
    "DELETE FROM dealtrace.secrets",
    "UPDATE dealtrace.import_ledger SET position = 7",
    "DELETE FROM dealtrace.import_ledger",
    "UPDATE dealtrace.vault SET text = 'x'",
    "TRUNCATE dealtrace.vault",
    "INSERT INTO dealtrace.migrations (number) VALUES (99)",
    "CREATE TABLE dealtrace.more (x int)",
    "CREATE SCHEMA more",
    "CREATE ROLE somebody",
    "COPY dealtrace.events TO PROGRAM 'cat'",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not(log: Log, statement: str) -> None:
    log.open_deal(log.start())
    before = log.rows()
    with (
        connect(log.app_url, "test") as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        conn.transaction(),
    ):
        conn.execute(statement.encode())
    assert log.rows() == before


def test_the_owner_could_so_the_refusals_above_are_about_the_role(log: Log) -> None:
    log.open_deal(log.start())
    log.query("UPDATE dealtrace.events SET state = state")
    log.query("UPDATE dealtrace.log_head SET epoch = epoch")


def test_the_application_is_no_superuser_and_owns_nothing_of_the_log(log: Log) -> None:
    assert log.query(
        "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'dealtrace_app'"
    ) == [(False, False, False)]
    owned = "SELECT count(*) FROM pg_tables WHERE schemaname = 'dealtrace' AND tableowner = 'dealtrace_app'"
    assert log.query(owned) == [(0,)]


def test_the_application_may_make_tables_for_its_projections(log: Log) -> None:
    with connect(log.app_url, "test") as conn, conn.transaction(force_rollback=True):
        conn.execute("CREATE TABLE projection.scratch (x int)")


def test_sql_in_every_string_is_only_a_string(log: Log) -> None:
    executor = log.start()
    evil = "'; DROP TABLE dealtrace.events; -- %s %(x)s {} \\"
    deal = log.open_deal(
        executor, owner=evil, region=evil, product_line=evil, name=evil, external={"source": evil, "id": evil}
    )
    executor.execute([ask(WinDeal(deal_id=deal), command_id=evil, digest=b"1", request_id=evil)])
    assert log.events()[2].event.owner == evil
    assert log.events()[3].meta.command_id == evil
    log.assert_whole()
