"""The end of the log as many readers follow it: one task looks, and all share what it has read."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg

from domain.errors import Overloaded
from domain.event import Recorded
from infra.event_store import CHANNEL, LogReplaced, read_head
from infra.log_reader import read_window
from infra.readers import DatabaseError, Readers

log = logging.getLogger(__name__)

WINDOW = 500
"""The most events that are read at once."""
RECENT = 2_000
"""How many events are kept for those who are nearly at the end; who lies further behind reads the log."""
POLL_SECONDS = 0.5
HINT_SECONDS = 5.0
"""For so long the poll waits for a server that is to give hints and says nothing."""


class Tail:
    """Follows the log while anybody follows it. NOTIFY wakes it early; the poll is what it relies on."""

    def __init__(self, readers: Readers, listen_url: str) -> None:
        self._readers = readers
        self._url = listen_url
        self._log: tuple[UUID, int] | None = None
        self._head: int | None = None
        self._recent: deque[Recorded] = deque(maxlen=RECENT)
        self._news = asyncio.Event()
        self._followers = 0
        self._task: asyncio.Task[None] | None = None
        self.stopped = False

    def stop(self) -> None:
        """Let everybody who waits go; nothing comes any more."""
        self.stopped = True
        self._news.set()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Look at the log as long as somebody is within."""
        self._followers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers and self._task is not None:
                self._task.cancel()
                self._task, self._log, self._head = None, None, None
                self._recent.clear()

    async def after(self, log: tuple[UUID, int], position: int, patience: float) -> list[Recorded]:
        """The next events after the position, at most WINDOW, all of them; none when none comes in time.

        Raises DatabaseError; and LogReplaced when another log, or another epoch of it, is here than the one that is
        followed.
        """
        if not await self._beyond(log, position, patience):
            return []
        assert self._head is not None
        upto = min(self._head, position + WINDOW)
        if self._log == log and self._recent and self._recent[0].position <= position + 1:
            first = position + 1 - self._recent[0].position
            return list(islice(self._recent, first, first + upto - position))
        return await self._readers.run(lambda conn: _window(conn, log, position, upto))

    async def _beyond(self, log: tuple[UUID, int], position: int, patience: float) -> bool:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + patience
        while not self.stopped and (self._head is None or (self._log == log and self._head <= position)):
            try:
                await asyncio.wait_for(self._news.wait(), give_up_at - loop.time())
            except TimeoutError:
                return False
        return not self.stopped

    async def _follow(self) -> None:
        hints = _Hints(self._url)
        try:
            while True:
                try:
                    events = self._take(*await self._readers.run(self._read))
                except (DatabaseError, Overloaded) as error:
                    log.warning("the end of the log can not be read, trying again: %s", error)
                    events = []
                except Exception:
                    # Such as an event of a newer release: who follows waits until it can be read.
                    log.exception("the end of the log can not be read, trying again")
                    events = []
                if not events:
                    await hints.wait()
        finally:
            await hints.close()

    def _read(self, conn: psycopg.Connection[Any]) -> tuple[tuple[UUID, int], int, list[Recorded]]:
        """Which log it is, how far we have come, and the next window up to there."""
        head = read_head(conn)
        if self._head is None or head.log != self._log:
            return head.log, head.position, []
        upto = min(head.position, self._head + WINDOW)
        return head.log, upto, read_window(conn, self._head, upto) if upto > self._head else []

    def _take(self, log: tuple[UUID, int], head: int, events: list[Recorded]) -> list[Recorded]:
        if log != self._log:
            self._recent.clear()
        self._recent.extend(events)
        self._log, self._head = log, head
        self._news.set()
        if not self.stopped:
            self._news = asyncio.Event()
        return events


def _window(conn: psycopg.Connection[Any], log: tuple[UUID, int], after: int, upto: int) -> list[Recorded]:
    if (head := read_head(conn)).log != log:
        raise LogReplaced(head)
    return read_window(conn, after, upto)


class _Hints:
    """A connection that hears when the log grows; without one there is the poll."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._conn: psycopg.AsyncConnection[Any] | None = None

    async def wait(self) -> None:
        """Wait for a hint, and not for long."""
        try:
            if self._conn is None or self._conn.closed:
                async with asyncio.timeout(HINT_SECONDS):
                    self._conn = await psycopg.AsyncConnection.connect(
                        self._url, autocommit=True, application_name="dealtrace stream"
                    )
                    await self._conn.execute(f"LISTEN {CHANNEL}")
            async for _ in self._conn.notifies(timeout=POLL_SECONDS, stop_after=1):
                pass
        except (psycopg.Error, TimeoutError):
            await self.close()
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Hear no more."""
        if self._conn is not None:
            await self._conn.close()
