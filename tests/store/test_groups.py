"""Many commands in one transaction, each with an outcome of its own; a batch is done whole or not at all."""

import psycopg

from domain.deal import AdvanceStage, LogActivity, OpenDeal, ReviseAmount, ReviseOwner, VoidDeal, WinDeal
from domain.errors import (
    DealClosed,
    DealExists,
    InTheFuture,
    NotAllowed,
    StaleVersion,
    UnknownDeal,
    UnknownFunnel,
    UnknownStage,
    WrongCurrency,
)
from domain.playbook import RetireFunnel, SetCurrency
from domain.templates import CUSTOMER, TAS_PLUS
from infra.requests import Result
from infra.ids import new_id
from infra.verify import verify_log
from tests.store.log import REP, Log, ask, done


def test_each_command_of_a_group_has_its_own_outcome(log: Log) -> None:
    executor = log.start()
    one, two = log.open_deal(executor), log.open_deal(executor)
    answers = executor.execute(
        [
            ask(AdvanceStage(deal_id=one, to_stage="bidding")),
            ask(AdvanceStage(deal_id=one, to_stage="nowhere")),
            ask(WinDeal(deal_id=new_id())),
            ask(VoidDeal(deal_id=two, reason="-"), actor=REP),
            ask(WinDeal(deal_id=two), expected=(7,)),
            ask(ReviseAmount(deal_id=two, amount={"amount": "1", "currency": "USD"})),
            ask(WinDeal(deal_id=two, occurred_at="2199-01-01T00:00:00Z")),
            ask(OpenDeal(deal_id=two, funnel="tas_plus")),
            ask(WinDeal(deal_id=two)),
        ]
    )
    assert [type(a) for a in answers] == [
        Result,
        UnknownStage,
        UnknownDeal,
        NotAllowed,
        StaleVersion,
        WrongCurrency,
        InTheFuture,
        DealExists,
        Result,
    ]
    assert log.topics(4) == ["deal.stage_advanced", "deal.won"]
    log.assert_whole()


def test_a_group_is_one_transaction(log: Log) -> None:
    executor = log.start()
    deals = [log.open_deal(executor) for _ in range(5)]
    executor.execute([ask(WinDeal(deal_id=deal)) for deal in deals])
    transactions = log.query("SELECT xmin::text, count(*) FROM dealtrace.events GROUP BY 1 ORDER BY 2")
    assert [count for _, count in transactions] == [1, 1, 1, 1, 1, 2, 5]


def test_a_later_command_of_a_group_sees_what_an_earlier_one_did(log: Log) -> None:
    executor = log.executor()
    deal = new_id()
    answers = executor.execute(
        [
            ask(TAS_PLUS),
            ask(SetCurrency(currency="EUR")),
            ask(OpenDeal(deal_id=deal, funnel="tas_plus", amount={"amount": "1", "currency": "EUR"})),
            ask(AdvanceStage(deal_id=deal, to_stage="bidding"), expected=(1,)),
            ask(AdvanceStage(deal_id=deal, to_stage="negotiation"), expected=(1,)),
            ask(WinDeal(deal_id=deal), expected=(2,)),
            ask(AdvanceStage(deal_id=deal, to_stage="negotiation")),
            ask(RetireFunnel(funnel="tas_plus", reason="old")),
            ask(OpenDeal(funnel="tas_plus")),
        ]
    )
    assert [type(a) for a in answers] == [
        Result, Result, Result, Result, StaleVersion, Result, DealClosed, Result, UnknownFunnel,
    ]  # fmt: skip
    stale = answers[4]
    assert isinstance(stale, StaleVersion)
    assert stale.current == 2
    assert log.topics(2) == ["deal.opened", "deal.stage_advanced", "deal.won", "playbook.funnel_retired"]
    log.assert_whole()


def test_a_result_says_version_position_and_event_ids(log: Log) -> None:
    executor = log.start()
    one, two = log.open_deal(executor), log.open_deal(executor)
    (answer,) = executor.execute(
        [
            ask(
                AdvanceStage(deal_id=one, to_stage="bidding"),
                WinDeal(deal_id=two),
                AdvanceStage(deal_id=one, to_stage="bidding"),
                WinDeal(deal_id=one),
            )
        ]
    )
    result = done(answer)
    written = log.events(4)
    assert [(i.command, i.stream_id, i.version, i.position, i.event_ids) for i in result.items] == [
        ("advance-stage", one, 2, 5, (written[0].meta.event_id,)),
        ("win-deal", two, 2, 6, (written[1].meta.event_id,)),
        ("advance-stage", one, 2, 6, ()),
        ("win-deal", one, 3, 7, (written[2].meta.event_id,)),
    ]
    assert (result.position, result.repeated) == (7, False)


