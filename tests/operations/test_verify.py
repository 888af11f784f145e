"""Whoever changes the log past the program is found out, by reading it or by a root noted earlier."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from domain.playbook import AdoptRateSet
from domain.playbook.rates import EvidenceInput, RateInput
from domain.templates import TAS_PLUS
from infra.postgres import Server, scratch_database
from infra.recalibration_records import add_record
from infra.snapshot import one_snapshot
from infra.verify import Expected, Verification, verify_log
from projections.engine.catalogue import catalogue
from projections.engine.connecting import connect
from projections.engine.running import run_to_head
from tests.cli.conftest import program_on
from tests.operations.conftest import DEALS, rows, tell_more, told
from tests.store.log import ask
from workers.verifier import Proof, prove

SWAPPED = """
UPDATE dealtrace.events SET notification_id = -notification_id + 100 WHERE notification_id IN ({0}, {1});
UPDATE dealtrace.events SET notification_id = {0} + {1} - (100 - notification_id) WHERE notification_id > 50"""

MOVED = """
UPDATE dealtrace.events SET state = (SELECT state FROM dealtrace.events WHERE notification_id = 5)
WHERE notification_id = 4"""
TWICE = """
UPDATE dealtrace.events SET state = convert_to(regexp_replace(convert_from(state, 'UTF8'), '"event_id":"[^"]*"',
  (SELECT substring(convert_from(state, 'UTF8') FROM '"event_id":"[^"]*"') FROM dealtrace.events
   WHERE notification_id = 5)), 'UTF8')
