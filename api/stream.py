"""`GET /v1/stream`: what changes, as server-sent events, resumable by position.

An id names the log and its epoch beside the position, so that nobody who resumes after a restore takes other events
for those that came after what it knows.

A position that the actor may not see is simply absent. What moves the resume point besides the events (an id
without an event) comes by the clock and after each full window, whatever the hidden positions are.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec.structs import asdict
from pydantic import Field
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from api import params as p
from api.actor import verified_actor
from api.asking import texts
from api.body import checked_params
from api.headers import header
from api.queries import encode
from api.refusals import InvalidParameters, LogRestored
from domain import organisation
from domain.errors import Overloaded
from domain.event import Actor, Recorded
from domain.forecast_sight import forecast_sight, persons
from domain.manager_forecast import ForecastSet, ForecastWithdrawn
from domain.registry import AGGREGATE_OF
from infra.event_store import Head, LogReplaced, read_head
from infra.places import OtherHistory, Place, come_back, place_in
from infra.readers import DatabaseError, Readers
from infra.streams import load_streams
from infra.tail import WINDOW, Tail
from projections.forecast_stints import stints_of

log = logging.getLogger("dealtrace.stream")

HEARTBEAT_SECONDS = 15.0
SLOW_SECONDS = 30.0
"""For how long a client may take nothing before it is dropped; it resumes from the last id that it has."""
MOST_STREAMS = 1_000
RETRY = b"retry: 2000\n\n"
CHUNK_BYTES = 65_536

Log = tuple[UUID, int]
"""The id of a log, and its epoch."""


class Change(msgspec.Struct, frozen=True):
    """One event of the log. `data` as it is stored: texts of the vault are references, not resolved.

    The `previous` of a forecast is missing for who owned the deal or worked on it once. `stream` is the kind of what changed; `deal_id` or `account_id` says which, where it is one of many.
    """

    position: int
    event_id: UUID
    topic: str
    stream: str
    deal_id: UUID | None
    account_id: UUID | None
    version: int
    occurred_at: datetime
    recorded_at: datetime
    actor: Actor
    data: Any


class StreamParams(p.Params):
    """From where on."""

    after: Annotated[
        int | None,
        Field(
            ge=0,
            le=p.MAX_POSITION,
            description="Changes after this position. `Last-Event-ID` goes before it. Default: the end of the log.",
        ),
        p.IN_DIGITS,
    ] = None
    epoch: Annotated[
        int | None,
        Field(
            ge=1,
            le=999_999_999,
            description="The epoch of the log in which that position was read (see `GET /v1/log`). Refused with "
            "`log-restored` where a backup was restored since that does not reach so far. Default: the present one.",
        ),
    ] = None


class Streams:
    """The endpoint of the stream, and everybody who follows it."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._tail = Tail(readers, readers.url)
        self._open = 0

    def stop(self) -> None:
        """End every stream, so that the server can stop; clients resume where they were."""
        self._tail.stop()

    async def __call__(self, request: Request) -> StreamingResponse:
        """Follow the changes from a position on, without end."""
        actor = request.scope["trace"].actor = verified_actor(request.scope)
        asked = checked_params(StreamParams, texts(request))
        resumed = _last_event_id(request)
        head, after = await self._readers.run(lambda conn: _begin(conn, asked, resumed))
        if self._open >= MOST_STREAMS or self._tail.stopped:
            raise Overloaded(
                "Too many streams are open, or the server is stopping.", accepted="a moment later"
            )
        return Paced(self._chunks(actor, head.log, after), media_type="text/event-stream")

    async def _chunks(self, actor: Actor, which: Log, after: int) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            async with self._tail.following():
                yield RETRY
                async for chunk in self._followed(actor, which, after):
                    yield chunk
        except (DatabaseError, Overloaded, LogReplaced) as error:
            log.warning("a stream ends, its client will resume it: %s", error)
        finally:
            self._open -= 1

    async def _followed(self, actor: Actor, which: Log, after: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + HEARTBEAT_SECONDS
        while not self._tail.stopped:
            events = await self._tail.after(which, after, max(0.0, beat_at - loop.time()))
            for chunk in _chunked(await self._frames(actor, which, events)):
                yield chunk
            after += len(events)
            late = loop.time() >= beat_at
            if late:
                beat_at = loop.time() + HEARTBEAT_SECONDS
            if late or len(events) == WINDOW:
                yield b"id: %s\n\n" % str(place_in(which, after)).encode()

    async def _frames(self, actor: Actor, which: Log, events: list[Recorded]) -> list[bytes]:
        """Without the forecasts that the actor may not see; whose they are is asked as of now."""
        deals = {e.event.deal_id for e in events if isinstance(e.event, ForecastSet | ForecastWithdrawn)}
        if not deals:
            return [_frame(e, which) for e in events]
        if not forecast_sight(actor, organisation.EMPTY).any:
            return [_frame(e, which) for e in events if AGGREGATE_OF[type(e.event)].name != "forecast"]
        streams, stints = await self._readers.run(
            lambda conn: (
                load_streams(conn, [organisation.STREAM_ID, *deals]),
                stints_of(conn, persons(actor)),
            )
        )
        sight = forecast_sight(actor, streams[organisation.STREAM_ID].state or organisation.EMPTY, stints)
        # The projection may lie behind the log, and who has just joined a team is on it all the same.
        on_team = {deal for deal in deals if persons(actor) & streams[deal].state.team.keys()}
        frames = []
        for e in events:
            if AGGREGATE_OF[type(e.event)].name != "forecast":
                frames.append(_frame(e, which))
                continue
            deal, owner = e.event.deal_id, streams[e.event.deal_id].state.owner
            if deal not in on_team and sight.sees(
                deal, owner, e.event.seen.owner, e.meta.occurred_at, e.known_at
            ):
                frames.append(_frame(e, which, whole=deal not in sight.stints))
        return frames


class Paced(StreamingResponse):
    """Gives up a client that takes nothing for too long, instead of waiting with a full buffer for ever."""

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), SLOW_SECONDS)

        try:
            await super().stream_response(in_time)
        except TimeoutError:
            log.warning("a client of the stream took nothing for %.0f s and is dropped", SLOW_SECONDS)