def test_a_batch_over_several_streams_is_done_whole_or_not_at_all(log: Log) -> None:
    executor = log.start()
    one, two = log.open_deal(executor), log.open_deal(executor)
    before = log.rows()
    batch = ask(
        WinDeal(deal_id=one),
        OpenDeal(funnel="tas_plus", name="never"),
        CUSTOMER,
        AdvanceStage(deal_id=two, to_stage="nowhere"),
        WinDeal(deal_id=two),
        digest=b"1",
    )
    after, (refusal, answer) = log.rows(), executor.execute([batch, ask(WinDeal(deal_id=one), expected=(1,))])
    assert after == before
    assert isinstance(refusal, UnknownStage)
    assert refusal.index == 3
    assert done(answer).items[0].version == 2
    assert log.topics(4) == ["deal.won"]
    assert (log.count("vault"), log.count("command_results")) == (0, 0)


def test_a_batch_whose_deal_moved_meanwhile_is_decided_again_as_a_whole(log: Log) -> None:
    executor, other = log.start(), log.executor()
    one, two = log.open_deal(executor), log.open_deal(executor)
    other.stream(one), other.stream(two)
    done(executor.execute([ask(ReviseOwner(deal_id=two, owner="carol"))])[0])
    (answer,) = other.execute([ask(WinDeal(deal_id=one), LogActivity(deal_id=two, kind="call", note="hm"))])
    assert [(i.version, i.position) for i in done(answer).items] == [(2, 6), (3, 7)]
    assert log.topics(4) == ["deal.owner_revised", "deal.won", "deal.activity_logged"]
    assert log.count("vault") == 1
    log.assert_whole()


def test_a_batch_sees_its_own_earlier_commands(log: Log) -> None:
    executor, deal = log.start(), new_id()
    (answer,) = executor.execute(
        [
            ask(
                OpenDeal(deal_id=deal, funnel="tas_plus"),
                AdvanceStage(deal_id=deal, to_stage="bidding"),
                WinDeal(deal_id=deal),
                expected=(None, 1, 2),
            )
        ]
    )
    assert [i.version for i in done(answer).items] == [1, 2, 3]


def test_a_dry_run_decides_everything_and_writes_nothing(log: Log) -> None:
    executor, deal = log.start(), new_id()
    before = log.rows()
    answers = executor.execute(
        [
            ask(OpenDeal(deal_id=deal, funnel="tas_plus", name="x"), digest=b"1"),
            ask(AdvanceStage(deal_id=deal, to_stage="nowhere")),
            ask(WinDeal(deal_id=deal)),
        ],
        dry_run=True,
    )
    assert [type(a) for a in answers] == [Result, UnknownStage, Result]
    (again,) = executor.execute([ask(AdvanceStage(deal_id=deal, to_stage="bidding"))], dry_run=True)
    assert isinstance(again, DealClosed)
    assert (log.rows(), log.count("vault"), log.count("command_results")) == (before, 0, 0)


def test_after_a_dry_run_the_real_one_does_what_was_rehearsed(log: Log) -> None:
    executor, deal = log.start(), new_id()
    opened = ask(OpenDeal(deal_id=deal, funnel="tas_plus"))
    done(executor.execute([opened], dry_run=True)[0])
    done(executor.execute([opened])[0])
    assert log.topics(2) == ["deal.opened"]


def test_a_stream_of_another_kind_is_refused_and_harms_nobody_in_its_group(log: Log) -> None:
    executor = log.start()
    playbook_stream = log.events()[0].stream_id
    answers = executor.execute([ask(WinDeal(deal_id=playbook_stream)), ask(OpenDeal(funnel="tas_plus"))])
    assert [type(a) for a in answers] == [UnknownDeal, Result]


def test_the_log_of_all_this_verifies(log: Log) -> None:
    executor = log.start()
    for _ in range(3):
        executor.execute([ask(WinDeal(deal_id=log.open_deal(executor))) for _ in range(3)])
    with psycopg.connect(log.app_url) as conn:
        found = verify_log(conn)
    assert (found.problems, found.position) == ((), 20)