WHERE notification_id = 4"""


def verified(server: Server, until: int | None = None, expected: Sequence[Expected] = ()) -> Verification:
    with one_snapshot(server.app_url, "test") as conn:
        return verify_log(conn, until, expected=expected)


def proven(server: Server) -> Proof:
    return prove(server.app_url, digests=True)


TAMPERINGS = {
    "a byte that breaks the JSON": (
        "UPDATE dealtrace.events SET state = set_byte(state, 0, 0) WHERE notification_id = 5",
        "position 5, deal.opened: JSON is malformed",
    ),
    "a row that is gone": (
        "DELETE FROM dealtrace.events WHERE notification_id = 5",
        "positions 5 to 5 are missing",
    ),
    "the last rows that are gone": (
        "DELETE FROM dealtrace.events WHERE notification_id > 7",
        "the log ends at position 7, not at 9",
    ),
    "a row beyond the head": (
        "UPDATE dealtrace.log_head SET position = position - 1",
        "1 events stand beyond the head, which is at 8: from 9 on",
    ),
    "another number": (
        "UPDATE dealtrace.events SET notification_id = 12 WHERE notification_id = 5",
        "positions 5 to 5 are missing",
    ),
    "two events of a stream that changed places": (
        SWAPPED.format(3, 9),
        "position 3 has version 2 of stream",
    ),
    "another version": (
        "UPDATE dealtrace.events SET originator_version = 3 WHERE notification_id = 9",
        "position 9 has version 3 of stream",
    ),
    "an earlier time": (
        "UPDATE dealtrace.events SET recorded_at = '2001-01-01Z' WHERE notification_id = 5",
        "recorded_at runs backwards at position 5",
    ),
    "a later time than the head's": (
        "UPDATE dealtrace.events SET recorded_at = '2101-01-01Z' WHERE notification_id = 9",
        "the head was recorded before the event that it points at",
    ),
    "another topic": (
        "UPDATE dealtrace.events SET topic = 'deal.stolen' WHERE notification_id = 5",
        "position 5: no release of this program knows the topic 'deal.stolen'",
    ),
    "an id that another event has": (TWICE, "stands at the positions 4, 5"),
    "the partition key of another deal": (MOVED, "position 4 of stream"),
    "another text in the vault": (
        "UPDATE dealtrace.vault SET text = 'Mr Example of the mill'",
        "in the vault is not the one that was sealed",
    ),
    "no epoch": ("DELETE FROM dealtrace.epochs", "the epochs [] are not those of a log in epoch 1"),
    "an epoch that did not begin": (
        "INSERT INTO dealtrace.epochs (epoch, after_position) VALUES (2, 0)",
        "the epochs [1, 2] are not those of a log in epoch 1",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def broken(server: Server, told_once: Server) -> Iterator[Server]:
    """A database that is mended after each tampering."""
    with scratch_database(server, template=told_once.database) as database:
        rows(database, "CREATE TABLE events AS TABLE dealtrace.events")
        rows(database, "CREATE TABLE epochs AS TABLE dealtrace.epochs")
        rows(database, "CREATE TABLE log_head AS TABLE dealtrace.log_head")
        rows(database, "CREATE TABLE vault AS TABLE dealtrace.vault")
        yield database


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_by_reading(broken: Server, what: str) -> None:
    assert verified(broken).problems == ()
    change, words = TAMPERINGS[what]
    try:
        for statement in change.split(";"):
            rows(broken, statement)
        assert any(words in problem for problem in verified(broken).problems), verified(broken).problems
    finally:
        rows(broken, "TRUNCATE dealtrace.events, dealtrace.epochs, dealtrace.log_head, dealtrace.vault")
        for table in ("events", "epochs", "log_head", "vault"):
            rows(broken, f"INSERT INTO dealtrace.{table} TABLE {table}")


def test_a_change_that_can_still_be_read_is_found_by_a_root_noted_earlier(told_log: Server) -> None:
    noted = verified(told_log)
    tell_more(told_log)
    before = Expected(noted.root, noted.position)
    assert verified(told_log, expected=[before]).problems == ()
    rows(
        told_log,
        "UPDATE dealtrace.events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'anna', 'otto'), 'UTF8')"
        " WHERE notification_id = 4",
    )
    assert verified(told_log).problems == ()  # it reads well
    (problem,) = verified(told_log, expected=[before]).problems
    assert problem.startswith("the root at position 9 is")
    assert problem.endswith(f"{noted.root} was expected")
    (problem,) = verified(told_log, expected=[Expected(noted.root, 500)]).problems
    assert problem == "there is no position 500 to compare a root at"


def test_the_root_at_a_position_is_what_it_was_when_the_log_ended_there(told_log: Server) -> None:
    noted = verified(told_log)
    tell_more(told_log)
    assert verified(told_log).root != noted.root
    assert verified(told_log, noted.position) == noted
    assert verified(told_log, expected=[Expected("0" * 64, 0)]).problems != ()


def test_a_projection_that_was_changed_is_found(told_log: Server) -> None:
    whole = proven(told_log)
    assert whole.problems == ()
    assert {d.projection: d.live for d in whole.digests} == {d.projection: d.replayed for d in whole.digests}
    assert {d.projection for d in whole.digests} == set(catalogue())
    (table,) = (t for t in catalogue()["deals"].tables if "owner" in t.names)
    with connect(told_log.app_url) as conn:
        conn.execute(f"UPDATE projection.{table.name}_v{catalogue()['deals'].version} SET owner = 'otto'")
    (problem,) = proven(told_log).problems
    assert problem.startswith("deals v")
    assert "is not what the log makes of it at position 9" in problem


def test_skipped_events_and_another_log_are_problems_too(told_log: Server) -> None:
    run_to_head(told_log.app_url)
    rows(
        told_log,
        "UPDATE projection.checkpoints SET applied = applied - 1, elsewhere = 1 WHERE projection = 'deals'",
    )
    assert [p.partition(":")[0] for p in proven(told_log).problems] == ["deals v1 skipped events"]
    rows(told_log, "UPDATE projection.checkpoints SET epoch = 7 WHERE projection = 'timeline'")
    assert any(p.endswith("epoch 7") and p.startswith("timeline v1") for p in proven(told_log).problems)


MISFITS = {
    "UPDATE dealtrace.import_ledger SET position = 500": "the import ledger has 1 rows beyond the head of the log, of a crm",
    "UPDATE dealtrace.command_results SET result = convert_to(replace(convert_from(result, 'UTF8'), '\"position\":',"
    " '\"position\":50'), 'UTF8') WHERE get_byte(result, 0) = 123": "results of commands are remembered that name positions",
    "DELETE FROM dealtrace.recalibration_records": "is done, and its record is not there",
}


@pytest.mark.parametrize("what", MISFITS)
def test_what_lies_beside_the_log_and_does_not_fit_it_is_found(told_log: Server, what: str) -> None:
    assert prove(told_log.app_url).problems == ()
    rows(told_log, what)
    (problem,) = prove(told_log.app_url).problems
    assert MISFITS[what] in problem


def test_a_rate_set_whose_evidence_is_gone_or_another_is_found(told_log: Server) -> None:
    digest = "cd" * 32
    evidence = EvidenceInput(record=DEALS[0], digest=digest, candidate="landmark/1")
    rates = tuple(RateInput(stage=stage.key, rate=Decimal("0.5")) for stage in TAS_PLUS.stages)
    adopt = AdoptRateSet(funnel="tas_plus", rates=rates, evidence=evidence, reason="better")
    (done,) = told(told_log, ask(adopt))
    problem = (
        f"position {done.position}: the record {DEALS[0]}, from which a rate set was adopted, is not there"
    )
    assert prove(told_log.app_url).problems == (problem,)
    with connect(told_log.app_url) as conn:
        add_record(conn, DEALS[0], "ef" * 32, "tas_plus", datetime(2026, 3, 1, tzinfo=UTC), b"{}")
    (problem,) = prove(told_log.app_url).problems
    assert f"was adopted from the digest {digest} of the record {DEALS[0]}, whose digest is efef" in problem


def test_the_program_says_so_and_ends_with_1(told_log: Server, tmp_path: Path) -> None:
    rows(told_log, "DELETE FROM dealtrace.events WHERE notification_id = 5")
    said = program_on(told_log, tmp_path)("verify", "--format", "json")
    assert said.code == 1
    assert "positions 5 to 5 are missing" in said.json["problems"]
    assert "positions 5 to 5 are missing" in said.err
    wrong = program_on(told_log, tmp_path)("verify", "--expect", "abc@3")
    assert (wrong.code, wrong.err.splitlines()[0].startswith("error: --expect must be a root")) == (2, True)
