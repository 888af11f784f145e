"""Durable commands over HTTP to one server process, beside the same route doing nothing."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from uuid import UUID

from domain.deal import OpenDeal
from domain.playbook import SetCurrency
from domain.templates import TAS_PLUS
from infra.connection import LogConnection
from infra.executor import Executor
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from infra.requests import Result
from tests.benchmarks.bench_append import request
from tests.benchmarks.pairs import console, interleaved, percentiles, report

CLIENTS = 64


def run(server: Server, scale: float) -> None:
    """Print the comparison, and the latency of commands."""
    each = max(1, int(100 * scale))
    with scratch_database(server) as database:
        migrate(database.owner_url)
        executor = Executor(LogConnection(database.app_url))
        opened = executor.execute(
            [request(TAS_PLUS), request(SetCurrency(currency="EUR"))]
            + [request(OpenDeal(funnel="tas_plus")) for _ in range(CLIENTS)]
        )
        deals = [answer.items[0].stream_id for answer in opened[2:] if isinstance(answer, Result)]
        amounts = count(1)
        latencies: list[float] = []
        with _server_process(database.app_url) as port:

            def commands() -> float:
                return asyncio.run(_load(port, "/v1/deals/{}/revise-amount", deals, each, amounts, latencies))

            def nothing() -> float:
                return asyncio.run(_load(port, "/nothing/{}", deals, each, amounts, []))

            pairs = interleaved(commands, nothing)
    report(
        f"HTTP commands, {CLIENTS} clients, one server process",
        "requests/s",
        "the route doing nothing",
        pairs,
        "0.5x",
    )
    console.print(f"latency of a durable command: {percentiles(latencies)}\n")


@contextmanager
def _server_process(app_url: str) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.http_server", app_url, str(port)])
    try:
        give_up_at = time.monotonic() + 30
        while time.monotonic() < give_up_at and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


async def _load(
    port: int, path: str, deals: list[UUID], each: int, amounts: Iterator[int], latencies: list[float]
) -> float:
    """Every client keeps one connection and sends its next request when the last one is answered."""

    async def client(deal: UUID) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(each):
            body = json.dumps({"amount": {"amount": str(next(amounts)), "currency": "EUR"}}).encode()
            started = time.perf_counter()
            writer.write(_HEAD.format(path.format(deal), len(body)).encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
            latencies.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(deal) for deal in deals))
    return len(deals) * each / (time.perf_counter() - started)


_HEAD = (
    "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Actor-Id: bench\r\n"
    "X-Actor-Role: admin\r\nIf-Match: *\r\nContent-Length: {}\r\n\r\n"
)
