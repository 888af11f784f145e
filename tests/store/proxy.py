"""A network between a process and PostgreSQL that loses replies to commits."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Loss = Literal["nothing", "the reply", "the connection at once", "the request"]

COMMIT = b"COMMIT\0"
"""How a commit ends in what the client sends (its query) and in what the server answers (its command tag)."""


class Proxy:
    """Forwards everything between its socket and the server's. `lose` says what becomes of the next commit."""

    def __init__(self, url: str, folder: Path) -> None:
        self._server = {key: str(value) for key, value in conninfo_to_dict(url).items()}
        self._folder = folder
        self.url = make_conninfo(url, host=str(folder), port=5432)
        self.lose: Loss = "nothing"
        self.lost = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[object]] = set()

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Listen for the length of the block."""
        listening: Future[Callable[[], object]] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._listen(listening)), daemon=True)
        thread.start()
        stop = listening.result(10)
        try:
            yield self
        finally:
            stop()
            thread.join()

    def cut(self) -> None:
        """End every connection that there is now, in the middle of whatever it does."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: [end.close() for end in list(self._ends)])

    async def _listen(self, listening: "Future[Callable[[], object]]") -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        self._loop = loop
        async with await asyncio.start_unix_server(self._serve, self._folder / ".s.PGSQL.5432"):
            listening.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()
        for end in list(self._ends):
            end.transport.abort()  # closing would wait until the other side has taken what is left for it
        await asyncio.gather(*self._serving)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._ends.add(to_client)
        host, port = self._server.get("host", "localhost"), self._server.get("port", "5432")
        try:
            if host.startswith("/"):
                server, to_server = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            else:
                server, to_server = await asyncio.open_connection(host, int(port))
            self._ends.add(to_server)
            pair = _Pair(self, to_client, to_server)
            await asyncio.gather(pair.requests(client), pair.replies(server))
            for end in (to_client, to_server):
                with suppress(OSError):
                    await end.wait_closed()
            self._ends.discard(to_server)
        except OSError:
            pass  # the server is away, and so are we
        finally:
            to_client.close()
            self._ends.discard(to_client)
            self._serving.discard(task)


class _Pair:
    """One client's connection and the one to the server behind it."""

    def __init__(
        self, proxy: Proxy, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._to_client = to_client
        self._to_server = to_server
        self._losing: Loss = "nothing"

    async def requests(self, client: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await client.read(65536):
                if COMMIT in chunk and self._proxy.lose != "nothing":
                    self._losing, self._proxy.lose = self._proxy.lose, "nothing"
                    self._proxy.lost += 1
                    if self._losing == "the request":
                        break
                self._to_server.write(chunk)
                await self._to_server.drain()
                if self._losing == "the connection at once":
                    break
        self._hang_up()

    async def replies(self, server: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await server.read(65536):
                if self._losing == "the reply":
                    if COMMIT in chunk:
                        break  # it is committed, and the client will not hear of it
                    continue
                self._to_client.write(chunk)
                await self._to_client.drain()
        self._hang_up()

    def _hang_up(self) -> None:
        self._to_client.close()
        self._to_server.close()
