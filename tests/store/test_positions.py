"""Positions are dense and in the order of commits, whatever happens to those who append."""

import hashlib

import psycopg
import pytest

from domain.deal import AdvanceStage, DealWon, LogActivity, ReviseAmount, WinDeal
from domain.errors import DealClosed, NotAllowed, UnknownDeal
from infra.connection import connect
from infra.event_store import Appended, Moved, NewEvent, Unit, append, read_head
from infra.ids import new_id
from infra.mapper import encode
from tests.store.log import REP, Log, Running, ask, done


def test_a_new_log_is_empty_and_has_an_identity(log: Log) -> None:
    with connect(log.app_url, "test") as conn:
        head = read_head(conn)
    assert (head.position, head.epoch, log.events()) == (0, 1, [])
    assert head.log_id.version == 4


def test_positions_count_the_events(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    executor.execute([ask(AdvanceStage(deal_id=deal, to_stage="bidding")), ask(WinDeal(deal_id=deal))])
    assert [(e.position, e.version, e.topic) for e in log.events()] == [
        (1, 1, "playbook.funnel_defined"),
        (2, 2, "playbook.currency_set"),
        (3, 1, "deal.opened"),
        (4, 2, "deal.stage_advanced"),
        (5, 3, "deal.won"),
    ]
    log.assert_whole()


def test_refusals_conflicts_and_commands_that_change_nothing_take_no_position(log: Log) -> None:
    executor, other = log.start(), log.executor()
    deal = log.open_deal(executor)
    other.stream(deal)
    executor.execute([ask(WinDeal(deal_id=deal))])
    refused = other.execute(
        [
            ask(AdvanceStage(deal_id=deal, to_stage="bidding")),  # decided on a deal that has moved on
            ask(WinDeal(deal_id=new_id())),
            ask(AdvanceStage(deal_id=deal, to_stage="bidding"), actor=REP),
            ask(WinDeal(deal_id=deal)),  # it is won already
        ]
    )
    assert [type(answer) for answer in refused[:3]] == [DealClosed, UnknownDeal, DealClosed]
    assert done(refused[3]).items[0].event_ids == ()
    assert done(refused[3]).position == 4
    log.open_deal(other)
    assert log.topics(2) == ["deal.opened", "deal.won", "deal.opened"]
    log.assert_whole()


def test_a_group_that_is_rolled_back_leaves_no_hole(log: Log) -> None:
    executor = log.start()
    poisonous = ask(LogActivity(deal_id=log.open_deal(executor), kind="call"), command_id="a\0b", digest=b"1")
    before = log.rows()
    with pytest.raises(psycopg.DataError):
        executor.execute([ask(WinDeal(deal_id=before[-1][1])), poisonous])
    assert log.rows() == before
    done(executor.execute([ask(WinDeal(deal_id=before[-1][1]))])[0])
    log.assert_whole()


def test_an_append_that_fails_in_the_database_leaves_no_hole_and_no_broken_connection(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    with connect(log.app_url, "test") as conn:
        head = read_head(conn)
        bad = NewEvent(deal, -1, "deal.won", b"{}")
        with pytest.raises(psycopg.errors.CheckViolation):
            append(conn, [Unit((bad,), {deal: 1})])
        assert read_head(conn) == head
        same = NewEvent(deal, 1, "deal.won", b"{}")
        with pytest.raises(psycopg.errors.UniqueViolation):
            append(conn, [Unit((same,), {deal: 1})])
        assert read_head(conn) == head
        event = log.events()[-1]
        won = encode(event.meta, DealWon("verification"))
        (outcome,) = append(conn, [Unit((NewEvent(deal, 2, "deal.won", won),), {deal: 1})])
        assert isinstance(outcome, Appended)
    assert outcome.after == head.position


def test_an_empty_group_appends_nothing(log: Log) -> None:
    assert log.executor().execute([]) == []
    assert log.rows() == []


def test_who_waits_for_the_head_decides_nothing_on_what_came_before_it(log: Log) -> None:
    """Two that want the same version: the head is locked first, so exactly one is told that it moved."""
    executor = log.start()
    deal = log.open_deal(executor)
    event = log.events()[-1]
    unit = Unit((NewEvent(deal, 2, "deal.won", encode(event.meta, DealWon("verification"))),), {deal: 1})

    def try_it() -> object:
        with connect(log.app_url, "dealtrace log") as conn:
            return append(conn, [unit])[0]

    with log.held():
        writers = [Running(try_it) for _ in range(4)]
        log.wait_for_appenders(4)
    outcomes = [writer.result() for writer in writers]
    assert sorted(type(o).__name__ for o in outcomes) == ["Appended", "Moved", "Moved", "Moved"]
    assert [o.streams for o in outcomes if isinstance(o, Moved)] == [(deal,)] * 3
    assert log.query("SELECT position FROM dealtrace.log_head") == [(4,)]


def test_the_bytes_that_are_read_are_the_bytes_that_were_written(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor, owner="Zoë 王 \U0001f600", region='"quoted"\\')
    for row in log.rows():
        event = log.events()[row[0] - 1]
        assert encode(event.meta, event.event) == row[5]
    ((stored, algorithm),) = log.query(
        "SELECT encode(sha256(state), 'hex'), pg_column_compression(state) FROM dealtrace.events"
        " WHERE originator_id = %s",
        deal,
    )
    assert stored == hashlib.sha256(log.rows()[-1][5]).hexdigest()
    assert algorithm is None


def test_a_large_event_is_stored_uncompressed(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    contacts = tuple(new_id() for _ in range(100))
    call = LogActivity(deal_id=deal, kind="call", contacts=contacts)
    done(executor.execute([ask(call, origin="import")])[0])
    assert log.events()[-1].event.contacts == contacts
    assert log.query("SELECT DISTINCT pg_column_compression(state) FROM dealtrace.events") == [(None,)]


def test_a_reader_may_ask_which_role_was_refused(log: Log) -> None:
    analyst = ask(ReviseAmount(deal_id=new_id(), amount=None), actor=REP.__class__("eve", "analyst", "test"))
    (refusal,) = log.start().execute([analyst])
    assert isinstance(refusal, NotAllowed)
    assert "rep" in (refusal.accepted or "")
