"""Following a recalibration as server-sent events, and reading its report."""

import asyncio
import logging
from collections.abc import AsyncIterator
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api import queries
from api import recalibration_params as p
from api.actor import verified_actor
from api.asked import Connection
from api.asking import texts
from api.body import checked_params
from api.forecasts import sees_all_of_f1
from api.headers import header
from api.recalibrations import MAY_READ, found
from api.refusals import InvalidParameters, RecalibrationState
from api.roles import require_role
from api.stream import HEARTBEAT_SECONDS, RETRY, Paced
from domain.errors import Overloaded
from domain.event import Actor
from infra.readers import DatabaseError, Readers
from workers.recalibration.record import NoSuchRecord, Record
from workers.recalibration.report import report

log = logging.getLogger("dealtrace.stream")

MOST_FOLLOWERS = 100
POLL_SECONDS = 0.25
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; sandbox"
)
"""The report is one file: nothing may be fetched, run or sent from it."""


class RecalibrationEvents:
    """The endpoint of a recalibration's progress, and everybody who follows one."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._stopped = asyncio.Event()
        self._open = 0

    def stop(self) -> None:
        """End every stream, so that the server can stop; clients resume where they were."""
        self._stopped.set()

    async def __call__(self, request: Request) -> Response:
        """How far a recalibration has come, as server-sent events, up to the one that it ends with."""
        actor = request.scope["trace"].actor = verified_actor(request.scope)
        require_role(actor, MAY_READ, "see recalibrations")
        asked = checked_params(p.OneRecalibration, texts(request))
        job = await self._readers.run(lambda conn: found(conn, asked.recalibration_id))
        seen = _last_event_id(request)
        if seen > job.change:
            raise InvalidParameters(
                f"The last event is {job.change}.", field="Last-Event-ID", accepted=f"up to {job.change}"
            )
        if job.over and seen == job.change:
            return Response(status_code=204)  # by which a browser knows that it need not come again
        if self._open >= MOST_FOLLOWERS or self._stopped.is_set():
            raise Overloaded(
                "Too many streams are open, or the server is stopping.", accepted="a moment later"
            )
        return Paced(self._chunks(job.id, seen), media_type="text/event-stream")

    async def _chunks(self, job_id: UUID, seen: int) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            yield RETRY
            async for chunk in self._followed(job_id, seen):
                yield chunk
        except (DatabaseError, Overloaded) as error:
            log.warning("a stream ends, its client will resume it: %s", error)
        finally:
            self._open -= 1

    async def _followed(self, job_id: UUID, seen: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + HEARTBEAT_SECONDS
        while not self._stopped.is_set():
            job = await self._readers.run(lambda conn: found(conn, job_id))
            if job.change > seen:
                seen, beat_at = job.change, loop.time() + HEARTBEAT_SECONDS
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (seen, job.state.encode(), queries.encode(job))
            if job.over:
                return
            if loop.time() >= beat_at:
                beat_at = loop.time() + HEARTBEAT_SECONDS
                yield b":\n\n"
            await _either(self._stopped, POLL_SECONDS)


class RecalibrationReport:
    """The endpoint of reports."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def __call__(self, request: Request) -> Response:
        """The report of a recalibration that is done: one HTML file that needs no network."""
        actor = request.scope["trace"].actor = verified_actor(request.scope)
        require_role(actor, MAY_READ, "see recalibrations")
        asked = checked_params(p.OneRecalibration, texts(request))
        page = await self._readers.run(lambda conn: _report(conn, asked.recalibration_id, actor))
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
        return Response(page, 200, headers, "text/html; charset=utf-8")


def _report(conn: Connection, recalibration_id: UUID, viewer: Actor) -> str:
    job = found(conn, recalibration_id)
    try:
        return report(Record.found(conn, job.id), managers=sees_all_of_f1(conn, viewer))
    except NoSuchRecord:
        raise RecalibrationState(f"The recalibration is {job.state}.", accepted="one that is done") from None


def _last_event_id(request: Request) -> int:
    text = header(request.scope, b"last-event-id")
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidParameters(
            "Last-Event-ID is none of this stream.",
            field="Last-Event-ID",
            accepted="the id of an event of the stream",
        )
    return int(text)


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
