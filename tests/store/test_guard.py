"""A decision counts only if everything it stood on is still so; what others did meanwhile is never overwritten."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.deal import AdvanceStage, LogActivity, MergeDeal, OpenDeal, ReviseOwner, VoidDeal, WinDeal
from domain.errors import Contended, DealClosed, DealGone, StaleVersion, UnknownFunnel, UnknownStage
from domain.playbook import (
    STREAM_ID,
    FunnelRetired,
    NamesInput,
    ReviseFunnel,
    StageInput,
)
from domain.templates import CUSTOMER, TAS_PLUS
from infra.connection import LogConnection
from infra.event_store import NewEvent, Unit, append
from infra.executor import ATTEMPTS, Executor
from infra.requests import Result
from infra.ids import new_id
from infra.mapper import encode
from tests.store.log import Log, Running, ask, done
from tests.store.replay import assert_every_event_was_rightly_decided, command_for

WITH_A_NEW_STAGE = ReviseFunnel(
    funnel="tas_plus",
    label=NamesInput(en="Longer"),
    stages=(
        *TAS_PLUS.stages,
        StageInput(key="extra", label=NamesInput(en="Extra"), macro_stage="contract_signed", stall_after_days=9),
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
            for m in (MergeDeal(deal_id=one, into=two, reason="-"), MergeDeal(deal_id=two, into=one, reason="-"))
        ]
        log.wait_for_appenders(2)
    answers = [running.result() for running in both]
    assert {isinstance(a, Result) for a in answers} == {True, False}


def test_a_version_that_is_the_same_by_chance_is_not_taken_for_the_history_that_was_decided_on(log: Log) -> None:
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

    def __init__(self, url: str, overtake: Callable[[], object]) -> None:
        super().__init__(url)
        self._overtake = overtake

    def run(self, work: Callable[[LogConnection.Raw], Any]) -> Any:
        self._overtake()
        return super().run(work)


def test_a_deal_that_others_move_without_end_is_given_up_with_a_refusal_to_retry(log: Log) -> None:
    other = log.start()
    deal = log.open_deal(other)
    call = LogActivity(deal_id=deal, kind="call")
    slow = Overtaken(log.app_url, lambda: other.execute([ask(call)]))
    answers = Executor(slow).execute([ask(WinDeal(deal_id=deal)), ask(OpenDeal(funnel="tas_plus"))])
    slow.close()
    assert isinstance(answers[0], Contended)
    done(answers[1])  # what stands on nothing contended is not held up
    assert log.topics(3).count("deal.activity_logged") >= ATTEMPTS
    assert "deal.won" not in log.topics()
    log.assert_whole()


# --- Whatever several processes with stale memories do, the log is what one process would have written


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which process
        st.lists(  # its group: which deal, what
            st.tuples(st.integers(0, 1), st.sampled_from(["advance", "regress", "win", "reopen", "call", "batch"])),
            min_size=1,
            max_size=4,
        ),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    for who, group in steps:
        answers = processes[who].execute([ask(*command_for(deals[d], what, chance)) for d, what in group])
        assert not any(isinstance(a, Contended) for a in answers)
    log.assert_whole()
    assert_every_event_was_rightly_decided(log.events())
    log.close()
