"""Several processes that import one file, each its share of the deals."""

import gc
import multiprocessing
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from infra.connection import LogConnection
from infra.executor import Executor
from workers.importer.rows import Share, open_export
from workers.importer.share import Job, Told, import_share


class ProcessDied(Exception):
    """A process of the import came to a sudden end. What was imported before stays."""


def side_by_side(
    own: Generator[Told, None, None], job: Job, connection: LogConnection, shares: Sequence[Share]
) -> Generator[tuple[int, Told | None], None, None]:
    """What each share tells, with its number, as it comes; None at its end.

    `own`, of number 0, is done in this process, the other shares in one process each. Raises what any of them
    raises, and ProcessDied; the others end then, whatever they have not committed is undone.
    """
    others: dict[Connection, tuple[Share, SpawnProcess]] = {}
    processes: list[SpawnProcess] = []
    with closing(own):
        try:
            for share in shares:
                listening, process = _start(job, share, connection)
                others[listening] = share, process
                processes.append(process)
            for told in own:
                yield 0, told
                yield from _heard(others, 0)
            yield 0, None
            while others:
                yield from _heard(others, None)
        finally:
            for listening in others:
                listening.close()
            for process in processes:
                process.terminate()
                process.join()


def _start(job: Job, share: Share, connection: LogConnection) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    listening, telling = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, share, connection, telling), daemon=True)
    with _interrupts_ignored():
        process.start()
    telling.close()
    return listening, process


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C reaches all processes, but the parent ends its children: those born now never hear of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _heard(
    others: dict[Connection, tuple[Share, SpawnProcess]], seconds: float | None
) -> Iterator[tuple[int, Told | None]]:
    """What the others tell within so many seconds (None: for ever); who has come to an end is let go."""
    for listening in wait(list(others), seconds) if others else ():
        assert isinstance(listening, Connection)
        share, process = others[listening]
        try:
            told = listening.recv()
        except EOFError:
            process.join()
            raise ProcessDied(
                f"a process of the import ended with {process.exitcode}; run the same command again to go on"
            ) from None
        if isinstance(told, Exception):
            raise told
        if told is None:
            del others[listening]
            listening.close()
        yield share.number, told


def _work(job: Job, share: Share, connection: LogConnection, telling: Connection) -> None:
    gc.disable()  # as in the parent, and nothing of this process will be left
    try:
        columns = job.part().columns.names()
        with closing(connection), open_export(job.file, job.mapping.file, columns) as export:
            for told in import_share(job, share, Executor(connection), connection.another(), export):
                telling.send(told)
        telling.send(None)
    except BrokenPipeError:
        pass  # nobody is there any more
    except Exception as error:  # noqa: BLE001 -- whatever it is, the parent raises it
        with suppress(BrokenPipeError):
            telling.send(error)
