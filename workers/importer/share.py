"""Chunk by chunk, each chunk one transaction of the log: the rows of a file, or one process's share of them."""

import gc
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from domain.account import OpenAccount
from domain.errors import Refusal, UnknownDeal
from domain.event import Actor
from infra.arrays import UuidArray
from infra.bulk import Done
from infra.connection import LogConnection
from infra.executor import Executor
from infra.requests import Request
from workers.importer.activities import ActivityPlanner
from workers.importer.history import HistoryPlanner
from workers.importer.mapping import Activities, History, Mapping
from workers.importer.opening import FirstValues, Opener
from workers.importer.place import Place
from workers.importer.plan import Plan, Source
from workers.importer.report import BadRow, ImportSummary, Problem, UnusableInput
from workers.importer.rows import ExportFile, Row, Share, open_export

Kind = Literal["history", "activities"]

CHUNK = 2_000
"""Rows per transaction."""
_TOGETHER = 100
"""How many rows more a chunk may have so that rows of one deal and moment stay together."""
_FEW = 200
"""Rows that are planned and then decided before the next ones, while they are in the processor's cache."""

_IN_LEDGER = "SELECT uuid_send(row_key) FROM dealtrace.import_ledger WHERE row_key = ANY(%b::uuid[])"


class Job(NamedTuple):
    """What is to be imported, the same for every process. `run` correlates all that comes of it."""

    file: Path
    mapping: Mapping
    kind: Kind
    actor: Actor
    dry_run: bool
    run: str

    def part(self) -> History | Activities:
        """What the mapping says of this kind of file. Raises UnusableInput when it says nothing."""
        part = self.mapping.history if self.kind == "history" else self.mapping.activities
        if part is None:
            raise UnusableInput(
                f"The mapping has no [{self.kind}] section, so it can not import {self.kind}."
            )
        return part

    def planner(self, source: Source, share: Share) -> HistoryPlanner | ActivityPlanner:
        """What makes requests of the rows."""
        part = self.part()
        if isinstance(part, History):
            return HistoryPlanner(self.mapping, part, source, _first_values(self, part, share))
        return ActivityPlanner(self.mapping, part, source)


class Told(msgspec.Struct):
    """One more chunk is done: its problems in the order of the file, and what became of all rows so far.

    No row of the share up to the line `upto` is still on its way.
    """

    upto: int
    bytes_read: int
    problems: list[Problem]
    summary: ImportSummary


class _Planned(NamedTuple):
    """A chunk on its way through the executor. The plan grows while its requests are taken."""

    chunk: list[Row | Problem]
    rows: list[Row]
    fresh: list[Row]
    plan: Plan


def import_share(
    job: Job, share: Share, executor: Executor, connection: LogConnection, export: ExportFile
) -> Generator[Told, None, None]:
    """Import the rows of the share; what became of them, after each chunk."""
    yield from _ShareImport(job, share, executor, connection).run(export)


