"""Deciding a request on the streams as they are believed to be: no database, only what was loaded."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from domain import playbook
from domain.command import Command, Context
from domain.errors import InTheFuture, InvalidCommand, NotAllowed, OutOfOrder, Refusal, StaleVersion
from domain.event import Event, Meta
from domain.registry import AGGREGATE_OF
from domain.stream import Stream, occurrence, rfc3339
from infra.event_store import NewEvent, Remember, Unit
from infra.ids import new_id
from infra.mapper import encode
from infra.requests import ItemResult, Request, Result
from infra.vault import Sealed, seal

_NOTHING: dict[Any, Any] = {}

WHEN_APPENDED = datetime.max.replace(tzinfo=UTC)
"""Stands for the `recorded_at` that an event decided just now will get; no source can claim to know it later."""


class Step(msgspec.Struct, frozen=True):
    """One decided command: its events as they will be stored, and the stream after them."""

    command: Command
    stream: Stream
    event_ids: tuple[UUID, ...]
    events: tuple[NewEvent, ...]

    def item(self, after: int) -> ItemResult:
        """What became of the command whose events stand after this position."""
        command, events, stream = self.command, self.event_ids, self.stream
        ids = {name: getattr(command, name) for name in command.id_fields()}
        return ItemResult(command.command_name(), stream.id, stream.version, after + len(events), events, ids)


class Decision(msgspec.Struct):
    """A request decided: the steps, or why it is refused, and the versions that this stands on."""

    request: Request
    stands_on: dict[UUID, int]
    steps: list[Step] = []
    texts: list[Sealed] = []
    refusal: Refusal | None = None

    def result(self, after: int) -> Result:
        """What became of the request whose events stand after this position."""
        items = []
        for step in self.steps:
            items.append(step.item(after))
            after += len(step.events)
        return Result(tuple(items), after)

    def unit(self) -> Unit:
        """What is to be appended together or not at all."""
        request = self.request
        remember = None
        if request.digest is not None:
            remember = Remember(request.actor.id, request.command_id, request.digest)
        if self.refusal is not None:
            return Unit((), self.stands_on, remember=remember, row=request.row)
        steps = self.steps
        return Unit(
            steps[0].events if len(steps) == 1 else tuple(event for step in steps for event in step.events),
            self.stands_on,
            lambda after: msgspec.json.encode(self.result(after)),
            remember,
            request.row,
            tuple(self.texts),
        )


def decide(
    request: Request,
    streams: dict[UUID, Stream],
    now: datetime,
    unknown_corrections: frozenset[UUID] = frozenset(),
) -> Decision:
    """Decide the commands of a request one after the other; the first refusal refuses all of it.

    `streams` holds every stream that the commands name or stand on, and the playbook. It is not changed.
    `unknown_corrections` are ids that commands say they correct and that their streams do not have.
    """
    commands = request.commands
    stands_on = {playbook.STREAM_ID: streams[playbook.STREAM_ID].version}
    for command in commands:
        stream_id = command.stream_id()
        stands_on[stream_id] = streams[stream_id].version
        for stream_id in command.stands_on():
            stands_on[stream_id] = streams[stream_id].version
    decision = Decision(request, stands_on, [], [])
    view = streams if len(commands) == 1 else {stream_id: streams[stream_id] for stream_id in stands_on}
    for index, command in enumerate(commands):
        try:
            if unknown_corrections and command.corrects in unknown_corrections:
                raise InvalidCommand(
                    f"There is no event {command.corrects} on this stream to correct.",
                    field="corrects",
                    accepted="the id of an earlier event of the same stream",
                )
            step = _decide_one(request, index, command, view, now, decision.texts)
        except Refusal as refusal:
            refusal.index = index
            if isinstance(refusal, StaleVersion):
                refusal.committed = stands_on[command.stream_id()]
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
) -> Step:
    stream, book = streams[command.stream_id()], streams[playbook.STREAM_ID]
    if request.actor.role not in command.ALLOWED:
        raise NotAllowed(
            f"The role {request.actor.role} may not {command.command_name()}.",
            accepted=command.allowed_roles(),
        )
    sealed = _seal(command) if command.personal_fields() else _NOTHING
    others = command.stands_on()
    context = Context(
        now=now,
        actor=request.actor,
        origin=request.origin,
        playbook=book.state or playbook.EMPTY,
        new_id=new_id,
        sealed={name: text.ref for name, text in sealed.items()} if sealed else _NOTHING,
        others={other: streams[other] for other in others} if others else _NOTHING,
    )
    aggregate = AGGREGATE_OF[type(command)]
    if request.origin == "live":
        _require_own_id(command)
    if stream.aggregate not in ("", aggregate.name):
        stream = _unknown(command, stream)
    expected = request.expected[index] if request.expected else None
    if expected is not None and expected != stream.version:
        _require_right_to_know(command, stream, context)
        raise StaleVersion(expected, stream.version)
    decided = aggregate.decide(command, stream.state, context)
    occurred_at = occurrence(stream, decided, command.occurred_at, now)
    claimed, known_at = request.source_recorded_at, request.source_recorded_at or WHEN_APPENDED
    event_ids, events = [], []
    for event in decided:
        if claimed is not None:
            _check_knowledge(stream, event, claimed, now)
        evolve = AGGREGATE_OF[type(event)].evolve  # an event may be another slice's than its command
        stream = stream.then(event, evolve, occurred_at, known_at)
        meta = _meta(request, command, event, occurred_at, book.version)
        event_ids.append(meta.event_id)
        events.append(NewEvent(stream.id, stream.version, event.TOPIC, encode(meta, event)))
    if decided and sealed:
        texts.extend(sealed.values())
    return Step(command, stream, tuple(event_ids), tuple(events))


def _seal(command: Command) -> dict[str, Sealed]:
    """The personal texts that came with the command, by field."""
    return {
        name: seal(command.subject_id(), text)
        for name in command.personal_fields()
        if (text := getattr(command, name)) is not None
    }


def _require_own_id(command: Command) -> None:
    """Ids derived from names are ours: whoever could choose one could take the place of what it names."""
    given = getattr(command, command.MINTS) if command.MINTS else None
    if given is not None and given.version not in (4, 7):
        raise InvalidCommand(
            f"{given} is not an id that a client may choose.",
            field=command.MINTS,
            accepted="a random id (UUIDv4 or UUIDv7), or none",
        )


def _unknown(command: Command, stream: Stream) -> Stream:
    """A stream of another kind is, to this command, one that does not exist; but its id is taken."""
    if command.CREATES:
        raise InvalidCommand(
            f"The id {stream.id} is taken already.", field=command.MINTS, accepted="another id, or none"
        )
    return Stream(stream.id)


def _require_right_to_know(command: Command, stream: Stream, context: Context) -> None:
    """Refuses who may not learn the version, whatever it is: who may not do this, and who asks for what is not there."""
    try:
        AGGREGATE_OF[type(command)].decide(command, stream.state, context)
    except Refusal as refusal:
        if isinstance(refusal, NotAllowed) or stream.version == 0:
            raise
        # One more reason against it; the first to be mended is the version.


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


def _check_knowledge(stream: Stream, event: Event, source_recorded_at: datetime, now: datetime) -> None:
    """A source can not know the future, and what it claims to have known of state may not run backwards."""
    if source_recorded_at > now:
        raise InTheFuture(
            f"source_recorded_at {rfc3339(source_recorded_at)} lies in the future; it is now {rfc3339(now)}.",
            field="source_recorded_at",
            accepted=f"a time up to {rfc3339(now)}",
        )
    last = stream.last_known_at
    if event.GROUP is not None and last is not None and source_recorded_at < last:
        raise OutOfOrder(
            f"The source recorded it at {rfc3339(source_recorded_at)}, before what is known already.",
            field="source_recorded_at",
            accepted=f"a time from {rfc3339(last)} on",
        )
