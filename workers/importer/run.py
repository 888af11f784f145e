"""An import from the first row to the summary: chunk by chunk, each chunk one transaction of the log."""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import UUID

from domain.account import OpenAccount
from domain.errors import Refusal, UnknownDeal
from domain.event import Actor
from infra.connection import LogConnection
from infra.executor import Executor
from infra.requests import Request, Result
from infra.streams import load_streams
from workers.importer.activities import ActivityPlanner
from workers.importer.history import HistoryPlanner
from workers.importer.mapping import History, Mapping
from workers.importer.opening import FirstValues, Opener
from workers.importer.place import Place
from workers.importer.plan import Plan, Source
from workers.importer.playbook import ensure_playbook
from workers.importer.report import BadRow, ImportSummary, Problem, Progress, UnusableInput
from workers.importer.rows import ExportFile, Row, open_export

Kind = Literal["history", "activities"]

CHUNK = 2_000
"""Rows per transaction."""
_TOGETHER = 100
"""How many rows more a chunk may have so that rows of one deal and moment stay together."""

IMPORTER = Actor(id="importer", role="admin", auth="cli")

_IN_LEDGER = "SELECT row_key FROM dealtrace.import_ledger WHERE row_key = ANY(%b::uuid[])"


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
    report: Callable[[Problem], None] = _silent,
    progress: Callable[[Progress], None] = _silent,
) -> ImportSummary:
    """Import a file. Rows that are in the log already are passed over, so it may be repeated or continued.

    Bad rows and warnings go to `report` in the order of the file while the rest goes on; `progress` is called
    after each transaction. The actor acts on behalf of whoever the source names. A dry run decides every row and
    writes nothing; use an executor of its own for it, and the same one for its whole length.

    Raises UnusableInput for a file or mapping that can not be used at all, psycopg.OperationalError when the
    database stays out of reach. What was imported before stays then.
    """
    part = mapping.history if kind == "history" else mapping.activities
    if part is None:
        raise UnusableInput(f"The mapping has no [{kind}] section, so it can not import {kind}.")
    source = Source(mapping.source, actor)
    planner: HistoryPlanner | ActivityPlanner
    if isinstance(part, History):
        planner = HistoryPlanner(mapping, part, source, _first_values(file, mapping, part))
    else:
        planner = ActivityPlanner(mapping, part, source)
    with open_export(file, mapping.file, part.columns.names()) as export, _collector_at_rest():
        ensure_playbook(executor, mapping, actor, dry_run=dry_run)
        run = _Run(
            executor,
            connection.another(),
            planner,
            source,
            ImportSummary(kind, mapping.source, dry_run),
            report,
        )
        return run.all(export, progress)


class _Planned(NamedTuple):
    """A chunk on its way through the executor."""

    chunk: list[Row | Problem]
    rows: list[Row]
    already_there: int
    plan: Plan


