"""A retry gets the first answer; a duplicate has one effect; an id means one request for one actor."""

import hashlib
from contextlib import closing
from uuid import uuid4

import pytest

from domain.deal import AdvanceStage, LogActivity, OpenDeal, RenameDeal, WinDeal
from domain.errors import CommandIdReused, DealExists, UnknownStage
from domain.event import Actor
from domain.playbook import RetireFunnel
from infra.command_results import forget_old_results
from infra.connection import connect
from infra.event_store import LedgerRow
from infra.ids import new_id
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from infra.requests import Request, Result
from tests.store.log import ADMIN, Log, Running, ask, done


def opening() -> Request:
    return ask(OpenDeal(funnel="tas_plus", name="New deal"), digest=b"open")


def test_a_retry_gets_the_first_result_and_does_nothing(log: Log) -> None:
    executor, request = log.start(), opening()
    first = done(executor.execute([request])[0])
    before = log.rows()
    for retrying in (executor, log.executor()):
        again = done(retrying.execute([request])[0])
        assert again.repeated
        assert (again.items, again.position) == (first.items, first.position)
    assert log.rows() == before
    assert log.count("vault") == 1


def test_the_same_command_twice_in_one_group_is_done_once(log: Log) -> None:
    executor, request = log.start(), opening()
    first, second, third = executor.execute([request, request, ask(OpenDeal(funnel="tas_plus"))])
    assert done(first).items == done(second).items
    assert (done(first).repeated, done(second).repeated) == (False, True)
    assert done(third).items[0].stream_id != done(first).items[0].stream_id
    assert log.topics(2) == ["deal.opened"] * 2
    assert log.count("vault") == 1


