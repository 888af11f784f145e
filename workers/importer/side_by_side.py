"""Several processes that import one file, each its share of the deals."""

import gc
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from infra.connection import LogConnection
from infra.executor import Executor
from workers.importer.rows import Share, open_export
from workers.importer.share import Job, ShareImport, Told


class ProcessDied(Exception):
    """A process of the import came to a sudden end. What was imported before stays."""


def side_by_side(
    own: Iterator[Told], job: Job, connection: LogConnection, shares: Sequence[Share]
) -> Iterator[tuple[int, Told | None]]:
    """What each share tells, with its number, as it comes; None at its end.

    `own`, of number 0, is done in this process, the other shares in one process each. Raises what any of them
    raises, and ProcessDied; the others end then.
    """
    context = multiprocessing.get_context("spawn")
    others: dict[Connection, tuple[Share, SpawnProcess]] = {}
    try:
        for share in shares:
            listening, telling = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(job, share, connection, telling), daemon=True)
            process.start()
            telling.close()
            others[listening] = share, process
        for told in own:
            yield 0, told
            yield from _heard(others, 0)
        yield 0, None
        while others:
            yield from _heard(others, None)
    finally:
        for listening, (_, process) in others.items():
            listening.close()
            process.terminate()
            process.join()


def _heard(
    others: dict[Connection, tuple[Share, SpawnProcess]], seconds: float | None
) -> Iterator[tuple[int, Told | None]]:
    """What the others have told by now, or within so many seconds (None: for ever); who has come to an end is let go."""
    for listening in wait(list(others), seconds) if others else ():
        assert isinstance(listening, Connection)
        share, process = others[listening]
        try:
            told = listening.recv()
        except EOFError:
            del others[listening]
            process.join()
            if process.exitcode:
                raise ProcessDied(
                    f"a process of the import ended with {process.exitcode}; run the same command again to go on"
                ) from None
            told = None
        if isinstance(told, Exception):
            raise told
        yield share.number, told


def _work(job: Job, share: Share, connection: LogConnection, telling: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us all; the parent ends us
    gc.freeze()
    try:
        columns = job.part().columns.names()
        with closing(connection), open_export(job.file, job.mapping.file, columns) as export:
            for told in ShareImport(job, share, Executor(connection), connection.another()).run(export):
                telling.send(told)
    except BrokenPipeError:
        pass  # nobody is there any more
    except Exception as error:
        telling.send(error)
