"""Group commit: commands that come at the same time are appended by one transaction."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from psycopg import OperationalError

from domain.errors import Overloaded
from infra import metrics, tracing
from infra.executor import Executor
from infra.requests import Request, Result

log = logging.getLogger(__name__)

Answer = Result | Exception
Deliver = Callable[[list[tuple[Any, Answer]]], None]
"""Gets the answers of a whole group at once, each with the token that its request came with."""

MAX_GROUP = 256
"""Commands in a group, unless a single request has more."""
MAX_WAITING = 4096
"""Commands that may wait."""


class Waiting(NamedTuple):
    """A request in the queue, and when it came there, by `time.perf_counter`."""

    request: Request
    token: Any
    deliver: Deliver
    since: float


class GroupCommit:
    """One thread that executes whatever waits, as one group, again and again.

    While a group is being committed the next one gathers, so groups grow with the load and a lone command waits
    for nobody. What waits is bounded; more is refused with Overloaded.
    """

    def __init__(
        self, executor: Executor, *, max_group: int = MAX_GROUP, max_waiting: int = MAX_WAITING
    ) -> None:
        self._executor = executor
        self._max_group = max_group
        self._max_waiting = max_waiting
        self._waiting: deque[Waiting] = deque()
        self._commands = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, request: Request, token: Any, deliver: Deliver) -> None:
        """Queue the request; `deliver` gets `(token, answer)` from the committing thread.

        The answer is a Result, the Refusal, or the error that kept the group from being committed. Raises
        Overloaded when too much waits already or the server is stopping.
        """
        with self._changed:
            if self._closing or self._commands + len(request.commands) > self._max_waiting:
                raise Overloaded(
                    "The server is stopping." if self._closing else "Too many commands wait already.",
                    accepted="the same command in a second",
                )
            self._waiting.append(Waiting(request, token, deliver, time.perf_counter()))
            self._commands += len(request.commands)
            self._changed.notify()

    def run(self, request: Request) -> Result:
        """Execute the request and wait for it. Raises its Refusal."""
        future: Future[Result] = Future()
        self.submit(request, future, _resolve)
        return future.result()

    @property
    def waiting(self) -> int:
        """How many commands wait for the next group."""
        return self._commands

    def close(self) -> None:
        """Finish what was accepted, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while group := self._next_group(self._max_group):
            began = time.perf_counter()
            answers = self._execute([waiting.request for waiting in group])
            metrics.count_group(_commands(group), answers, time.perf_counter() - began)
            if tracing.is_on():
                tracing.group_committed(((w.request, w.since) for w in group), began, self._executor.appended)
            _deliver(group, answers)
            if isinstance(
                answers[-1], OperationalError
            ):  # the others shall not wait as long one after the other
                left = self._next_group(self._max_waiting, wait=False)
                _deliver(left, [answers[-1]] * len(left))

    def _next_group(self, most: int, *, wait: bool = True) -> list[Waiting]:
        with self._changed:
            while wait and not self._waiting and not self._closing:
                self._changed.wait()
            group: list[Waiting] = []
            commands = 0
            while self._waiting:
                commands += len(self._waiting[0].request.commands)
                if group and commands > most:
                    break
                group.append(self._waiting.popleft())
            self._commands -= _commands(group)
            return group

    def _execute(self, requests: list[Request]) -> list[Any]:
        try:
            return list(self._executor.execute(requests))
        except OperationalError as error:  # the log is away: they wait for nothing, and may even be committed
            log.exception("%d commands could not be executed", len(requests))
            return [error] * len(requests)
        except Exception as error:
            if len(requests) == 1:
                log.exception("a command could not be executed")
                return [error]
            # One of them may be the cause, and the others must not suffer from it: each half by itself, until the
            # cause is alone after log2 steps.
            middle = len(requests) // 2
            return self._execute(requests[:middle]) + self._execute(requests[middle:])


def _commands(group: list[Waiting]) -> int:
    return sum(len(waiting.request.commands) for waiting in group)


def _deliver(group: list[Waiting], answers: list[Any]) -> None:
    batches: dict[Deliver, list[tuple[Any, Answer]]] = {}
    for waiting, answer in zip(group, answers, strict=True):
        batches.setdefault(waiting.deliver, []).append((waiting.token, answer))
    for deliver, batch in batches.items():
        try:
            deliver(batch)
        except Exception:
            log.exception("nobody took the answers of %d commands that are committed", len(batch))


def _resolve(batch: list[tuple[Any, Answer]]) -> None:
    for future, answer in batch:
        if isinstance(answer, Result):
            future.set_result(answer)
        else:
            future.set_exception(answer)
