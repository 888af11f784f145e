"""Groups of imported facts go into the log whole, by a shorter way, and what stands there is the same."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from domain.deal import AdvanceStage, ExternalInput, LogActivity, LoseDeal, OpenDeal, RenameDeal, ReviseAmount
from domain.errors import DealClosed
from domain.money import MoneyInput
from domain.playbook import SetCohortWindow
from infra.event_store import LedgerRow
from infra.ids import imported_id, new_id
from infra.requests import Request
from tests.store.log import ADMIN, Log, ask, done
from tests.store.proxy import Loss, Proxy

WHEN = datetime(2026, 1, 5, 9, tzinfo=UTC)
SOURCE = "Käufe 漏斗"
LOSSES: list[Loss] = ["the reply", "the connection at once", "the request"]


def fact(*commands: object, days: int = 0, row: LedgerRow | None = None) -> Request:
    """What an import asks for, known at its source after so many days."""
    at = WHEN + timedelta(days=days)
    dated = tuple(command.model_copy(update={"occurred_at": at}) for command in commands)  # type: ignore[attr-defined]
    row = row or LedgerRow(new_id().bytes, SOURCE)
    return ask(*dated, origin="import", source_recorded_at=at, row=row)


def life(name: str) -> list[Request]:
    """A deal's history, with a change that is none and one that is refused."""
    deal = imported_id("deal", SOURCE, name)
    opened = OpenDeal(
        deal_id=deal, funnel="tas_plus", name="Ключ", external=ExternalInput(source=SOURCE, id=name)
    )
    return [
        fact(opened),
        fact(ReviseAmount(deal_id=deal, amount=MoneyInput(amount=Decimal("12.50"), currency="EUR")), days=1),
        fact(days=1),
        fact(AdvanceStage(deal_id=deal, to_stage="bidding"), RenameDeal(deal_id=deal, name="钥匙"), days=2),
        fact(LoseDeal(deal_id=deal), days=3),
        fact(AdvanceStage(deal_id=deal, to_stage="negotiation"), days=4),
    ]


def said(log: Log, name: str) -> list[tuple[object, ...]]:
    """What the deal's events say, apart from ids that are fresh each time and what the deal is called."""
    deal = imported_id("deal", SOURCE, name)
    found = []
    for recorded in log.events():
        if recorded.stream_id == deal:
            told, meta = recorded.event, recorded.meta
            fields = {field: getattr(told, field) for field in told.__struct_fields__}
            shown = {k: v for k, v in fields.items() if k not in ("name", "external")}
            times = (meta.occurred_at, meta.source_recorded_at)
            found.append((recorded.version, recorded.topic, shown, times, meta.origin, meta.actor))
    return found


@pytest.fixture
def proxy(log: Log) -> Iterator[Proxy]:
    """A bad network. Its socket has a short path, which is all that a socket can have."""
    with tempfile.TemporaryDirectory(prefix="dt") as folder:
        proxy = Proxy(log.app_url, Path(folder))
        with proxy.running():
            yield proxy
            log.close()


def test_what_goes_in_as_a_whole_reads_as_if_it_had_gone_in_one_by_one(log: Log) -> None:
    executor = log.start()
    for request in life("single"):
        executor.execute([request])

    (whole,) = executor.execute_all([life("whole")])

    assert whole.events == 5
    assert (set(whole.refusals), whole.repeated) == ({5}, frozenset())
    assert isinstance(whole.refusals[5], DealClosed)
    assert said(log, "whole") == said(log, "single")
    assert len(said(log, "whole")) == 5
    assert {recorded.recorded_at for recorded in log.events()[-5:]} == {log.events()[-1].recorded_at}
    assert log.count("vault") == 4
    assert log.query("SELECT source, count(*) FROM dealtrace.import_ledger GROUP BY source") == [(SOURCE, 10)]
    assert log.query("SELECT max(position) FROM dealtrace.import_ledger") == [(whole.position,)]
    log.assert_whole()


def test_a_whole_group_on_a_deal_that_has_moved_is_decided_again(log: Log) -> None:
    executor, other = log.start(), log.executor()
    first, *rest = life("moved")
    list(executor.execute_all([[first]]))
    deal = imported_id("deal", SOURCE, "moved")
    done(other.execute([ask(LogActivity(deal_id=deal, kind="call"))])[0])

    (answered,) = executor.execute_all([rest])

    assert (answered.events, set(answered.refusals)) == (4, {4})
    assert [version for version, *_ in said(log, "moved")] == [1, 2, 3, 4, 5, 6]
    log.assert_whole()


def test_a_whole_group_under_rules_that_have_moved_is_decided_again(log: Log) -> None:
    executor, other = log.start(), log.executor()
    first, *rest = life("ruled")
    list(executor.execute_all([[first]]))
    (rules,) = done(other.execute([ask(SetCohortWindow(weeks=9))])[0]).items

    (answered,) = executor.execute_all([rest])

    assert (answered.events, set(answered.refusals)) == (4, {4})
    assert {recorded.meta.playbook_version for recorded in log.events()[-4:]} == {rules.version}
    log.assert_whole()


def test_a_row_that_is_there_already_is_passed_over_and_the_others_go_on(log: Log) -> None:
    executor = log.start()
    requests, twice = life("again"), life("twice")
    list(executor.execute_all([requests[:2]]))

    answers = list(executor.execute_all([requests, [*twice[:2], twice[1], *twice[2:]]]))

    assert [(a.events, a.repeated) for a in answers] == [(3, {0, 1}), (5, {2})]
    assert said(log, "again") == said(log, "twice")
    log.assert_whole()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_whole_group_whose_reply_is_lost_is_there_once(log: Log, proxy: Proxy, loss: Loss) -> None:
    list(log.start().execute_all([life("before")]))
    executor = log.executor(proxy.url)
    executor.stream(UUID(int=1))
    proxy.lose = loss

    (answered,) = executor.execute_all([life("lost")])

    assert proxy.lost == 1
    assert (answered.events, answered.repeated, set(answered.refusals)) == (5, frozenset(), {5})
    assert said(log, "lost") == said(log, "before")
    assert answered.position == log.events()[-1].position
    log.assert_whole()


def test_an_answer_that_is_to_be_remembered_is(log: Log) -> None:
    executor = log.start()
    deal = log.open_deal(executor)
    call = ask(LogActivity(deal_id=deal, kind="call"), digest=b"1", actor=ADMIN)

    (answered,) = executor.execute_all([[call]])

    assert answered.events == 1
    assert done(executor.execute([call])[0]).repeated
