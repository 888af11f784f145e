"""Adopting a candidate of a record of recalibration over HTTP."""

from uuid import UUID

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from api import recalibration_params as p
from api.answers import Answers
from api.body import canonical, checked, checked_params
from api.commands import ROUTES, Sent
from api.params import OneFunnel
from domain.playbook import AdoptRateSet
from infra.readers import Readers
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
        sent = await Sent.read(request, COMMAND)
        funnel = checked_params(OneFunnel, dict(request.path_params)).funnel
        asked = checked(p.AdoptBody, canonical(sent.body))
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
        result = await sent.done(command, self._answers)
        (item,) = result.items
        assert command.evidence is not None
        named = command.evidence
        answer = Adopted(funnel, named.record, named.candidate, item.version, item.position, item.event_ids)
        headers = {"Location": request.scope["path"], "ETag": f'"{item.version}"'}
        if result.repeated:
            headers["Idempotency-Replayed"] = "true"
        return Response(msgspec.json.encode(answer), 201, headers, "application/json")
