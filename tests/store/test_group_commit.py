"""Commands that come at the same time share a transaction, and nobody suffers from his neighbours."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from domain.deal import LogActivity, OpenDeal, WinDeal
from domain.errors import Overloaded, UnknownDeal
from infra.group_commit import GroupCommit
from infra.ids import new_id
from infra.requests import Request, Result
from tests.store.log import Log, Running, ask, done, wait_until


@contextmanager
def group_commit(log: Log, **limits: int) -> Iterator[GroupCommit]:
    """A group commit of its own, closed after use."""
    group = GroupCommit(log.executor(), **limits)
    try:
        yield group
    finally:
        group.close()


def transactions(log: Log) -> list[int]:
    """How many events each transaction brought, in order."""
    rows = log.query(
        "SELECT min(notification_id), count(*) FROM dealtrace.events GROUP BY xmin::text ORDER BY 1"
    )
    return [count for _, count in rows]


def test_commands_that_wait_while_a_group_commits_become_the_next_group(log: Log) -> None:
    log.start()
    with group_commit(log) as group:
        with log.held():
            first = Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus"))))
            log.wait_for_appenders(1)
            more = [Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus")))) for _ in range(20)]
            wait_until(lambda: group.waiting == 20)
        results = [done(running.result()) for running in (first, *more)]
    assert transactions(log) == [2, 1, 20]
    assert sorted(r.position for r in results) == list(range(3, 24))
    log.assert_whole()


def test_a_group_is_no_larger_than_it_may_be(log: Log) -> None:
    log.start()
    with group_commit(log, max_group=7) as group:
        with log.held():
            first = Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus"))))
            log.wait_for_appenders(1)
            more = [Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus")))) for _ in range(20)]
            wait_until(lambda: group.waiting == 20)
        for running in (first, *more):
            done(running.result())
    assert transactions(log) == [2, 1, 7, 7, 6]


def test_a_refusal_goes_to_the_one_who_asked_for_it(log: Log) -> None:
    log.start()
    with group_commit(log) as group:
        with log.held():
            first = Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus"))))
            log.wait_for_appenders(1)
            bad = Running(lambda: group.run(ask(WinDeal(deal_id=new_id()))))
            good = Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus"))))
            wait_until(lambda: group.waiting == 2)
        done(first.result())
        done(good.result())
        with pytest.raises(UnknownDeal):
            bad.result()


def test_a_command_that_the_database_can_not_take_fails_alone(log: Log) -> None:
    deal = log.open_deal(log.start())
    with group_commit(log) as group:
        with log.held():
            first = Running(lambda: group.run(ask(LogActivity(deal_id=deal, kind="call"))))
            log.wait_for_appenders(1)
            poison = Running(
                lambda: group.run(ask(LogActivity(deal_id=deal, kind="call"), command_id="\0", digest=b"1"))
            )
            good = [Running(lambda: group.run(ask(LogActivity(deal_id=deal, kind="call")))) for _ in range(5)]
            wait_until(lambda: group.waiting == 6)
        for running in (first, *good):
            done(running.result())
        with pytest.raises(psycopg.DataError):
            poison.result()
    assert log.topics(3) == ["deal.activity_logged"] * 6
    log.assert_whole()


def test_to_find_it_the_others_are_halved_and_not_taken_one_by_one(log: Log) -> None:
    log.start()
    with group_commit(log) as group:
        with log.held():
            first = Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus"))))
            log.wait_for_appenders(1)
            before = [Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus")))) for _ in range(20)]
            wait_until(lambda: group.waiting == 20)
            poison = Running(
                lambda: group.run(ask(OpenDeal(funnel="tas_plus"), command_id="\0", digest=b"1"))
            )
            wait_until(lambda: group.waiting == 21)
            after = [Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus")))) for _ in range(11)]
            wait_until(lambda: group.waiting == 32)
        for running in (first, *before, *after):
            done(running.result())
        with pytest.raises(psycopg.DataError):
            poison.result()
    # 32 waited, the poison as the 21st: the halves without it went through as they were.
    assert sorted(transactions(log)) == [1, 1, 2, 2, 4, 8, 16]
    log.assert_whole()


def test_when_too_much_waits_more_is_refused_at_once(log: Log) -> None:
    log.start()
    with group_commit(log, max_waiting=3) as group:
        with log.held():
            running = [Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus"))))]
            log.wait_for_appenders(1)
            running += [Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus")))) for _ in range(3)]
            wait_until(lambda: group.waiting == 3)
            with pytest.raises(Overloaded) as refusal:
                group.run(ask(OpenDeal(funnel="tas_plus")))
            assert refusal.value.accepted
        for each in running:
            done(each.result())
        done(group.run(ask(OpenDeal(funnel="tas_plus"))))
    assert log.topics(2) == ["deal.opened"] * 5


def test_closing_finishes_what_was_accepted_and_takes_no_more(log: Log) -> None:
    log.start()
    group = GroupCommit(log.executor())
    with log.held():
        accepted = [Running(lambda: group.run(ask(OpenDeal(funnel="tas_plus")))) for _ in range(4)]
        log.wait_for_appenders(1)
        closing = Running(group.close)
        wait_until(lambda: group._closing)
        with pytest.raises(Overloaded, match="stopping"):
            group.run(ask(OpenDeal(funnel="tas_plus")))
    closing.result()
    for running in accepted:
        done(running.result())


def test_answers_come_back_in_one_delivery_per_group(log: Log) -> None:
    log.start()
    deliveries: list[list[tuple[Any, Any]]] = []
    with group_commit(log) as group:
        with log.held():
            group.submit(ask(OpenDeal(funnel="tas_plus")), "first", deliveries.append)
            log.wait_for_appenders(1)
            for token in range(3):
                group.submit(ask(OpenDeal(funnel="tas_plus")), token, deliveries.append)
        wait_until(lambda: len(deliveries) == 2)
    assert [[token for token, _ in batch] for batch in deliveries] == [["first"], [0, 1, 2]]
    assert all(isinstance(answer, Result) for batch in deliveries for _, answer in batch)


def test_one_who_does_not_take_his_answer_stops_nobody(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.start()

    def gone(_batch: object) -> None:
        raise RuntimeError("gone")

    with group_commit(log) as group:
        group.submit(ask(OpenDeal(funnel="tas_plus")), None, gone)
        done(group.run(ask(OpenDeal(funnel="tas_plus"))))
    assert "nobody took the answers of 1 commands" in caplog.text


def test_when_the_log_is_out_of_reach_everybody_hears_so_and_nothing_is_sent_again(
    log: Log, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the group was committed is not known then: asking again one by one could do it twice."""
    asked = []

    class Away:
        def execute(self, requests: list[Request]) -> Any:
            asked.append(len(requests))
            return log.executor(f"postgresql://nobody@/none?host={tmp_path}", patience=0.05).execute(requests)

    group = GroupCommit(Away())  # type: ignore[arg-type]
    together = threading.Barrier(3)

    def submit() -> None:
        together.wait()
        group.run(ask(OpenDeal(funnel="tas_plus")))

    for running in [Running(submit) for _ in range(3)]:
        with pytest.raises(psycopg.OperationalError):
            running.result()
    group.close()
    assert sum(asked) <= 3, "what waited behind a failure is not even tried"


def test_many_threads_each_get_their_own_answer(log: Log) -> None:
    executor = log.start()
    deals = [log.open_deal(executor) for _ in range(8)]
    with group_commit(log) as group:

        def work(deal: Any) -> list[int]:
            return [
                group.run(ask(LogActivity(deal_id=deal, kind="call"))).items[0].version for _ in range(25)
            ]

        workers = [Running(lambda d=deal: work(d)) for deal in deals]
        assert [w.result() for w in workers] == [list(range(2, 27))] * 8
    log.assert_whole()
