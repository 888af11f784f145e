"""Adopting a candidate of a record of recalibration over HTTP."""

import hashlib
from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from api import recalibration_params as p
from api.actor import verified_actor
from api.answers import Answers
from api.body import MAX_COMMAND, canonical, checked, checked_params, read_object
from api.commands import ROUTES
from api.headers import command_id, idempotency_key, if_match
from api.params import OneFunnel
from api.refusals import InvalidParameters
from domain.errors import Refusal
from domain.playbook import AdoptRateSet
from infra.readers import Readers
from infra.requests import Request
from workers.recalibration.adopting import adoption

COMMAND = ROUTES[AdoptRateSet.command_name()]


class Adopted(msgspec.Struct, frozen=True):
    """The candidate's rates are a rate set of the funnel; `version` is that of the playbook."""

    funnel: str
    record: UUID
    candidate: str
    version: int
    position: int
    event_ids: tuple[UUID, ...]


class AdoptCandidate:
    """The endpoint that adopts."""

    def __init__(self, answers: Answers, readers: Readers) -> None:
        self._answers, self._readers = answers, readers

    async def __call__(self, request: HttpRequest) -> Response:
        """Adopt a candidate of a record as the funnel's stage win rates, if its evidence is still that of this log.

        The log is read up to the record's position before that, which takes as long as `dealtrace verify`.
        """
        scope = request.scope
        trace = scope["trace"]
        actor = trace.actor = verified_actor(scope)
        COMMAND.require_role(actor)
        if scope["query_string"]:
            raise InvalidParameters("This takes no query parameters.", accepted="an address without ?")
        funnel = checked_params(OneFunnel, dict(request.path_params)).funnel
        body = await read_object(request, MAX_COMMAND)
        key, expected = idempotency_key(scope), if_match(scope)
        asked = checked(p.AdoptBody, canonical(body))
        command = await self._readers.run(
            lambda conn: adoption(
                conn,
                asked.record,
                asked.candidate,
                asked.reason,
                funnel=funnel,
                effective_from=asked.effective_from,
            )
        )
        try:
            result = await self._answers.to(
                Request(
                    commands=(command,),
                    actor=actor,
                    command_id=command_id(key),
                    request_id=trace.request_id,
                    correlation_id=trace.correlation_id,
                    digest=_digest(scope["path"], expected, body) if key is not None else None,
                    expected=(expected if isinstance(expected, int) else None,),
                )
            )
        except Refusal as refusal:
            refusal.index = None  # there is but one command
            raise
        trace.position = result.position
        (item,) = result.items
        assert command.evidence is not None
        named = command.evidence
        answer = Adopted(funnel, named.record, named.candidate, item.version, item.position, item.event_ids)
        headers = {"Location": scope["path"], "ETag": f'"{item.version}"'}
        if result.repeated:
            headers["Idempotency-Replayed"] = "true"
        return Response(msgspec.json.encode(answer), 201, headers, "application/json")


def _digest(path: str, expected: int | str | None, body: Any) -> bytes:
    return hashlib.sha256(canonical(["POST", path, expected, body])).digest()