def _begin(conn: Any, asked: StreamParams, resumed: Place | None) -> tuple[Head, int]:
    """Which log it is, and the position to go on from. Raises InvalidParameters, LogRestored."""
    head = read_head(conn)
    if resumed is None and asked.after is None:
        return head, head.position
    place = resumed or place_in((head.log_id, asked.epoch or head.epoch), asked.after or 0)
    field = "after" if resumed is None else "Last-Event-ID"
    try:
        head = come_back(conn, place)
    except OtherHistory as other:
        shared = place_in(other.head.log, other.shared)
        raise LogRestored(
            f"{other} What you know after position {other.shared} is not in it.",
            field=field,
            accepted=f"{shared if resumed else other.shared}, after undoing what came later",
        ) from other
    if place.position > head.position:
        raise InvalidParameters(
            f"The log ends at position {head.position}.", field=field, accepted=f"up to {head.position}"
        )
    return head, place.position


def _last_event_id(request: Request) -> Place | None:
    text = header(request.scope, b"last-event-id")
    if not text:
        return None
    if (place := Place.read(text)) is None:
        raise InvalidParameters(
            "Last-Event-ID is no id of this stream.",
            field="Last-Event-ID",
            accepted="the id of an event of the stream",
        )
    return place


def _frame(e: Recorded, which: Log, *, whole: bool = True) -> bytes:
    """The event as a frame. Not `whole`: without the forecast that it supersedes or withdraws."""
    kind, key = AGGREGATE_OF[type(e.event)].name, e.meta.partition_key
    change = Change(
        position=e.position,
        event_id=e.meta.event_id,
        topic=e.topic,
        stream=kind,
        deal_id=key if kind in ("deal", "forecast") else None,
        account_id=key if kind == "account" else None,
        version=e.version,
        occurred_at=e.meta.occurred_at,
        recorded_at=e.recorded_at,
        actor=e.meta.actor,
        data=e.event if whole else {k: v for k, v in asdict(e.event).items() if k != "previous"},
    )
    place = str(place_in(which, e.position)).encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place, e.topic.encode(), encode(change))


def _chunked(frames: list[bytes]) -> list[bytes]:
    """The frames in chunks of bounded size, so that a slow client holds little back."""
    chunks, chunk = [], bytearray()
    for frame in frames:
        chunk += frame
        if len(chunk) >= CHUNK_BYTES:
            chunks.append(bytes(chunk))
            chunk.clear()
    return [*chunks, bytes(chunk)] if chunk else chunks
