"""The parts of a replay in their order, folded by one process or by several."""

import gc
import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any
from uuid import UUID

from projections.engine.connecting import connect
from workers.replay.work import Folder, Job, Part

Range = tuple[UUID, UUID, int]
"""First and last partition key, and how many events."""

_AHEAD = 2
"""So many ranges per process are folded or wait to be taken; more would only fill the memory."""

_folder: Any = None
"""In a child process: what folds."""


def parts(app_url: str, job: Job, ranges: Sequence[Range], processes: int) -> Generator[Part, None, None]:
    """The part of each range, in the order of the ranges. With one process everything is done in this one."""
    if processes == 1 or len(ranges) < 2:
        with connect(app_url) as conn:
            folder = Folder(conn, job)
            for first, last, _ in ranges:
                yield folder.fold(first, last)
        return
    count = min(processes, len(ranges))
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start_child, (app_url, job))
    try:
        waiting: deque[Future[Part]] = deque()
        for first, last, _ in ranges:
            waiting.append(pool.submit(_in_child, first, last))
            if len(waiting) >= count * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_child(app_url: str, job: Job) -> None:
    global _folder  # noqa: PLW0603 -- a pool gives its processes things only so
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us all; the parent tells when to end
    _folder = Folder(connect(app_url), job)
    gc.freeze()
    gc.set_threshold(100_000, 5, 5)  # rows and events hold no cycles


def _in_child(first: UUID, last: UUID) -> Part:
    return _folder.fold(first, last)  # type: ignore[no-any-return]