class _Run:
    """One import on its way."""

    def __init__(
        self,
        executor: Executor,
        connection: LogConnection,
        planner: HistoryPlanner | ActivityPlanner,
        source: Source,
        summary: ImportSummary,
        report: Callable[[Problem], None],
    ) -> None:
        self._executor = executor
        self._connection = connection
        self._planner = planner
        self._source = source
        self._summary = summary
        self._report = report
        self._named: set[str] = set()
        self._on_their_way: set[UUID] = set()

    def all(self, export: ExportFile, progress: Callable[[Progress], None]) -> ImportSummary:
        summary, started = self._summary, time.perf_counter()
        planned: deque[_Planned] = deque()
        chunks = self._planned(export, planned)
        answers = self._dry(chunks) if summary.dry_run else self._executor.execute_all(chunks)
        for answer in answers:
            self._account(planned.popleft(), answer)
            summary.seconds = time.perf_counter() - started
            progress(Progress(summary.rows, export.bytes_read, export.size, summary.seconds))
        summary.seconds = time.perf_counter() - started
        summary.deals = len(self._named)
        return summary

    def _dry(self, chunks: Iterable[Sequence[Request]]) -> Iterator[list[Result | Refusal]]:
        for requests in chunks:
            yield self._executor.execute(requests, dry_run=True)

    def _planned(self, export: ExportFile, planned: "deque[_Planned]") -> Iterator[Sequence[Request]]:
        """The requests of one chunk after the other; what is needed to account for the answers waits in `planned`."""
        for chunk in _chunks(export.rows(self._summary.source, self._summary.kind)):
            rows = [r for r in chunk if isinstance(r, Row)]
            fresh = self._not_taken(rows)
            planned.append(_Planned(chunk, rows, len(rows) - len(fresh), self._plan(fresh)))
            yield planned[-1].plan.requests

    def _account(self, done: "_Planned", answers: list[Result | Refusal]) -> None:
        summary, plan = self._summary, done.plan
        problems = [r for r in done.chunk if isinstance(r, Problem)] + plan.problems
        for row, request, answer in zip(plan.rows, plan.requests, answers, strict=True):
            if isinstance(answer, Refusal):
                problems.append(self._refused(row, request, answer))
            else:
                self._count(answer)
        self._named.update(row.deal for row in done.rows)
        summary.rows += len(done.chunk)
        summary.already_there += done.already_there
        summary.ignored += plan.ignored
        for problem in sorted(problems, key=lambda p: p.line):
            if problem.level == "error":
                summary.bad += 1
            else:
                summary.warnings += 1
            self._report(problem)
        if problems:
            gc.collect(0)

    def _not_taken(self, rows: list[Row]) -> list[Row]:
        """Rows of an earlier import must not even be planned: the deal has moved on since.

        Nor must rows whose id the file names twice. The chunk before may not be in the ledger yet, and in a dry
        run no chunk ever is.
        """
        keys = [row.key for row in rows]
        known = {
            key for (key,) in self._connection.run(lambda conn: conn.execute(_IN_LEDGER, [keys]).fetchall())
        }
        before = self._on_their_way
        taken = known | before
        fresh: dict[UUID, Row] = {}
        for row in rows:
            if row.key not in taken:
                fresh.setdefault(row.key, row)
        self._on_their_way = before | fresh.keys() if self._summary.dry_run else set(fresh)
        return list(fresh.values())

    def _plan(self, rows: list[Row]) -> Plan:
        if isinstance(self._planner, HistoryPlanner) and rows:
            self._look_up(rows, self._planner.places)
            self._look_up_accounts(self._planner.opener, rows)
        return self._planner.plan(rows, self._connection.now())

    def _look_up(self, rows: list[Row], places: dict[UUID, Place]) -> None:
        """Where the deals stand that the log has and this import has not touched yet."""
        missing = set()
        for row in rows:
            try:
                deal_id = self._source.deal_id(row)
            except BadRow:
                continue  # planning reports it
            if deal_id not in places:
                missing.add(deal_id)
        if missing:
            streams = self._connection.run(lambda conn: load_streams(conn, list(missing)))
            places.update((i, Place.of(stream)) for i, stream in streams.items() if stream.version)

    def _look_up_accounts(self, opener: Opener, rows: list[Row]) -> None:
        """Which of the accounts that the rows may open are open already."""
        if missing := opener.accounts_of(rows):
            streams = self._connection.run(lambda conn: load_streams(conn, list(missing)))
            opener.accounts.update(i for i, stream in streams.items() if stream.version)

    def _count(self, answer: Result) -> None:
        summary = self._summary
        if not summary.dry_run:
            summary.position = max(summary.position, answer.position)
        if answer.repeated:  # another import of the same rows was quicker
            summary.already_there += 1
        for item in answer.items:
            summary.events += len(item.event_ids)
            summary.opened += item.command == "open-deal"

    def _refused(self, row: Row, request: Request, refusal: Refusal) -> Problem:
        """A refusal that planning did not foresee: where the deal stands is not what we believed."""
        if isinstance(self._planner, HistoryPlanner) and not self._summary.dry_run:
            self._planner.places.pop(self._source.deal_id(row), None)
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


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Rows make many objects and no cycles but those of refusals, which one look per chunk finds.

    Looking all the time, as Python does by itself, takes a third of an import.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _chunks(rows: Iterable[Row | Problem]) -> Iterator[list[Row | Problem]]:
    """Chunks of rows; those of one deal and moment stay together, for together they may open the deal."""
    rows = iter(rows)
    chunk = list(islice(rows, CHUNK))
    while chunk:
        following: list[Row | Problem] = []
        for row in rows:
            last = chunk[-1]
            if (
                len(chunk) < CHUNK + _TOGETHER
                and isinstance(last, Row)
                and isinstance(row, Row)
                and row.moment == last.moment
            ):
                chunk.append(row)
            else:
                following.append(row)
                break
        yield chunk
        following.extend(islice(rows, CHUNK - len(following)))
        chunk = following


def _first_values(file: Path, mapping: Mapping, history: History) -> FirstValues:
    """Per deal and field the old value of its first change, if the mapping says that openings do not tell."""
    found: FirstValues = {}
    if history.opening == "look_ahead":
        told_by_change = {f for f, meaning in history.fields.items() if meaning not in ("created", "ignore")}
        with open_export(file, mapping.file, history.columns.names()) as export:
            for _, cells in export.records():
                if not isinstance(cells, Problem) and cells[3] in told_by_change:
                    found.setdefault((cells[0], cells[3]), cells[4])
    return found
