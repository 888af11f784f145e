"""Asking for recalibrations and cancelling them, the same for HTTP and the command line."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api import queries
from api import recalibration_params as p
from api.actor import verified_actor
from api.asked import Connection, now
from api.asking import texts
from api.body import MAX_COMMAND, canonical, checked, checked_params, read_object
from api.headers import idempotency_key
from api.recalibrations import MAY_ASK, found
from api.refusals import InvalidFields, InvalidParameters, QueueFull, RecalibrationState
from api.roles import require_role
from api.spelling import plain
from domain.errors import CommandIdReused
from domain.event import Actor
from infra import recalibration_jobs as jobs
from infra.readers import Readers
from infra.recalibration_jobs import Job
from infra.sessions import Session
from projections.playbook import stages_at
from workers.recalibration.keeper import Keeper
from workers.recalibration.reading import start_of_day

T = TypeVar("T")


def wanted(conn: Connection, params: p.RecalibrateParams, actor: Actor) -> jobs.Wanted:
    """What is asked for, with the moment it means. Raises UnknownFunnel, InvalidFields."""
    stages_at(conn, params.funnel)
    latest = now(conn)
    until = latest if params.until is None else instant(conn, params.until)
    if until > latest:
        raise InvalidFields("until: lies in the future.", field="until", accepted=f"up to {plain(latest)}")
    return jobs.Wanted(
        params.funnel,
        until,
        params.period,
        params.seed,
        params.replicates,
        actor.id,
        actor.role,
        params.knowledge,
    )


def instant(conn: Connection, given: p.Instant) -> datetime:
    """The moment, or the first instant of the day in the playbook's time zone."""
    return given if isinstance(given, datetime) else start_of_day(conn, given)


def ask(url: str, asked: jobs.Wanted, remember: jobs.Key | None = None) -> jobs.Queued:
    """Put it into the queue. Raises QueueFull, CommandIdReused."""
    try:
        return _written(url, lambda session: jobs.ask(session, asked, remember))
    except jobs.QueueIsFull:
        raise QueueFull(
            f"{jobs.MOST_OPEN} recalibrations wait or run already.", accepted="the same request later"
        ) from None
    except jobs.KeyReused:
        raise CommandIdReused(
            "This command id came before with another request.",
            field="Idempotency-Key",
            accepted="a new key for a new request",
        ) from None


def cancel(url: str, recalibration_id: UUID) -> Job:
    """Cancel it; it may be so already. Raises UnknownRecalibration, RecalibrationState."""

    def cancelled(session: Session) -> Job:
        jobs.cancel(session, recalibration_id)
        return found(session, recalibration_id)

    job = _written(url, cancelled)
    if job.state != "cancelled":
        raise RecalibrationState(
            f"The recalibration is {job.state} already.", accepted="one that waits or runs"
        )
    return job


def _written(url: str, write: Callable[[Session], T]) -> T:
    """What happens a few times a day gets a session for itself."""
    with closing(Session.open(url, "dealtrace recalibrations", statement_timeout="10s")) as session:
        return write(session)


class AskRecalibration:
    """The endpoint that takes requests for recalibrations."""

    def __init__(self, readers: Readers, keeper: Keeper | None) -> None:
        self._readers, self._keeper = readers, keeper

    async def __call__(self, request: Request) -> Response:
        """Ask for a recalibration: it waits for its turn and runs apart from the server, which keeps its record."""
        actor = request.scope["trace"].actor = verified_actor(request.scope)
        require_role(actor, MAY_ASK, "ask for recalibrations")
        if request.scope["query_string"]:
            raise InvalidParameters("This takes no query parameters.", accepted="an address without ?")
        body = await read_object(request, MAX_COMMAND)
        key = idempotency_key(request.scope)
        params = checked(p.RecalibrateParams, canonical(body))
        asked = await self._readers.run(lambda conn: wanted(conn, params, actor))
        digest = hashlib.sha256(canonical(["POST", request.scope["path"], body])).digest()
        remember = jobs.Key(key, digest) if key is not None else None
        queued = await asyncio.to_thread(ask, self._readers.url, asked, remember)
        if self._keeper is not None:
            self._keeper.wake()
        headers = {"Location": f"/v1/recalibrations/{queued.job.id}"}
        if queued.repeated:
            headers["Idempotency-Replayed"] = "true"
        return Response(queries.encode(queued.job), 202, headers, "application/json")


class CancelRecalibration:
    """The endpoint that cancels."""

    def __init__(self, readers: Readers, keeper: Keeper | None) -> None:
        self._readers, self._keeper = readers, keeper

    async def __call__(self, request: Request) -> Response:
        """Cancel a recalibration that waits or runs; its process is ended at once, and no record is kept."""
        actor = request.scope["trace"].actor = verified_actor(request.scope)
        require_role(actor, MAY_ASK, "cancel recalibrations")
        asked = checked_params(p.OneRecalibration, texts(request))
        job = await asyncio.to_thread(cancel, self._readers.url, asked.recalibration_id)
        if self._keeper is not None:
            self._keeper.wake()
        return Response(queries.encode(job), media_type="application/json")
