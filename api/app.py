"""The HTTP application, put together from parts that the caller owns."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan

from api import asking, commands, problems, rate_sets, system
from api.actor import require_loopback
from api.answers import Answers
from api.batch import Batch
from api.evidence import Evidence
from api.load import Load
from api.metrics import Metrics
from api.openapi import document
from api.recalibration_events import RecalibrationEvents, RecalibrationReport
from api.recalibration_jobs import AskRecalibration, CancelRecalibration
from api.refusals import DatabaseAway, MethodNotAllowed, NoSuchAddress, NotReady
from api.stream import Streams
from api.trace import TraceRequests
from domain.errors import Refusal
from infra.group_commit import GroupCommit
from infra.readers import DatabaseError, MissingTable, Readers, Switched
from workers.recalibration.keeper import Keeper

_ONE = "/v1/recalibrations/{recalibration_id}"
_READ = ["GET", "HEAD"]
"""HEAD answers as GET does, and the connection leaves the body out. Not for streams, whose answer never ends."""


class RequestRoute(APIRoute):
    """A route whose endpoint takes the request as it came: ours read bodies and parameters strictly by themselves.

    FastAPI would parse cookies, query and dependencies for nothing, a fifth of the time of a command.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        return self.endpoint


def create_app(
    *,
    group_commit: GroupCommit,
    readers: Readers,
    host: str,
    keeper: Keeper | None = None,
    lifespan: Lifespan[Any] | None = None,
) -> FastAPI:
    """The application of a server that listens on `host`.

    Who calls owns the parts and closes them after the server. Without a keeper, recalibrations that are asked for wait
    for that of another server. Raises NotLoopback when the host can be reached from
    other machines, since actor headers stand in for authentication.
    """
    require_loopback(host)
    load = Load()
    app = FastAPI(
        title="dealtrace",
        openapi_url=None,  # the document is ours, from the same tables as the routes
        docs_url=None,  # they would load scripts from the internet
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[Middleware(TraceRequests, load=load)],
        exception_handlers={
            Refusal: _refused,
            HTTPException: _http_refused,
            DatabaseError: _database_away,
            MissingTable: _not_projected,
            Switched: _not_projected,
        },
    )
    app.router.route_class = RequestRoute
    evidence = Evidence(readers)
    answers = Answers(group_commit, evidence)
    streams, events = Streams(readers), RecalibrationEvents(readers)
    app.state.endless = (streams, events, evidence)  # for who stops the server
    _add_commands(app, answers)
    _add_queries(app, readers)
    app.add_api_route("/v1/stream", streams.__call__, methods=["GET"])
    _add_recalibrations(app, answers, readers, keeper, events)
    _add_system(app, readers)
    metrics = Metrics(load, group_commit, readers, readers.watcher())
    app.add_api_route("/metrics", metrics.__call__, methods=_READ)
    return app


def _add_commands(app: FastAPI, answers: Answers) -> None:
    for route in commands.ROUTES.values():
        app.add_api_route(route.path, commands.OneCommand(route, answers).__call__, methods=["POST"])
    app.add_api_route("/v1/commands", Batch(answers).__call__, methods=["POST"])


def _add_queries(app: FastAPI, readers: Readers) -> None:
    for route in asking.ROUTES:
        app.add_api_route(route.path, asking.OneQuery(route, readers).__call__, methods=_READ)


def _add_recalibrations(
    app: FastAPI,
    answers: Answers,
    readers: Readers,
    keeper: Keeper | None,
    events: RecalibrationEvents,
) -> None:
    for path, methods, endpoint in (
        ("/v1/recalibrations", ["POST"], AskRecalibration(readers, keeper)),
        (f"{_ONE}/cancel", ["POST"], CancelRecalibration(readers, keeper)),
        (f"{_ONE}/events", ["GET"], events),
        (f"{_ONE}/report", _READ, RecalibrationReport(readers)),
        ("/v1/funnels/{funnel}/rate-sets", ["POST"], rate_sets.AdoptCandidate(answers, readers)),
    ):
        app.add_api_route(path, endpoint.__call__, methods=methods)


def _add_system(app: FastAPI, readers: Readers) -> None:
    described = document()

    async def openapi(_: Request) -> Response:
        return Response(described, media_type="application/json")

    app.add_api_route("/", system.index, methods=_READ)
    app.add_api_route("/health", system.health, methods=_READ)
    app.add_api_route("/ready", system.Ready(readers).__call__, methods=_READ)
    app.add_api_route("/problems", system.all_problems, methods=_READ)
    app.add_api_route("/problems/{code}", system.one_problem, methods=_READ)
    app.add_api_route("/openapi.json", openapi, methods=_READ)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return problems.response(refusal, request.scope)


async def _http_refused(request: Request, error: Exception) -> Response:
    """What the router says: no such address, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = ", ".join(_methods_here(request))
        refusal: Refusal = MethodNotAllowed(f"{request.method} is not possible here.", accepted=allowed)
        return problems.response(refusal, request.scope, {"Allow": allowed})
    refusal = NoSuchAddress("Nothing lives at this address.", accepted="an address of /openapi.json")
    return problems.response(refusal, request.scope)


def _methods_here(request: Request) -> list[str]:
    """The methods of every route at this address; the router itself knows only the first one's."""
    path = request.scope["path"]
    routes = [
        route for route in request.app.routes if isinstance(route, Route) and route.path_regex.match(path)
    ]
    return sorted({method for route in routes for method in route.methods or ()})


async def _database_away(request: Request, _: Exception) -> Response:
    return problems.response(DatabaseAway("The database does not answer."), request.scope)


async def _not_projected(request: Request, _: Exception) -> Response:
    return problems.response(
        NotReady("The projections of this release do not answer yet: GET /ready says why."),
        request.scope,
    )
