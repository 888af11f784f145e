"""Commands in groups: load, decide, append. Each command keeps its own outcome.

Streams that were loaded before are kept as hints. Every decision names the versions it stood on, and the append
checks them behind the head lock; what stood on a stream that has moved is loaded and decided again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from psycopg import OperationalError

from domain import playbook
from domain.command import Command, Context
from domain.errors import (
    CommandIdReused,
    Contended,
    InTheFuture,
    NotAllowed,
    OutOfOrder,
    Refusal,
    StaleVersion,
)
from domain.event import Actor, Event, Meta, Origin
from domain.registry import AGGREGATE_OF
from domain.stream import Stream, occurrence
from infra.connection import LogConnection
from infra.event_store import (
    Appended,
    Imported,
    LedgerRow,
    Moved,
    NewEvent,
    Outcome,
    Remember,
    Repeated,
    Reused,
    Unit,
    append,
)
from infra.ids import new_id
from infra.mapper import encode
from infra.streams import load_streams
from infra.vault import Sealed, seal

ATTEMPTS = 12
"""How often a command is decided anew because other writers were quicker."""
CACHED_STREAMS = 50_000

_WHEN_APPENDED = datetime.max.replace(tzinfo=UTC)
"""Stands for the `recorded_at` that an event decided just now will get; no source can claim to know it later."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One command, or a batch that is done together or not at all, from one actor.

    `digest` identifies the request body under (actor, `command_id`); without it no result is remembered.
    `expected` holds per command the version it is based on, None for any. Imports give the source's own time of
    recording and the identity of the row.
    """

    commands: tuple[Command, ...]
    actor: Actor
    command_id: str
    request_id: str = ""
    correlation_id: str = ""
    digest: bytes | None = None
    expected: tuple[int | None, ...] = ()
    origin: Origin = "live"
    source_recorded_at: datetime | None = None
    row: LedgerRow | None = None


class ItemResult(msgspec.Struct, frozen=True):
    """What became of one command: the stream's version after it, and its events (none: it was so already)."""

    command: str
    stream_id: UUID
    version: int
    position: int
    event_ids: tuple[UUID, ...]


class Result(msgspec.Struct, frozen=True):
    """What became of a request. `position` is where a reader must have come to see all of it."""

    items: tuple[ItemResult, ...]
    position: int
    repeated: bool = False


class _Step(msgspec.Struct, frozen=True):
    """One decided command: its events with their ids, and the stream after them."""

    command: Command
    stream: Stream
    events: tuple[tuple[UUID, int, Event, Meta], ...]

    def item(self, first: int) -> ItemResult:
        name, ids = self.command.command_name(), tuple(event_id for event_id, *_ in self.events)
        return ItemResult(name, self.stream.id, self.stream.version, first + len(ids), ids)


class _Decision(msgspec.Struct):
    """A request decided on the streams as we believe they are: the steps, or why it is refused."""

    request: Request
    stands_on: dict[UUID, int]
    steps: list[_Step] = []
    texts: list[Sealed] = []
    refusal: Refusal | None = None

    def result(self, after: int) -> Result:
        items = []
        for step in self.steps:
            items.append(step.item(after))
            after += len(step.events)
        return Result(tuple(items), after)

    def unit(self) -> Unit:
        request = self.request
        remember = None
        if request.digest is not None:
            remember = Remember(request.actor.id, request.command_id, request.digest)
        if self.refusal is not None:
            return Unit((), self.stands_on, remember=remember, row=request.row)
        return Unit(
            tuple(
                NewEvent(step.stream.id, version, event.TOPIC, encode(meta, event))
                for step in self.steps
                for _, version, event, meta in step.events
            ),
            self.stands_on,
            lambda after: msgspec.json.encode(self.result(after)),
            remember,
            request.row,
            tuple(self.texts),
        )


