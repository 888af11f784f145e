"""A network between a process and PostgreSQL that loses replies to commits."""

import asyncio
import threading
from collections.abc import Iterator
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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._listening = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Listen for the length of the block."""
        self._thread.start()
        assert self._listening.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        socket = self._folder / ".s.PGSQL.5432"
        self._loop.run_until_complete(asyncio.start_unix_server(self._serve, socket))
        self._listening.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        host, port = self._server.get("host", "localhost"), self._server.get("port", "5432")
        if host.startswith("/"):
            server, to_server = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            server, to_server = await asyncio.open_connection(host, int(port))
        pair = _Pair(self, to_client, to_server)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(pair.requests(client), pair.replies(server))


class _Pair:
    """One client's connection and the one to the server behind it."""

    def __init__(self, proxy: Proxy, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._to_client = to_client
        self._to_server = to_server
        self._losing: Loss = "nothing"

    async def requests(self, client: asyncio.StreamReader) -> None:
        with suppress(ConnectionError, OSError):
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
        with suppress(ConnectionError, OSError):
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