class _ShareImport:
    """One share on its way into the log."""

    def __init__(self, job: Job, share: Share, executor: Executor, connection: LogConnection) -> None:
        self._share = share
        self._executor = executor
        self._connection = connection
        self._source = Source(job.mapping.source, job.actor, job.run)
        self._planner = job.planner(self._source, share)
        self._summary = ImportSummary(job.kind, job.mapping.source, job.dry_run)
        self._named: set[str] = set()
        self._looked_up: set[str] = set()
        """Deals whose place was looked for, and is known if they are there."""
        self._on_their_way: set[bytes] = set()

    def run(self, export: ExportFile) -> Iterator[Told]:
        summary = self._summary
        planned: deque[_Planned] = deque()
        chunks = self._planned(export, planned)
        outcomes = self._dry(chunks) if summary.dry_run else self._executor.execute_all(chunks)
        for done in outcomes:
            chunk = planned.popleft()
            problems = self._account(chunk, done)
            yield Told(chunk.chunk[-1].line, export.bytes_read, problems, summary)

    def _dry(self, chunks: Iterable[Iterable[Request]]) -> Iterator[Done]:
        for requests in chunks:
            yield Done.of(self._executor.execute(list(requests), dry_run=True))

    def _planned(self, export: ExportFile, planned: deque[_Planned]) -> Iterator[Iterable[Request]]:
        """The requests of one chunk after the other; what is needed to account for the answers waits in `planned`."""
        rows_of_share = export.rows(self._summary.source, self._summary.kind, self._share)
        for chunk in _chunks(rows_of_share, CHUNK):
            rows = [r for r in chunk if isinstance(r, Row)]
            planned.append(_Planned(chunk, rows, self._not_taken(rows), Plan()))
            yield self._requests(planned[-1])

    def _requests(self, planned: _Planned) -> Iterator[Request]:
        """Plan the chunk's rows, a few at a time."""
        if isinstance(self._planner, HistoryPlanner):
            self._look_up(planned.fresh, self._planner.places)
            self._look_up_accounts(self._planner.opener, planned.fresh)
        now, plan = self._connection.now(), planned.plan
        for few in _chunks(planned.fresh, _FEW):
            begun = len(plan.requests)
            self._planner.plan(few, now, plan)
            yield from plan.requests[begun:]

    def _account(self, planned: _Planned, done: Done) -> list[Problem]:
        """Count what became of the chunk's rows; the problems with them, in the order of the file."""
        summary, plan = self._summary, planned.plan
        problems = [r for r in planned.chunk if isinstance(r, Problem)] + plan.problems
        for i, refusal in done.refusals.items():
            problems.append(self._refused(plan.rows[i], plan.requests[i], refusal))
        self._named.update([row.cells[0] for row in planned.rows])
        summary.rows += len(planned.chunk)
        summary.events += done.events
        summary.opened += len(plan.opening - done.refusals.keys() - done.repeated)
        # Of those repeated another import of the same rows was quicker.
        summary.already_there += len(planned.rows) - len(planned.fresh) + len(done.repeated)
        if not summary.dry_run:
            summary.position = max(summary.position, done.position)
        summary.ignored += plan.ignored
        summary.deals = len(self._named)
        errors = sum(problem.level == "error" for problem in problems)
        summary.bad += errors
        summary.warnings += len(problems) - errors
        if problems:
            gc.collect(0)
        return sorted(problems, key=lambda problem: problem.line)

    def _not_taken(self, rows: list[Row]) -> list[Row]:
        """Rows of an earlier import must not even be planned: the deal has moved on since.

        Nor must rows whose id the file names twice. The chunk before may not be in the ledger yet, and in a dry
        run no chunk ever is.
        """
        keys = [row.key for row in rows]
        known = {
            key
            for (key,) in self._connection.run(
                lambda conn: conn.execute(_IN_LEDGER, [UuidArray(keys)]).fetchall()
            )
        }
        before = self._on_their_way
        here = set(keys)
        taken = (known | before) & here
        self._on_their_way = before | here if self._summary.dry_run else here - taken
        if not taken and len(here) == len(rows):
            return rows
        fresh = dict(zip(reversed(keys), reversed(rows), strict=True))  # of two rows with one id, the first
        return [row for row in rows if fresh[row.key] is row and row.key not in taken]

    def _look_up(self, rows: list[Row], places: dict[UUID, Place]) -> None:
        """Where the deals stand that the log has and this import has not touched yet."""
        new = {row.cells[0] for row in rows} - self._looked_up
        self._looked_up |= new
        missing = set()
        for deal in new:
            with suppress(BadRow):  # planning reports it
                missing.add(self._source.deal_id(deal))
        missing -= places.keys()
        if missing:
            streams = self._executor.streams(missing)
            places.update((i, Place.of(stream)) for i, stream in streams.items() if stream.version)

    def _look_up_accounts(self, opener: Opener, rows: list[Row]) -> None:
        """Which of the accounts that the rows may open are open already."""
        if missing := opener.accounts_of(rows):
            streams = self._executor.streams(missing)
            opener.accounts.update(i for i, stream in streams.items() if stream.version)

    def _refused(self, row: Row, request: Request, refusal: Refusal) -> Problem:
        """A refusal that planning did not foresee: where the deal stands is not what we believed."""
        if isinstance(self._planner, HistoryPlanner) and not self._summary.dry_run:
            self._planner.places.pop(self._source.deal_id(row.deal), None)
            self._looked_up.clear()
            self._planner.opener.accounts.difference_update(
                command.account_id for command in request.commands if isinstance(command, OpenAccount)
            )
        if isinstance(refusal, UnknownDeal):
            message = f"there is no deal {row.deal} of {self._source.name}; import its history first"
        else:
            message = refusal.detail.rstrip(".") + (
                f"; accepted: {refusal.accepted}" if refusal.accepted else ""
            )
        return Problem(row.line, "error", refusal.code, row.deal, message)


R = TypeVar("R", bound=Row | Problem)


def _chunks(rows: Iterable[R], size: int) -> Iterator[list[R]]:
    """Chunks of so many rows; those of one deal and moment stay together, for together they may open the deal."""
    rows = iter(rows)
    chunk = list(islice(rows, size))
    while chunk:
        following: list[R] = []
        for row in rows:
            last = chunk[-1]
            if (
                len(chunk) < size + _TOGETHER
                and isinstance(last, Row)
                and isinstance(row, Row)
                and row.moment == last.moment
            ):
                chunk.append(row)
            else:
                following.append(row)
                break
        yield chunk
        following.extend(islice(rows, size - len(following)))
        chunk = following


def _first_values(job: Job, history: History, share: Share) -> FirstValues:
    """Per deal and field the old value of its first change, if the mapping says that openings do not tell."""
    found: FirstValues = {}
    if history.opening == "look_ahead":
        told_by_change = {f for f, meaning in history.fields.items() if meaning not in ("created", "ignore")}
        with open_export(job.file, job.mapping.file, history.columns.names()) as export:
            for _, cells in export.records():
                if not isinstance(cells, Problem) and cells[3] in told_by_change and share.has(cells[0]):
                    found.setdefault((cells[0], cells[3]), cells[4])
    return found
