"""`recorded_at` never runs backwards, nobody knows the future, and what is known of a deal's state only grows."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from domain.deal import AdvanceStage, LogActivity, OpenDeal, ReviseOwner, WinDeal
from domain.errors import InTheFuture, OutOfOrder
from infra.connection import LogConnection
from infra.event_store import LedgerRow
from infra.executor import Executor
from infra.ids import new_id
from infra.requests import Request, Result
from tests.store.log import Log, Running, ask, done

LONG_AGO = datetime(2011, 10, 1, tzinfo=UTC)


def claim(*commands: object, at: datetime) -> Request:
    """An imported row that its source recorded at this time."""
    return ask(*commands, origin="import", source_recorded_at=at, row=LedgerRow(uuid4().bytes, "crm"))  # type: ignore[arg-type]


def test_the_clock_of_the_log_never_runs_backwards_when_that_of_the_server_does(log: Log) -> None:
    executor = log.start()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    log.query(
        "UPDATE dealtrace.log_head SET recorded_at = %s", ahead
    )  # as if the clock had been set back since
    deals = [log.open_deal(executor) for _ in range(2)]
    assert [e.recorded_at for e in log.events(2)] == [ahead, ahead]
    claimed = claim(AdvanceStage(deal_id=deals[0], to_stage="bidding"), at=ahead - timedelta(hours=1))
    assert isinstance(executor.execute([claimed])[0], OutOfOrder)  # the log learnt of the deal in an hour
    log.assert_whole()


def test_an_event_is_recorded_when_its_turn_has_come_not_when_it_began_to_wait_for_it(log: Log) -> None:
    deal = log.open_deal(executor := log.start())
    with log.held() as holding:
        waiting = Running(lambda: executor.execute([ask(LogActivity(deal_id=deal, kind="call"))]))
        log.wait_for_appenders(1)
        ((its_turn,),) = holding.execute("SELECT clock_timestamp()").fetchall()
    done(waiting.result()[0])
    assert log.events()[-1].recorded_at >= its_turn


def test_events_of_a_group_share_the_moment_of_their_recording_which_is_the_databases(log: Log) -> None:
    executor = log.start()
    before = log.query("SELECT clock_timestamp()")[0][0]
    executor.execute([ask(OpenDeal(funnel="tas_plus")) for _ in range(3)])
    moments = {e.recorded_at for e in log.events(2)}
    assert len(moments) == 1
    assert before < moments.pop() < log.query("SELECT clock_timestamp()")[0][0]


def test_without_a_time_an_event_happened_when_it_was_recorded_give_or_take_the_clocks(log: Log) -> None:
    deal = log.open_deal(log.start())
    (opened,) = [e for e in log.events() if e.stream_id == deal]
    assert abs(opened.meta.occurred_at - opened.recorded_at) < timedelta(seconds=2)
    assert opened.known_at == opened.recorded_at


class Behind(LogConnection):
    """A process whose idea of the time lies behind the database's."""

    def now(self) -> datetime:
        return super().now() - timedelta(minutes=1)


STEPPED = (
    "CREATE OR REPLACE FUNCTION stepped.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
    " AS 'SELECT pg_catalog.clock_timestamp() + interval ''{}'''"
)


