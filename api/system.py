"""Addresses about the server itself, open to everybody on this machine: health, readiness, explanations."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api import problems, queries_system
from api.refusals import NoSuchAddress, NotReady
from infra.readers import Readers

MARKDOWN = "text/markdown; charset=utf-8"


class Alive(msgspec.Struct, frozen=True):
    """The process serves requests."""

    status: str = "alive"


class Index(msgspec.Struct, frozen=True):
    """Where to go from here."""

    name: str = "dealtrace"
    openapi: str = "/openapi.json"
    problems: str = "/problems"
    health: str = "/health"
    ready: str = "/ready"


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


async def index(_: Request) -> Response:
    """Where to go from here."""
    return _json(Index())


async def health(_: Request) -> Response:
    """Whether the process is alive; it asks nobody else."""
    return _json(Alive())


class Ready:
    """Whether everything can be served: the database, its migrations, and projections that keep up."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def __call__(self, _: Request) -> Response:
        """200 with the readiness, or the problem not-ready that says what is missing."""
        readiness = await self._readers.run(queries_system.readiness)
        if readiness.missing:
            raise NotReady(" ".join(readiness.missing))
        return _json(readiness)


async def all_problems(_: Request) -> Response:
    """Every kind of problem, explained."""
    return PlainTextResponse(problems.reference(), media_type=MARKDOWN)


async def one_problem(request: Request) -> Response:
    """One kind of problem, explained."""
    refusal = problems.by_code().get(request.path_params["code"])
    if refusal is None:
        raise NoSuchAddress("There is no such problem.", accepted=", ".join(problems.by_code()))
    return PlainTextResponse(problems.page(refusal), media_type=MARKDOWN)
