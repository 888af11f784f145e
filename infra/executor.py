"""Commands in groups: load, decide, append. Each command keeps its own outcome.

Streams that were loaded or decided before are kept as hints. Every decision names the versions it stood on, and the
append checks them behind the head lock; what stood on a stream that has moved is loaded and decided again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import TypeVar
from uuid import UUID

import msgspec
import psycopg

from domain import playbook
from domain.errors import CommandIdReused, Contended, Refusal
from domain.stream import Stream
from infra import metrics
from infra.arrays import UuidArray
from infra.bulk import Batch, Done, append_whole
from infra.connection import LogConnection
from infra.decisions import WHEN_APPENDED, Decision, decide
from infra.event_store import (
    Appended,
    Imported,
    LogReplaced,
    Moved,
    Outcome,
    Repeated,
    Reused,
    append,
    read_head,
)
from infra.ids import new_id
from infra.requests import Request, Result
from infra.streams import KnownStreams, load_streams

T = TypeVar("T")

ATTEMPTS = 12
"""How often a command is decided anew because other writers were quicker."""
_FEW = 200
"""Requests of a long group that are taken and decided before the next ones."""
CACHED_STREAMS = 25_000
"""How many streams are remembered, and at most twice as many."""

_LEDGER = "SELECT uuid_send(row_key), position FROM dealtrace.import_ledger WHERE row_key = ANY(%b::uuid[])"


_EVENT_IDS = """
SELECT (convert_from(state, 'UTF8')::json -> 'meta' ->> 'event_id')::uuid, originator_id
FROM dealtrace.events WHERE originator_id = ANY(%b::uuid[])"""


class Executor:
    """Executes groups of requests on one connection to the log. Not for several threads at once."""

    def __init__(self, connection: LogConnection) -> None:
        self._log = connection
        self._reader = connection.another()
        self._known = KnownStreams(CACHED_STREAMS)
        self._dry: dict[UUID, Stream] = {}
        self._log_and_epoch: tuple[UUID, int] | None = None
        self.appended: tuple[float, float] | None = None
        """When the last append began and ended, by `time.perf_counter`."""

    def execute(self, requests: Sequence[Request], *, dry_run: bool = False) -> list[Result | Refusal]:
        """Do the requests in order, in one transaction; each by itself is done whole or refused.

        A dry run decides everything, on top of the dry runs before it, and writes nothing; its positions are 0.
        Raises psycopg.OperationalError when the database stays out of reach.
        """
        named = [self._with_ids(request) for request in requests]
        try:
            return self._execute(named, dry_run)
        except LogReplaced:
            self._known.clear()
            return self._execute(named, dry_run)

    def _execute(self, requests: Sequence[Request], dry_run: bool) -> list[Result | Refusal]:
        with self._unless_it_fails(requests):
            decided = self._decide(requests, dry_run)
            outcomes = self._rehearse(decided) if dry_run else self._append(decided)
            return self._settle_all(decided, outcomes, dry_run)

    def execute_all(self, groups: Iterable[Iterable[Request]]) -> Iterator[Done]:
        """What became of each group, in order; each is one transaction, whole or as `execute` does it.

        While one group is being appended the next one is taken and decided, as if all of the first will be there.
        If it will not, both are decided again. Of a group that makes its requests one by one a few are taken and
        decided at a time, while they are in the processor's cache.
        """
        believed: list[Request] = []
        with (
            ThreadPoolExecutor(1, thread_name_prefix="append") as background,
            self._unless_it_fails(believed),
        ):
            flying: tuple[Batch, Future[Appended | None]] | None = None
            for group in groups:
                ahead, taking = Batch(), iter(group)
                while few := [self._with_ids(request) for request in islice(taking, _FEW)]:
                    believed += few
                    ahead.take(self._decide(few, dry_run=False))
                if flying is None:
                    flying = ahead, background.submit(self._append_whole, ahead)
                    continue
                done, ahead = self._landed(*flying, ahead)
                flying = ahead, background.submit(self._append_whole, ahead)
                believed[:] = ahead.requests
                yield done
            if flying is not None:
                done, _ = self._landed(*flying, Batch())
                believed.clear()
                yield done

    def _landed(self, batch: Batch, flight: Future[Appended | None], ahead: Batch) -> tuple[Done, Batch]:
        """What became of the batch, and the one ahead: decided again unless the first was appended as a whole."""
        appended = flight.result()
        if appended is not None:
            for stream in batch.undated:
                self._date(stream, appended.recorded_at)
            return batch.done(appended), ahead
        self._forget_all([*batch.requests, *ahead.requests])
        done, again = Done.of(self.execute(batch.requests)), Batch()
        again.take(self._decide(ahead.requests, dry_run=False))
        return done, again

    def stream(self, stream_id: UUID) -> Stream:
        """The stream as it is believed to be now (after dry runs, as they would leave it)."""
        return self.streams([stream_id])[stream_id]

    def streams(self, ids: Iterable[UUID]) -> dict[UUID, Stream]:
        """The streams as they are believed to be now; one that has no event has version 0."""
        found, missing = self._known.among(ids)
        if missing:
            loaded = self._reader.run(lambda conn: load_streams(conn, missing))
            self._known.keep(loaded)
            found |= loaded
        if self._dry:
            found |= {stream_id: self._dry[stream_id] for stream_id in found if stream_id in self._dry}
        return found

    # --- load

    def _with_ids(self, request: Request) -> Request:
        """Streams that the request opens under a fresh id need not be looked for."""
        for command in request.commands:
            if command.MINTS is not None and getattr(command, command.MINTS) is None:
                break
        else:
            return request
        commands = tuple(command.with_id(new_id) for command in request.commands)
        for command, named in zip(request.commands, commands, strict=True):
            if named is not command and named.CREATES:
                stream_id = named.stream_id()
                self._known.keep({stream_id: Stream(stream_id)})
        return msgspec.structs.replace(request, commands=commands)

    def _forget(self, stream_id: UUID) -> None:
        self._known.forget(stream_id)
        self._dry.pop(stream_id, None)

    def _forget_all(self, requests: Iterable[Request]) -> None:
        for request in requests:
            for command in request.commands:
                self._forget(command.stream_id())

    @contextmanager
    def _unless_it_fails(self, requests: Sequence[Request]) -> Iterator[None]:
        """Decisions are believed before they are appended; if that fails, nothing of what they say is kept."""
        try:
            yield
        except BaseException:
            self._forget_all(requests)
            raise

    # --- decide

    def _decide(self, requests: Sequence[Request], dry_run: bool) -> list[Decision]:
        """Decide every request on top of those before it, as if all of them will be appended."""
        needed, corrected = {playbook.STREAM_ID}, set[tuple[UUID, UUID]]()
        for request in requests:
            for command in request.commands:
                stream_id = command.stream_id()
                needed.add(stream_id)
                needed.update(command.stands_on())
                if command.corrects is not None:
                    corrected.add((command.corrects, stream_id))
        streams, unknown = self.streams(needed), self._unknown_corrections(corrected)
        now = self._reader.run(lambda _: self._reader.now())  # reads the clock anew once a minute
        decisions, changed = list[Decision](), dict[UUID, Stream]()
        for request in requests:
            decision = decide(request, streams, now, unknown)
            if decision.refusal is None:
                for step in decision.steps:
                    streams[step.stream.id] = step.stream
                    if dry_run:
                        changed[step.stream.id] = step.stream
            decisions.append(decision)
        if dry_run:
            self._dry.update(changed)
        else:
            self._known.keep(streams)
        return decisions

    def _unknown_corrections(self, named: set[tuple[UUID, UUID]]) -> frozenset[UUID]:
        """Ids that commands say they correct, and that are no event of the stream they are for."""
        if not named:
            return frozenset()
        streams = list({stream_id for _, stream_id in named})
        found = set(self._reader.run(lambda conn: conn.execute(_EVENT_IDS, [streams]).fetchall()))
        return frozenset(event_id for event_id, stream_id in named if (event_id, stream_id) not in found)

    # --- append

    def _append(self, decisions: Sequence[Decision]) -> list[Outcome]:
        units = [decision.unit() for decision in decisions]
        return self._in_the_log(lambda conn, log, lost: append(conn, units, log=log, after_lost_reply=lost))

    def _append_whole(self, batch: Batch) -> Appended | None:
        """None when it can not be appended as a whole."""
        if not batch.is_plain:
            return None
        return self._in_the_log(
            lambda conn, log, lost: append_whole(conn, batch, log=log, after_lost_reply=lost)
        )

    def _in_the_log(self, work: Callable[[LogConnection.Raw, tuple[UUID, int], bool], T]) -> T:
        """Do what appends, in the log that decisions stand on; it is told whether a reply to it was lost before."""
        lost_reply = False

        def attempt(conn: LogConnection.Raw) -> T:
            nonlocal lost_reply
            if self._log_and_epoch is None:
                self._log_and_epoch = read_head(conn).log
            began = time.perf_counter()
            try:
                return work(conn, self._log_and_epoch, lost_reply)
            except LogReplaced as replaced:
                self._log_and_epoch = replaced.head.log
                raise
            except psycopg.Error:
                lost_reply = True
                raise
            finally:
                self.appended = began, time.perf_counter()
                metrics.APPEND_SECONDS.observe(self.appended[1] - began)

        return self._log.run(attempt)

    def _rehearse(self, decisions: Sequence[Decision]) -> list[Outcome]:
        rows = [d.request.row.row_key for d in decisions if d.request.row is not None]
        known = dict(self._reader.run(lambda conn: conn.execute(_LEDGER, [UuidArray(rows)]).fetchall()))
        return [
            Imported(known[d.request.row.row_key])
            if d.request.row is not None and d.request.row.row_key in known
            else Appended(0, self._reader.now())
            for d in decisions
        ]

    # --- settle

    def _settle_all(
        self, decisions: Sequence[Decision], outcomes: Sequence[Outcome], dry_run: bool
    ) -> list[Result | Refusal]:
        """The answers; whatever has moved is decided and appended again, until it comes through."""
        answers: list[Result | Refusal | None] = [None] * len(decisions)
        pending = list(range(len(decisions)))
        for attempt in range(ATTEMPTS):
            for i, decision, outcome in zip(pending, decisions, outcomes, strict=True):
                answers[i] = self._settle(decision, outcome)
            again = [(i, d.request) for i, d in zip(pending, decisions, strict=True) if answers[i] is None]
            if not again or attempt == ATTEMPTS - 1:
                break
            metrics.REDECISIONS.inc(len(again))
            pending = [i for i, _ in again]
            decisions = self._decide([request for _, request in again], dry_run)
            outcomes = self._rehearse(decisions) if dry_run else self._append(decisions)
        contended = Contended("Other writers were quicker each time.", accepted="the same command again")
        return [contended if answer is None else answer for answer in answers]

    def _settle(self, decision: Decision, outcome: Outcome) -> Result | Refusal | None:
        """The answer, or None when the request must be decided again."""
        if isinstance(outcome, Appended):
            if decision.refusal is not None:
                return decision.refusal
            for step in decision.steps:
                self._date(step.stream, outcome.recorded_at)
            return decision.result(outcome.after)
        for step in decision.steps:
            self._forget(step.stream.id)  # it is not as we decided
        match outcome:
            case Repeated(result):
                return msgspec.structs.replace(msgspec.json.decode(result, type=Result), repeated=True)
            case Imported(position):
                return Result((), position, repeated=True)
            case Reused():
                return CommandIdReused(
                    "This command id came before with another request.",
                    field="Idempotency-Key",
                    accepted="a new key for a new request",
                )
            case Moved(streams):
                for stream_id in streams:
                    self._forget(stream_id)
                return None
        raise TypeError(f"no such outcome: {outcome!r}")

    def _date(self, stream: Stream, recorded_at: datetime) -> None:
        """Now that its last events have their time, say so in what is kept, unless that has moved on."""
        if stream.last_known_at == WHEN_APPENDED and self._known.get(stream.id) is stream:
            self._known.keep({stream.id: msgspec.structs.replace(stream, last_known_at=recorded_at)})
