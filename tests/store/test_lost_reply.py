"""The connection is cut between a commit and its answer, a thousand times: nothing is done twice."""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from domain.deal import LogActivity, OpenDeal
from infra.executor import Executor, Request, Result
from tests.store.log import Log, Running, ask, done
from tests.store.proxy import Loss, Proxy

CUTS, CLIENTS = 1000, 4
LOSSES: list[Loss] = ["the reply", "the reply", "the connection at once", "the request"]


@pytest.fixture
def proxies(log: Log) -> Iterator[list[Proxy]]:
    """A bad network for each client. Its socket has a short path, which is all that a socket can have."""
    with tempfile.TemporaryDirectory(prefix="dt") as folder:
        proxies = []
        for n in range(CLIENTS):
            (Path(folder) / str(n)).mkdir()
            proxies.append(Proxy(log.app_url, Path(folder) / str(n)))
        running = [proxy.running() for proxy in proxies]
        for each in running:
            each.__enter__()
        yield proxies
        log.close()
        for each in running:
            each.__exit__(None, None, None)


def insist(executor: Executor, request: Request) -> Result:
    """A client that asks again with the same command id until it gets an answer."""
    while True:
        try:
            return done(executor.execute([request])[0])
        except psycopg.OperationalError:
            continue


def test_each_way_of_losing_a_reply_is_survived(log: Log, proxies: list[Proxy]) -> None:
    deal = log.open_deal(log.start())
    executor = log.executor(proxies[0].url)
    for loss in LOSSES:
        proxies[0].lose = loss
        result = done(executor.execute([ask(LogActivity(deal_id=deal, kind="call"))])[0])
        assert result.items[0].event_ids == (log.events()[-1].meta.event_id,)
    assert proxies[0].lost == len(LOSSES)
    assert log.topics(3) == ["deal.activity_logged"] * len(LOSSES)


def test_a_whole_group_whose_reply_is_lost_gets_the_answers_it_would_have_got(log: Log, proxies: list[Proxy]) -> None:
    executor = log.start()
    one, two = log.open_deal(executor), log.open_deal(executor)
    cut_off = log.executor(proxies[0].url)
    call, repeated = LogActivity(deal_id=one, kind="call"), ask(LogActivity(deal_id=two, kind="call"), digest=b"1")
    first = done(executor.execute([repeated])[0])
    for process in (executor, cut_off):
        process.stream(one), process.stream(two)
    proxies[0].lose = "the reply"
    answers = cut_off.execute(
        [
            ask(call),
            repeated,
            ask(OpenDeal(deal_id=one, funnel="tas_plus")),
            ask(call, LogActivity(deal_id=two, kind="call"), digest=b"2"),
            ask(OpenDeal(funnel="tas_plus", name="x")),
        ]
    )
    assert proxies[0].lost == 1
    assert [type(a).__name__ for a in answers] == ["Result", "Result", "DealExists", "Result", "Result"]
    assert done(answers[1]).items == first.items
    assert [i.position for a in (answers[0], answers[3], answers[4]) for i in done(a).items] == [6, 7, 8, 9]
    assert log.topics(5) == ["deal.activity_logged"] * 3 + ["deal.opened"]
    assert log.count("vault") == 1
    log.assert_whole()


@pytest.mark.slow
def test_a_thousand_lost_replies_leave_no_duplicate_and_bring_the_first_result(log: Log, proxies: list[Proxy]) -> None:
    executor = log.start()
    deals = [log.open_deal(executor) for _ in range(CLIENTS)]
    before = len(log.rows())

    def client(number: int) -> list[tuple[UUID, ...]]:
        chance, proxy = random.Random(number), proxies[number]
        patient, hasty = log.executor(proxy.url), log.executor(proxy.url, patience=0)
        answered = []
        for n in range(CUTS // CLIENTS):
            calls = [LogActivity(deal_id=deals[number], kind="call")] * chance.choice([1, 1, 3])
            proxy.lose = chance.choice(LOSSES)
            if chance.random() < 0.5:  # the executor itself finds out what became of it
                result = done(patient.execute([ask(*calls)])[0])
            else:  # the executor gives up, and the client asks again
                result = insist(hasty, ask(*calls, command_id=f"{number} {n}", digest=b"%d" % n))
            answered.append(tuple(event_id for item in result.items for event_id in item.event_ids))
        return answered

    clients = [Running(lambda n=n: client(n)) for n in range(CLIENTS)]
    answered = Counter(event_id for running in clients for ids in running.result(110) for event_id in ids)
    assert sum(proxy.lost for proxy in proxies) == CUTS
    assert answered == Counter(e.meta.event_id for e in log.events(before))
    log.assert_whole()