def test_what_follows_a_duplicate_in_its_group_stands_on_what_really_happened(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    call = ask(LogActivity(deal_id=deal, kind="call"), digest=b"call")
    answers = executor.execute([call, call, ask(WinDeal(deal_id=deal))])
    assert [done(a).items[0].version for a in answers] == [2, 2, 3]
    assert log.topics(3) == ["deal.activity_logged", "deal.won"]
    log.assert_whole()


def test_concurrent_duplicates_have_one_effect_and_both_get_its_result(log: Log) -> None:
    log.start()
    request = opening()
    with log.held():
        both = [Running(lambda: done(log.executor().execute([request])[0])) for _ in range(2)]
        log.wait_for_appenders(2)
    one, two = (running.result() for running in both)
    assert (one.items, one.position) == (two.items, two.position)
    assert {one.repeated, two.repeated} == {False, True}
    assert log.topics(2) == ["deal.opened"]


def test_a_duplicate_that_comes_while_the_first_commits_waits_for_its_answer(log: Log) -> None:
    """The first one's transaction is open, nothing of it can be seen yet: the duplicate does not run ahead."""
    executor = log.start()
    deal = log.open_deal(executor)
    request = ask(LogActivity(deal_id=deal, kind="call"), digest=b"1")
    with log.held():
        first = Running(lambda: executor.execute([request]))
        log.wait_for_appenders(1)
        second = Running(lambda: log.executor().execute([request]))
        log.wait_for_appenders(2)
    assert done(first.result()[0]).items == done(second.result()[0]).items
    assert log.topics(3) == ["deal.activity_logged"]


def test_the_same_id_with_another_body_is_refused(log: Log) -> None:
    executor, request = log.start(), opening()
    done(executor.execute([request])[0])
    other = ask(OpenDeal(funnel="tas_plus"), command_id=request.command_id, digest=b"another")
    for answer in (executor.execute([other])[0], log.executor().execute([other])[0]):
        assert isinstance(answer, CommandIdReused)
        assert (answer.field, answer.accepted) == ("Idempotency-Key", "a new key for a new request")
    assert log.topics(2) == ["deal.opened"]


def test_the_same_id_with_another_body_in_one_group_is_refused(log: Log) -> None:
    request = opening()
    other = ask(OpenDeal(funnel="tas_plus"), command_id=request.command_id, digest=b"another")
    first, second = log.start().execute([request, other])
    assert isinstance(first, Result)
    assert isinstance(second, CommandIdReused)


def test_another_actor_may_use_the_same_id(log: Log) -> None:
    executor, request = log.start(), opening()
    theirs = ask(
        OpenDeal(funnel="tas_plus"),
        command_id=request.command_id,
        digest=b"another",
        actor=Actor("carol", "rep", "test"),
    )
    mine, hers = executor.execute([request, theirs])
    assert not done(mine).repeated
    assert not done(hers).repeated


def test_a_retry_gets_the_first_answer_even_if_it_would_be_refused_today(log: Log) -> None:
    executor = log.start()
    deal = new_id()
    request = ask(OpenDeal(deal_id=deal, funnel="tas_plus"), digest=b"1")
    move = ask(AdvanceStage(deal_id=deal, to_stage="bidding"), digest=b"2", expected=(1,))
    first, moved = (done(a) for a in executor.execute([request, move]))
    done(
        executor.execute([ask(RetireFunnel(funnel="tas_plus", reason="old")), ask(WinDeal(deal_id=deal))])[1]
    )
    for retrying in (executor, log.executor()):
        assert isinstance(retrying.execute([ask(OpenDeal(deal_id=deal, funnel="tas_plus"))])[0], DealExists)
        opened_again, moved_again = (done(a) for a in retrying.execute([request, move]))
        assert (opened_again.items, opened_again.position) == (first.items, first.position)
        assert (moved_again.items, moved_again.position) == (moved.items, moved.position)


def test_a_refusal_is_not_recorded_so_that_the_same_id_may_succeed_later(log: Log) -> None:
    executor, deal = log.start(), new_id()
    request = ask(WinDeal(deal_id=deal), digest=b"1")
    assert not isinstance(executor.execute([request])[0], Result)
    assert log.count("command_results") == 0
    executor.execute([ask(OpenDeal(deal_id=deal, funnel="tas_plus"))])
    assert not done(executor.execute([request])[0]).repeated


def test_a_command_that_changed_nothing_is_remembered_too(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    request = ask(AdvanceStage(deal_id=deal, to_stage="verification"), digest=b"1")
    first = done(executor.execute([request])[0])
    assert first.items[0].event_ids == ()
    executor.execute([ask(AdvanceStage(deal_id=deal, to_stage="bidding"))])
    again = done(executor.execute([request])[0])  # today it would be refused: bidding lies behind
    assert (again.items, again.position, again.repeated) == (first.items, first.position, True)


def test_without_a_digest_nothing_is_remembered(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    request = ask(LogActivity(deal_id=deal, kind="call"))
    executor.execute([request, request])
    assert log.topics(3) == ["deal.activity_logged"] * 2
    assert log.count("command_results") == 0


def test_a_batch_is_remembered_as_one(log: Log) -> None:
    executor = log.start()
    batch = ask(OpenDeal(funnel="tas_plus", name="a"), OpenDeal(funnel="tas_plus", name="b"), digest=b"batch")
    first = done(executor.execute([batch])[0])
    again = done(log.executor().execute([batch])[0])
    assert (again.items, len(first.items)) == (first.items, 2)
    assert log.topics(2) == ["deal.opened"] * 2


def test_what_is_remembered_holds_no_personal_text(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    executor.execute([ask(RenameDeal(deal_id=deal, name="Geheimnisträger"), digest=b"1")])
    kept = b"".join(bytes(result) for (result,) in log.query("SELECT result FROM dealtrace.command_results"))
    assert kept
    assert b"Geheimnis" not in kept


def test_what_a_request_said_can_not_be_guessed_from_what_is_remembered(log: Log) -> None:
    request = opening()
    assert request.digest is not None
    done(log.start().execute([request])[0])
    [(stored,)] = log.query("SELECT request_digest FROM dealtrace.command_results")
    [(key,)] = log.query("SELECT command_key FROM dealtrace.secrets")
    assert bytes(stored) == hashlib.sha256(bytes(key) + request.digest).digest()
    assert bytes(stored) not in (request.digest, hashlib.sha256(request.digest).digest())


def test_what_was_remembered_before_there_was_a_key_is_remembered_with_it(server: Server) -> None:
    with scratch_database(server) as before:
        migrate(before.owner_url, upto=2)
        log, request = Log(before), opening()
        log.query(
            "INSERT INTO dealtrace.command_results VALUES (%s, %s, %s, %s, now())",
            request.actor.id, request.command_id, request.digest, b'{"items":[],"position":7}',
        )  # fmt: skip
        migrate(before.owner_url)
        with closing(log):
            again = done(log.executor().execute([request])[0])
        assert (again.repeated, again.position) == (True, 7)


def test_results_are_forgotten_after_thirty_days_a_few_at_once(log: Log) -> None:
    executor, late, request = log.start(), [opening() for _ in range(3)], opening()
    assert all(isinstance(a, Result) for a in executor.execute(late))
    log.query("UPDATE dealtrace.command_results SET recorded_at = recorded_at - interval '30 days 1 minute'")
    done(executor.execute([request])[0])
    log.query(
        "UPDATE dealtrace.command_results SET recorded_at = recorded_at - interval '29 days' WHERE command_id = %s",
        request.command_id,
    )
    with connect(log.app_url, "test") as conn:
        assert [forget_old_results(conn, most=2) for _ in range(3)] == [2, 1, 0]
    assert done(executor.execute([request])[0]).repeated
    assert not done(executor.execute([late[0]])[0]).repeated


# --- Imports dedupe by their own ledger


def imported(deal_id: object, row_key: bytes | None = None, **more: object) -> Request:
    row = LedgerRow(row_key or uuid4().bytes, "crm")  # type: ignore[arg-type]
    return ask(OpenDeal(deal_id=deal_id, funnel="tas_plus"), origin="import", row=row, **more)


def test_an_imported_row_is_imported_once(log: Log) -> None:
    executor, row = log.start(), imported(new_id())
    first = done(executor.execute([row])[0])
    for importer in (executor, log.executor()):
        again = done(importer.execute([row])[0])
        assert (again.repeated, again.position) == (True, first.position)
    twice = imported(new_id())
    assert [done(a).repeated for a in executor.execute([twice, twice])] == [False, True]
    assert log.topics(2) == ["deal.opened"] * 2
    assert log.count("import_ledger") == 2


def test_a_row_that_changes_nothing_is_in_the_ledger_too(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    row = ask(
        AdvanceStage(deal_id=deal, to_stage="verification"),
        origin="import",
        row=LedgerRow(uuid4().bytes, "crm"),
    )
    assert [done(executor.execute([row])[0]).repeated for _ in range(2)] == [False, True]


def test_a_refused_row_is_not_in_the_ledger_so_that_a_mended_file_can_bring_it(log: Log) -> None:
    executor, key = log.start(), uuid4().bytes
    deal = log.open_deal(executor)
    bad = ask(AdvanceStage(deal_id=deal, to_stage="nowhere"), origin="import", row=LedgerRow(key, "crm"))
    assert isinstance(executor.execute([bad])[0], UnknownStage)
    good = ask(AdvanceStage(deal_id=deal, to_stage="bidding"), origin="import", row=LedgerRow(key, "crm"))
    assert not done(executor.execute([good])[0]).repeated


def test_two_imports_of_the_same_file_at_once_import_each_row_once(log: Log) -> None:
    log.start()
    rows = [imported(new_id()) for _ in range(20)]
    with log.held():
        both = [Running(lambda: log.executor().execute(rows)) for _ in range(2)]
        log.wait_for_appenders(2)
    one, two = (running.result() for running in both)
    assert {a.repeated for a in one} ^ {a.repeated for a in two} == {False, True}
    assert log.topics(2) == ["deal.opened"] * 20
    assert log.count("import_ledger") == 20


@pytest.mark.parametrize("digest", [b"", b"\0" * 32])
def test_any_digest_will_do(log: Log, digest: bytes) -> None:
    executor = log.start()
    request = ask(OpenDeal(funnel="tas_plus"), digest=digest, actor=ADMIN)
    assert [done(a).repeated for a in executor.execute([request, request])] == [False, True]