def test_a_clock_that_was_set_forward_is_noticed_though_every_stream_is_remembered(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.query("CREATE SCHEMA stepped")
    try:
        log.query(STEPPED.format("0"))
        log.query("GRANT USAGE ON SCHEMA stepped TO PUBLIC")
        log.start()
        executor = log.executor(make_conninfo(log.app_url, options="-c search_path=stepped,pg_catalog"))
        deal = log.open_deal(executor)
        in_half_an_hour = datetime.now(UTC) + timedelta(minutes=30)
        call = ask(LogActivity(deal_id=deal, kind="call", occurred_at=in_half_an_hour))
        for _ in range(2):  # from then on every stream is remembered
            assert isinstance(executor.execute([call])[0], InTheFuture)
        log.query(STEPPED.format("1 hour"))
        monkeypatch.setattr("infra.connection.CLOCK_SECONDS", 0)
        done(executor.execute([call])[0])
    finally:
        log.query("DROP SCHEMA stepped CASCADE")


def test_a_process_whose_clock_differs_does_not_let_state_run_backwards(log: Log) -> None:
    deal = log.open_deal(log.start())
    behind = Behind(log.app_url)
    done(Executor(behind).execute([ask(AdvanceStage(deal_id=deal, to_stage="bidding"))])[0])
    behind.close()
    opened, advanced = log.events(2)
    assert advanced.meta.occurred_at == opened.meta.occurred_at


def test_state_is_not_back_dated_before_the_last_state_and_activities_are(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor, occurred_at=LONG_AGO)
    for process in (executor, log.executor()):
        refused, logged = process.execute(
            [
                ask(
                    AdvanceStage(
                        deal_id=deal, to_stage="bidding", occurred_at=LONG_AGO - timedelta(microseconds=1)
                    )
                ),
                ask(LogActivity(deal_id=deal, kind="call", occurred_at=LONG_AGO - timedelta(days=9))),
            ]
        )
        assert isinstance(refused, OutOfOrder)
        done(logged)
    (advanced,) = executor.execute(
        [ask(AdvanceStage(deal_id=deal, to_stage="bidding", occurred_at=LONG_AGO))]
    )
    done(advanced)


def test_a_source_can_not_have_known_the_future(log: Log) -> None:
    executor = log.start()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for command in (OpenDeal(funnel="tas_plus"), LogActivity(deal_id=log.open_deal(executor), kind="call")):
        (answer,) = executor.execute([claim(command, at=tomorrow)])
        assert isinstance(answer, InTheFuture)
        assert answer.field == "source_recorded_at"


def test_what_a_source_knew_of_the_state_of_a_deal_never_runs_backwards(log: Log) -> None:
    executor, deal = log.start(), new_id()
    executor.execute([claim(OpenDeal(deal_id=deal, funnel="tas_plus", occurred_at=LONG_AGO), at=LONG_AGO)])
    earlier = claim(AdvanceStage(deal_id=deal, to_stage="bidding"), at=LONG_AGO - timedelta(microseconds=1))
    for process in (executor, log.executor()):
        (answer,) = process.execute([earlier])
        assert isinstance(answer, OutOfOrder)
        assert answer.field == "source_recorded_at"
    late_call = claim(LogActivity(deal_id=deal, kind="call"), at=LONG_AGO - timedelta(days=1))
    done(executor.execute([late_call])[0])  # points claim knowledge one by one
    done(executor.execute([claim(WinDeal(deal_id=deal), at=LONG_AGO)])[0])


def test_nothing_a_source_claims_comes_before_what_was_recorded_here(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    claimed = claim(AdvanceStage(deal_id=deal, to_stage="bidding"), at=LONG_AGO)
    for process in (executor, log.executor()):
        assert isinstance(process.execute([claimed])[0], OutOfOrder)


def test_what_moved_no_state_hinders_no_import_in_any_process(log: Log) -> None:
    """A process that remembers a live activity, or a command that changed nothing, decides like one that loads."""
    executor, deal, other = log.start(), new_id(), new_id()
    for each in (deal, other):
        opened = claim(OpenDeal(deal_id=each, funnel="tas_plus", occurred_at=LONG_AGO), at=LONG_AGO)
        done(executor.execute([opened])[0])
    executor.execute(
        [
            ask(LogActivity(deal_id=deal, kind="call")),
            ask(AdvanceStage(deal_id=other, to_stage="verification")),
        ]
    )
    for each in (deal, other):
        moved = claim(AdvanceStage(deal_id=each, to_stage="bidding", occurred_at=LONG_AGO), at=LONG_AGO)
        done(executor.execute([moved])[0])


def test_within_a_group_too_a_claim_does_not_come_before_what_is_recorded_now(log: Log) -> None:
    executor, deal = log.start(), new_id()
    just_now = datetime.now(UTC) - timedelta(milliseconds=1)
    opened, owned, called, claimed = executor.execute(
        [
            claim(OpenDeal(deal_id=deal, funnel="tas_plus", occurred_at=LONG_AGO), at=LONG_AGO),
            ask(ReviseOwner(deal_id=deal, owner="carol")),
            ask(LogActivity(deal_id=deal, kind="call")),
            claim(AdvanceStage(deal_id=deal, to_stage="bidding"), at=just_now),
        ]
    )
    assert [isinstance(a, Result) for a in (opened, owned, called)] == [True] * 3
    assert isinstance(claimed, OutOfOrder)
    states = [e for e in log.events(2) if e.event.GROUP == "state"]
    assert all(a.known_at <= b.known_at for a, b in itertools.pairwise(states))
    moment = states[-1].recorded_at  # known by now
    for at, accepted in ((moment - timedelta(microseconds=1), False), (moment, True)):
        (answer,) = executor.execute([claim(AdvanceStage(deal_id=deal, to_stage="bidding"), at=at)])
        assert isinstance(answer, Result) == accepted
