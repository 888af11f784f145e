"""An import from the first row to the summary, done by this process alone or by several side by side."""

import gc
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path

from domain.event import Actor
from infra.connection import LogConnection
from infra.executor import Executor
from infra.ids import new_id
from workers.importer.mapping import Mapping
from workers.importer.playbook import ensure_playbook
from workers.importer.report import COUNTS, ImportSummary, Problem, Progress
from workers.importer.rows import is_compressed, open_export, shares
from workers.importer.share import Job, Kind, Told, import_share
from workers.importer.side_by_side import side_by_side

IMPORTER = Actor(id="importer", role="admin", auth="cli")

LARGE = 3_000_000
"""Bytes, uncompressed, from which on another process is worth its start of almost half a second."""
_LEAD = 800_000
"""Bytes, uncompressed, that this process does while the others start."""
_COMPRESSION = 7
MOST_PROCESSES = 4
"""More would only wait for one another at the head of the log."""


def _silent(_: object) -> None:
    pass


def run_import(
    executor: Executor,
    connection: LogConnection,
    file: Path,
    mapping: Mapping,
    kind: Kind,
    *,
    actor: Actor = IMPORTER,
    dry_run: bool = False,
    processes: int | None = None,
    report: Callable[[Problem], None] = _silent,
    progress: Callable[[Progress], None] = _silent,
) -> ImportSummary:
    """Import a file. Rows that are in the log already are passed over, so it may be repeated or continued.

    Bad rows and warnings go to `report` in the order of the file while the rest goes on; `progress` is called
    after each transaction. The actor acts on behalf of whoever the source names. A dry run decides every row and
    writes nothing; use an executor of its own for it, and the same one for its whole length.

    Large files are shared out, deal by deal, to at most so many `processes` (default: one per CPU), if the rows of
    one deal say nothing about another: the log then holds the deals' events in another order, each deal's in its own.

    Raises UnusableInput for a file or mapping that can not be used at all, psycopg.OperationalError when the
    database stays out of reach. What was imported before stays then.
    """
    job = Job(file, mapping, kind, actor, dry_run, str(new_id()))
    with _collector_at_rest():
        return _import(executor, connection, job, processes, report, progress)


def _import(
    executor: Executor,
    connection: LogConnection,
    job: Job,
    processes: int | None,
    report: Callable[[Problem], None],
    progress: Callable[[Progress], None],
) -> ImportSummary:
    part, started = job.part(), time.perf_counter()
    with open_export(job.file, job.mapping.file, part.columns.names()) as export:
        ensure_playbook(executor, job.mapping, job.actor, dry_run=job.dry_run)
        count = (processes or _processes_for(job.file)) if part.deals_stand_alone and not job.dry_run else 1
        first, *others = shares(count, lead=min(0.2, _LEAD / (_size(job.file) or 1)) if count > 1 else 0.0)
        together = _Together(job, count, export.size, started)
        own = import_share(job, first, executor, connection.another(), export)
        with closing(side_by_side(own, job, connection, others)) as steps:
            for number, told in steps:
                for problem in together.take(number, told):
                    report(problem)
                progress(together.progress())
        return together.summary()


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Rows make many objects and no cycles but those of refusals, which one look per chunk finds.

    Looking all the time, as Python does by itself, takes a third of an import; a single look at all that it holds
    at its end, a tenth. So everything must be let go before this ends.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _processes_for(file: Path) -> int:
    return min(os.cpu_count() or 1, MOST_PROCESSES) if _size(file) >= LARGE else 1


def _size(file: Path) -> int:
    """Bytes, uncompressed, about."""
    return file.stat().st_size * (_COMPRESSION if is_compressed(file) else 1)


class _Together:
    """What all shares have told so far."""

    def __init__(self, job: Job, shares: int, size: int, started: float) -> None:
        self._job = job
        self._size = size
        self._started = started
        self._upto: list[float] = [0] * shares
        self._read = [0] * shares
        self._summaries = [ImportSummary(job.kind, job.mapping.source, job.dry_run) for _ in range(shares)]
        self._problems: list[Problem] = []

    def take(self, number: int, told: Told | None) -> list[Problem]:
        """One share is a chunk further, or at its end; the problems that can be reported in the order of the file now."""
        if told is None:
            self._upto[number], self._read[number] = math.inf, self._size
        else:
            self._upto[number], self._read[number] = told.upto, told.bytes_read
            self._summaries[number] = told.summary
            self._problems = sorted(self._problems + told.problems, key=lambda problem: problem.line)
        ready = list(takewhile(lambda problem: problem.line <= min(self._upto), self._problems))
        del self._problems[: len(ready)]
        return ready

    def progress(self) -> Progress:
        """How far all of them have come."""
        rows, read = sum(s.rows for s in self._summaries), sum(self._read) // len(self._read)
        return Progress(rows, read, self._size, time.perf_counter() - self._started)

    def summary(self) -> ImportSummary:
        """What became of all the rows."""
        total = ImportSummary(self._job.kind, self._job.mapping.source, self._job.dry_run)
        for field in COUNTS:
            setattr(total, field, sum(getattr(s, field) for s in self._summaries))
        total.position = max(s.position for s in self._summaries)
        total.seconds = time.perf_counter() - self._started
        return total