class Executor:
    """Executes groups of requests on one connection to the log. Not for several threads at once."""

    def __init__(self, connection: LogConnection) -> None:
        self._log = connection
        self._known: OrderedDict[UUID, Stream] = OrderedDict()
        self._dry: dict[UUID, Stream] = {}

    def execute(self, requests: Sequence[Request], *, dry_run: bool = False) -> list[Result | Refusal]:
        """Do the requests in order, in one transaction; each by itself is done whole or refused.

        A dry run decides everything, on top of the dry runs before it, and writes nothing; its positions are 0.
        Raises psycopg.OperationalError when the database stays out of reach.
        """
        answers: dict[int, Result | Refusal] = {}
        waiting = [self._with_ids(request) for request in requests]
        pending = list(range(len(requests)))
        for _ in range(ATTEMPTS):
            decisions = self._decide_all([waiting[i] for i in pending])
            outcomes = self._rehearse(decisions) if dry_run else self._append(decisions)
            again = []
            for i, decision, outcome in zip(pending, decisions, outcomes, strict=True):
                answer = self._settle(decision, outcome, dry_run)
                if answer is None:
                    again.append(i)
                else:
                    answers[i] = answer
            pending = again
            if not pending:
                break
        for i in pending:
            answers[i] = Contended("Other writers were quicker each time.", accepted="the same command again")
        return [answers[i] for i in range(len(requests))]

    def stream(self, stream_id: UUID) -> Stream:
        """The stream as it is believed to be now (after dry runs, as they would leave it)."""
        return self._streams([stream_id])[stream_id]

    # --- load

    def _with_ids(self, request: Request) -> Request:
        """Streams that the request opens under a fresh id need not be looked for."""
        commands = tuple(command.with_id(new_id) for command in request.commands)
        for command, named in zip(request.commands, commands, strict=True):
            if named is not command and named.CREATES:
                self._keep(Stream(named.stream_id()))
        return msgspec.structs.replace(request, commands=commands)

    def _streams(self, ids: Iterable[UUID]) -> dict[UUID, Stream]:
        found = {i: s for i in ids if (s := self._dry.get(i) or self._known.get(i)) is not None}
        missing = [i for i in ids if i not in found]
        if missing:
            loaded = self._log.run(lambda conn: load_streams(conn, missing))
            for i, stream in loaded.items():
                self._keep(stream)
                found[i] = stream
        return found

    def _keep(self, stream: Stream) -> None:
        self._known[stream.id] = stream
        self._known.move_to_end(stream.id)
        if len(self._known) > CACHED_STREAMS:
            self._known.popitem(last=False)

    # --- decide

    def _decide_all(self, requests: list[Request]) -> list[_Decision]:
        needed = {playbook.STREAM_ID}
        for request in requests:
            for command in request.commands:
                needed.add(command.stream_id())
                needed.update(command.stands_on())
        streams = self._streams(list(needed))
        decisions = []
        for request in requests:
            decision = _decide(request, streams, self._log.now())
            if decision.refusal is None:
                for step in decision.steps:
                    streams[step.stream.id] = step.stream
            decisions.append(decision)
        return decisions

    # --- append

    def _append(self, decisions: list[_Decision]) -> list[Outcome]:
        units = [decision.unit() for decision in decisions]
        lost_reply = False

        def attempt(conn: LogConnection.Raw) -> list[Outcome]:
            nonlocal lost_reply
            try:
                return append(conn, units, after_lost_reply=lost_reply)
            except OperationalError:
                lost_reply = True
                raise

        return self._log.run(attempt)

    def _rehearse(self, decisions: list[_Decision]) -> list[Outcome]:
        rows = [d.request.row.row_key for d in decisions if d.request.row is not None]
        known = dict(
            self._log.run(
                lambda conn: conn.execute(
                    "SELECT row_key, position FROM dealtrace.import_ledger WHERE row_key = ANY(%b::uuid[])",
                    [rows],
                ).fetchall()
            )
        )
        return [
            Imported(known[d.request.row.row_key])
            if d.request.row is not None and d.request.row.row_key in known
            else Appended(0, self._log.now())
            for d in decisions
        ]

    # --- settle

    def _settle(self, decision: _Decision, outcome: Outcome, dry_run: bool) -> Result | Refusal | None:
        """The answer, or None when the request must be decided again."""
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
                    self._known.pop(stream_id, None)
                    self._dry.pop(stream_id, None)
                return None
            case Appended(after, recorded_at):
                if decision.refusal is not None:
                    return decision.refusal
                for step in decision.steps:
                    self._remember(step.stream, recorded_at, dry_run)
                return decision.result(after)
        raise TypeError(f"no such outcome: {outcome!r}")

    def _remember(self, stream: Stream, recorded_at: datetime, dry_run: bool) -> None:
        if stream.last_known_at == _WHEN_APPENDED:
            stream = msgspec.structs.replace(stream, last_known_at=recorded_at)
        if dry_run:
            self._dry[stream.id] = stream
        else:
            self._keep(stream)


