"""Between the event loop and the committing thread: requests in, answers out, a whole group per wake-up."""

import asyncio
from typing import Any

from api.evidence import Evidence
from infra.group_commit import GroupCommit
from infra.requests import Request, Result


class Answers:
    """Hands requests to the group commit and awaits their answers."""

    def __init__(self, commands: GroupCommit, evidence: Evidence) -> None:
        self._commands = commands
        self._evidence = evidence
        self._loop: asyncio.AbstractEventLoop | None = None

    async def to(self, request: Request) -> Result:
        """The result once it is durable. Raises the Refusal, or what kept the group from being committed."""
        self._loop = asyncio.get_running_loop()
        if self._evidence.is_named(request.commands):
            await self._evidence.require(request.commands)
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._commands.submit(request, answer, self._deliver)
        return await answer

    def _deliver(self, batch: list[tuple[Any, Result | Exception]]) -> None:
        """Called by the committing thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(_settle, batch)


def _settle(batch: list[tuple[Any, Result | Exception]]) -> None:
    for future, answer in batch:
        if future.done():
            continue  # the client went away; the command is in the log all the same
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
