"""The end of the log as streams follow it."""

import asyncio
import socket
from contextlib import closing

import pytest

from domain.deal import OpenDeal
from infra import tail
from infra.event_store import read_head
from infra.readers import Readers
from infra.tail import Tail
from tests.store.log import Log, ask


@pytest.mark.anyio
async def test_the_log_is_followed_though_who_is_to_give_hints_takes_the_connection_and_says_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "HINT_SECONDS", 0.1)
    executor = log.start()
    with socket.create_server(("127.0.0.1", 0)) as silent, closing(Readers(log.app_url)) as readers:
        end = Tail(readers, f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nowhere")
        head = await readers.run(read_head)
        async with end.following():
            await asyncio.to_thread(executor.execute, [ask(OpenDeal(funnel="tas_plus"))])
            async with asyncio.timeout(60):
                events = await end.after(head.log, head.position, 60)
    assert [event.topic for event in events] == ["deal.opened"]