def _decide(request: Request, streams: dict[UUID, Stream], now: datetime) -> _Decision:
    stands_on = {playbook.STREAM_ID: streams[playbook.STREAM_ID].version}
    for command in request.commands:
        for stream_id in (command.stream_id(), *command.stands_on()):
            stands_on[stream_id] = streams[stream_id].version
    decision = _Decision(request, stands_on, [], [])
    view = streams if len(request.commands) == 1 else dict(streams)
    for index, command in enumerate(request.commands):
        try:
            step = _decide_one(request, index, command, view, now, decision.texts)
        except Refusal as refusal:
            refusal.index = index
            decision.refusal = refusal
            return decision
        if view is not streams:
            view[step.stream.id] = step.stream
        decision.steps.append(step)
    return decision


def _decide_one(
    request: Request,
    index: int,
    command: Command,
    streams: dict[UUID, Stream],
    now: datetime,
    texts: list[Sealed],
) -> _Step:
    stream, book = streams[command.stream_id()], streams[playbook.STREAM_ID]
    if request.actor.role not in command.ALLOWED:
        raise NotAllowed(
            f"The role {request.actor.role} may not {command.command_name()}.",
            accepted=", ".join(sorted(command.ALLOWED)),
        )
    expected = request.expected[index] if request.expected else None
    if expected is not None and expected != stream.version:
        raise StaleVersion(expected, stream.version)
    sealed = {
        name: seal(command.subject_id(), text)
        for name in command.personal_fields()
        if (text := getattr(command, name)) is not None
    }
    context = Context(
        now=now,
        actor=request.actor,
        origin=request.origin,
        playbook=book.state or playbook.EMPTY,
        new_id=new_id,
        sealed={name: text.ref for name, text in sealed.items()},
        others={other: streams[other] for other in command.stands_on()},
    )
    aggregate = AGGREGATE_OF[type(command)]
    decided = aggregate.decide(command, stream.state, context)
    occurred_at = occurrence(stream, decided, command.occurred_at, now)
    events = []
    for event in decided:
        _check_knowledge(stream, event, request.source_recorded_at, now)
        known_at = request.source_recorded_at or _WHEN_APPENDED
        stream = stream.then(event, aggregate.evolve, occurred_at, known_at)
        meta = _meta(request, command, event, occurred_at, book.version)
        events.append((meta.event_id, stream.version, event, meta))
    if decided:
        texts.extend(sealed.values())
    return _Step(command, stream, tuple(events))


def _meta(request: Request, command: Command, event: Event, occurred_at: datetime, book_version: int) -> Meta:
    return Meta(
        event_id=new_id(),
        schema=event.SCHEMA,
        partition_key=command.partition_key(),
        occurred_at=occurred_at,
        origin=request.origin,
        actor=request.actor,
        request_id=request.request_id,
        command_id=request.command_id,
        correlation_id=request.correlation_id or request.request_id or request.command_id,
        causation_id=request.command_id,
        playbook_version=book_version,
        source_recorded_at=request.source_recorded_at,
        corrects=command.corrects,
    )


def _check_knowledge(
    stream: Stream, event: Event, source_recorded_at: datetime | None, now: datetime
) -> None:
    """A source can not know the future, and what it claims to have known of state may not run backwards."""
    if source_recorded_at is not None and source_recorded_at > now:
        raise InTheFuture(
            f"source_recorded_at {source_recorded_at.isoformat()} lies in the future; it is now {now.isoformat()}.",
            field="source_recorded_at",
            accepted=f"a time up to {now.isoformat()}",
        )
    last = stream.last_known_at
    if (
        event.GROUP is not None
        and source_recorded_at is not None
        and last is not None
        and source_recorded_at < last
    ):
        raise OutOfOrder(
            f"The source recorded it at {source_recorded_at.isoformat()}, before what is known already.",
            field="source_recorded_at",
            accepted=f"a time from {last.isoformat()} on",
        )
