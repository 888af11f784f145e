"""A decision counts only if everything it stood on is still so; what others did meanwhile is never overwritten."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.account import OpenAccount, RenameAccount
from domain.deal import (
    AdvanceStage,
    LogActivity,
    MergeDeal,
    OpenDeal,
    RegressStage,
    ReviseOwner,
    VoidDeal,
    WinDeal,
)
from domain.errors import (
    Contended,
    DealClosed,
    DealGone,
    InvalidCommand,
    StaleVersion,
    UnknownDeal,
    UnknownFunnel,
    UnknownStage,
    WrongStage,
)
from domain.manager_forecast import forecast_stream
from domain.playbook import (
    STREAM_ID,
    FunnelRetired,
    NamesInput,
    ReviseFunnel,
    StageInput,
)
from domain.templates import CUSTOMER, TAS_PLUS
from infra.connection import LogConnection
from infra.event_store import LedgerRow, NewEvent, Unit, append
from infra.executor import ATTEMPTS, Executor
from infra.ids import new_id
from infra.mapper import encode
from infra.requests import Request, Result
from tests.store.log import REP, Log, Running, ask, done
from tests.store.replay import assert_every_event_was_rightly_decided, command_for

WITH_A_NEW_STAGE = ReviseFunnel(
    funnel="tas_plus",
    label=NamesInput(en="Longer"),
    stages=(
        *TAS_PLUS.stages,
        StageInput(
            key="extra", label=NamesInput(en="Extra"), macro_stage="contract_signed", stall_after_days=9
        ),
    ),
)


def test_a_deal_that_another_process_closed_is_closed_for_everybody(log: Log) -> None:
    one, two = log.start(), log.executor()
    deal = log.open_deal(one)
    two.stream(deal)  # what it remembers is stale from here on
    done(one.execute([ask(WinDeal(deal_id=deal))])[0])
    assert isinstance(two.execute([ask(AdvanceStage(deal_id=deal, to_stage="bidding"))])[0], DealClosed)


def test_a_refusal_is_checked_against_the_present_too(log: Log) -> None:
    """Decided on what it remembers, the second process would refuse; the funnel is there meanwhile."""
    one, two = log.start(), log.executor()
    assert isinstance(two.execute([ask(OpenDeal(funnel="customer"))])[0], UnknownFunnel)
    done(one.execute([ask(CUSTOMER)])[0])
    done(two.execute([ask(OpenDeal(funnel="customer"))])[0])


def test_an_expected_version_is_compared_with_the_present_one_not_with_a_stale_memory(log: Log) -> None:
    one, two = log.start(), log.executor()
    deal = log.open_deal(one)
    two.stream(deal)
    done(one.execute([ask(ReviseOwner(deal_id=deal, owner="carol"))])[0])
    (stale,) = two.execute([ask(WinDeal(deal_id=deal), expected=(1,))])
    assert isinstance(stale, StaleVersion)
    assert stale.current == 2
    two_again = log.executor()
    two_again.stream(deal)
    done(one.execute([ask(ReviseOwner(deal_id=deal, owner="dave"))])[0])
    assert done(two_again.execute([ask(WinDeal(deal_id=deal), expected=(3,))])[0]).items[0].version == 4


def test_a_playbook_revised_between_decision_and_append_decides_again(log: Log) -> None:
    """The decision waits at the head with its mind made up while the funnel is retired before its eyes."""
    executor = log.start()
    playbook = log.events()[0]
    meta = msgspec.structs.replace(playbook.meta, event_id=new_id())
    retired = NewEvent(STREAM_ID, 3, FunnelRetired.TOPIC, encode(meta, FunnelRetired("tas_plus", "old")))
    with log.held() as conn:
        opening = Running(lambda: executor.execute([ask(OpenDeal(funnel="tas_plus"))]))
        log.wait_for_appenders(1)
        append(conn, [Unit((retired,), {STREAM_ID: 2})])
    assert isinstance(opening.result()[0], UnknownFunnel)
    assert log.topics(2) == ["playbook.funnel_retired"]
    log.assert_whole()


def test_a_decision_names_the_playbook_that_was_in_force(log: Log) -> None:
    one, two = log.start(), log.executor()
    deal = log.open_deal(one)
    two.stream(deal), two.stream(STREAM_ID)
    assert isinstance(two.execute([ask(AdvanceStage(deal_id=deal, to_stage="extra"))])[0], UnknownStage)
    done(one.execute([ask(WITH_A_NEW_STAGE)])[0])
    done(two.execute([ask(AdvanceStage(deal_id=deal, to_stage="extra"))])[0])
    assert [(e.topic, e.meta.playbook_version) for e in log.events(2)] == [
        ("deal.opened", 2),
        ("playbook.funnel_revised", 2),
        ("deal.stage_advanced", 3),
    ]


def test_a_deal_is_not_merged_into_one_that_was_voided_meanwhile(log: Log) -> None:
    one, two = log.start(), log.executor()
    deal, target = log.open_deal(one), log.open_deal(one)
    two.stream(deal), two.stream(target)
    done(one.execute([ask(VoidDeal(deal_id=target, reason="-"))])[0])
    (refusal,) = two.execute([ask(MergeDeal(deal_id=deal, into=target, reason="-"))])
    assert isinstance(refusal, DealGone)
    assert refusal.field == "into"


def test_two_deals_are_not_merged_into_each_other_at_once(log: Log) -> None:
    executor = log.start()
    one, two = log.open_deal(executor), log.open_deal(executor)
    with log.held():
        both = [
            Running(lambda m=m: log.executor().execute([ask(m)])[0])
            for m in (
                MergeDeal(deal_id=one, into=two, reason="-"),
                MergeDeal(deal_id=two, into=one, reason="-"),
            )
        ]
        log.wait_for_appenders(2)
    answers = [running.result() for running in both]
    assert {isinstance(a, Result) for a in answers} == {True, False}


def test_a_version_that_is_the_same_by_chance_is_not_taken_for_the_history_that_was_decided_on(
    log: Log,
) -> None:
    """Two commands of a group: the first advances to version 2 in its mind, but another process won the deal and
    that is version 2 now. The second, decided on the first, must not pass because 2 is 2.
    """
    one, two = log.start(), log.executor()
    deal = log.open_deal(one)
    two.stream(deal)
    done(one.execute([ask(WinDeal(deal_id=deal))])[0])
    answers = two.execute(
        [ask(AdvanceStage(deal_id=deal, to_stage="bidding")), ask(LogActivity(deal_id=deal, kind="call")),
         ask(AdvanceStage(deal_id=deal, to_stage="negotiation"))]
    )  # fmt: skip
    assert [type(a) for a in answers] == [DealClosed, Result, DealClosed]
    assert log.topics(3) == ["deal.won", "deal.activity_logged"]


def test_what_follows_a_repeated_command_is_decided_on_the_present(log: Log) -> None:
    one, two = log.start(), log.executor()
    deal = log.open_deal(one)
    two.stream(deal)
    call = ask(LogActivity(deal_id=deal, kind="call"), digest=b"1")
    done(one.execute([ask(WinDeal(deal_id=deal), call.commands[0])])[0])
    done(one.execute([call])[0])  # the deal is at version 4 now, and was at 1 where `two` stands
    answers = two.execute([call, ask(AdvanceStage(deal_id=deal, to_stage="bidding"))])
    assert [type(a) for a in answers] == [Result, DealClosed]


class Overtaken(LogConnection):
    """A connection whose every use is preceded by what somebody quicker does."""

    def overtake(self) -> object:
        """Nobody is quicker yet."""

    def run(self, work: Callable[[LogConnection.Raw], Any]) -> Any:
        self.overtake()
        return super().run(work)


def test_a_deal_that_others_move_without_end_is_given_up_with_a_refusal_to_retry(log: Log) -> None:
    other = log.start()
    deal = log.open_deal(other)
    call = LogActivity(deal_id=deal, kind="call")
    slow = Overtaken(log.app_url)
    executor = Executor(slow)
    slow.overtake = lambda: other.execute([ask(call)])  # type: ignore[method-assign]
    answers = executor.execute([ask(WinDeal(deal_id=deal)), ask(OpenDeal(funnel="tas_plus"))])
    slow.close()
    assert isinstance(answers[0], Contended)
    done(answers[1])  # what stands on nothing contended is not held up
    assert log.topics(3).count("deal.activity_logged") >= ATTEMPTS
    assert "deal.won" not in log.topics()
    log.assert_whole()


# --- What was only believed


def test_what_was_decided_in_a_group_that_failed_is_not_believed_afterwards(log: Log) -> None:
    """The group dies in the database after this process has won the deal in its mind (version 2). Meanwhile another
    process makes version 2 something else: the memory must not fit by chance.
    """
    one, two = log.start(), log.executor()
    deal = log.open_deal(one)
    poison = ask(OpenDeal(funnel="tas_plus"), command_id="\0", digest=b"1")
    with pytest.raises(psycopg.DataError):
        two.execute([ask(WinDeal(deal_id=deal)), poison])
    done(one.execute([ask(LogActivity(deal_id=deal, kind="call"))])[0])
    (answer,) = two.execute([ask(AdvanceStage(deal_id=deal, to_stage="bidding"))])
    assert done(answer).items[0].version == 3
    assert log.topics(3) == ["deal.activity_logged", "deal.stage_advanced"]


def test_a_group_decided_ahead_does_not_trust_what_the_one_before_it_failed_to_do(log: Log) -> None:
    """The first group believes it advances the deal to version 2 and is told that this row is imported already. A
    live activity makes version 2 for real. The second group, decided on the belief, must not pass because 2 is 2.
    """
    importer, other = log.start(), log.executor()
    deal, row = log.open_deal(importer), LedgerRow(new_id().bytes, "crm")
    done(importer.execute([ask(LogActivity(deal_id=log.open_deal(importer), kind="call"), row=row)])[0])
    importer.stream(deal)

    def groups() -> Iterator[list[Request]]:
        yield [ask(AdvanceStage(deal_id=deal, to_stage="bidding"), row=row)]
        done(other.execute([ask(LogActivity(deal_id=deal, kind="call"))])[0])
        yield [ask(RegressStage(deal_id=deal, to_stage="initiation", reason="-"))]

    first, second = importer.execute_all(groups())
    assert first.repeated == {0}
    assert isinstance(second.refusals[0], WrongStage)  # the deal never left its first stage
    assert "deal.stage_regressed" not in log.topics()
    log.assert_whole()


def test_groups_decided_ahead_give_the_same_log_as_one_after_the_other(log: Log) -> None:
    importer = log.start()
    deal = new_id()
    moves = [AdvanceStage(deal_id=deal, to_stage=s.key) for s in TAS_PLUS.stages]
    groups = [
        [ask(OpenDeal(deal_id=deal, funnel="tas_plus"))],
        *([ask(m)] for m in moves),
        [ask(WinDeal(deal_id=deal))],
    ]
    assert [(d.events, d.refusals) for d in importer.execute_all(groups)] == [
        (n, {}) for n in (1, 0, 1, 1, 1, 1, 1, 1, 1)
    ]
    assert log.topics(2) == ["deal.opened", *["deal.stage_advanced"] * 6, "deal.won"]
    assert importer.stream(deal).version == 8


def test_who_stops_taking_answers_leaves_nothing_believed_that_may_not_be_so(log: Log) -> None:
    importer = log.start()
    deal = log.open_deal(importer)
    groups = importer.execute_all([ask(LogActivity(deal_id=deal, kind="call"))] for _ in range(9))
    next(groups)
    groups.close()
    assert importer.stream(deal).version == len(log.topics(2)) < 10


# --- Whatever several processes with stale memories do, the log is what one process would have written


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which process
        st.lists(  # its group: which deal, what
            st.tuples(
                st.integers(0, 1), st.sampled_from(["advance", "regress", "win", "reopen", "call", "batch"])
            ),
            min_size=1,
            max_size=6,
        ),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers())
def test_every_event_is_a_right_decision_on_the_history_before_it(
    log: Log, steps: list[tuple[int, list[tuple[int, str]]]], seed: int
) -> None:
    processes = [log.executor() for _ in range(3)]
    chance = random.Random(seed)
    done(processes[0].execute([ask(TAS_PLUS)])[0])
    deals = [log.open_deal(processes[0]) for _ in range(2)]
    for process in processes:
        for deal in (STREAM_ID, *deals):
            process.stream(deal)  # and from here on believes it
    sent: list[Request] = []

    def requests(group: list[tuple[int, str]]) -> Iterator[list[Request]]:
        """Two groups, the second decided while the first is being appended; now and then a request comes again."""
        for half in (group[::2], group[1::2]):
            fresh = [ask(*command_for(deals[d], what, chance), digest=b"1") for d, what in half]
            sent.extend(fresh)
            yield [chance.choice(sent) if chance.random() < 0.2 else request for request in fresh]
            other = processes[chance.randrange(3)]
            if chance.random() < 0.5 and other is not process:
                other.execute([ask(*command_for(deals[0], "call", chance))])

    for who, group in steps:
        process = processes[who]
        for answered in process.execute_all(requests(group)):
            assert not any(isinstance(r, Contended) for r in answered.refusals.values())
    log.assert_whole()
    assert_every_event_was_rightly_decided(log.events())
    log.close()


def test_the_stream_of_a_forecast_is_no_deal_and_its_id_can_not_be_chosen(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    hidden = forecast_stream(deal)

    (opened,) = executor.execute([ask(OpenDeal(funnel="tas_plus", deal_id=hidden))])
    assert isinstance(opened, InvalidCommand)
    assert opened.field == "deal_id"
    for expected in (None, 0, 1, 99):
        (asked,) = executor.execute([ask(WinDeal(deal_id=hidden), actor=REP, expected=(expected,))])
        assert isinstance(asked, UnknownDeal)


def test_an_id_is_of_one_kind_of_thing(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    (taken,) = executor.execute([ask(OpenAccount(name="Harbour Works", account_id=deal))])
    assert isinstance(taken, InvalidCommand)
    (asked,) = executor.execute([ask(RenameAccount(name="Harbour", account_id=deal), expected=(7,))])
    assert asked.code == "unknown-account"
