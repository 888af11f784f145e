"""Load, decide, append: 64 commands at a time in process, beside the library with 4 threads."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import count
from uuid import UUID

from domain.deal import OpenDeal, ReviseAmount
from domain.event import Actor
from domain.money import MoneyInput
from domain.playbook import SetCurrency
from domain.templates import TAS_PLUS
from infra.connection import LogConnection
from infra.executor import Executor
from infra.group_commit import Answer, GroupCommit
from infra.ids import new_id
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from infra.requests import Request, Result
from tests.benchmarks.pairs import interleaved, report
from tests.benchmarks.stock import stock_application

ADMIN = Actor("bench", "admin", "bench")
WRITERS, PEER_THREADS = 64, 4


def request(*commands: object) -> Request:
    """A request by the benchmark's actor."""
    return Request(commands=commands, actor=ADMIN, command_id=str(new_id()))  # type: ignore[arg-type]


def run(server: Server, scale: float) -> None:
    """Print the comparison."""
    ours_each, peer_all = int(8_000 * scale), int(1_000 * scale)
    with scratch_database(server) as database, stock_application(server) as (stock, _):
        migrate(database.owner_url)
        executor = Executor(LogConnection(database.app_url))
        executor.execute([request(TAS_PLUS), request(SetCurrency(currency="EUR"))])
        group = GroupCommit(executor)
        deals = [group.run(request(OpenDeal(funnel="tas_plus"))).items[0].stream_id for _ in range(WRITERS)]
        stock_deals = [stock.open_deal() for _ in range(WRITERS)]
        amounts = count(1)

        def ours() -> float:
            return asyncio.run(_concurrently(group, deals, ours_each // WRITERS, amounts))

        def peer() -> float:
            each = peer_all // PEER_THREADS
            deals_of_thread = WRITERS // PEER_THREADS
            with ThreadPoolExecutor(PEER_THREADS) as pool:
                started = time.perf_counter()

                def revise_all(thread: int) -> None:
                    for n in range(each):
                        stock.revise_amount(
                            stock_deals[thread * deals_of_thread + n % deals_of_thread], str(n)
                        )

                list(pool.map(revise_all, range(PEER_THREADS)))
                return each * PEER_THREADS / (time.perf_counter() - started)

        pairs = interleaved(ours, peer)
        group.close()
    report(
        "load, decide, append: 64 concurrent commands", "commands/s", "eventsourcing, 4 threads", pairs, "20x"
    )


async def _concurrently(group: GroupCommit, deals: list[UUID], each: int, amounts: Iterator[int]) -> float:
    """Every deal has a writer that sends its next command when the last one is committed."""
    loop = asyncio.get_running_loop()

    def deliver(batch: list[tuple[asyncio.Future[Answer], Answer]]) -> None:
        loop.call_soon_threadsafe(lambda: [future.set_result(answer) for future, answer in batch])

    async def write(deal_id: UUID) -> None:
        for _ in range(each):
            money = MoneyInput(amount=Decimal(next(amounts)), currency="EUR")
            future: asyncio.Future[Answer] = loop.create_future()
            group.submit(request(ReviseAmount(deal_id=deal_id, amount=money)), future, deliver)
            answer = await future
            if not isinstance(answer, Result):
                raise answer

    started = time.perf_counter()
    await asyncio.gather(*(write(deal_id) for deal_id in deals))
    return len(deals) * each / (time.perf_counter() - started)
