"""Every command of the registry as a route of its own. Nothing here knows any one command."""

import hashlib
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from api.actor import verified_actor
from api.answers import Answers
from api.body import MAX_COMMAND, canonical, checked, read_object
from api.headers import command_id, idempotency_key, if_match
from api.refusals import InvalidFields, InvalidParameters, VersionMissing
from api.roles import require_role
from domain.command import Command
from domain.errors import Refusal
from domain.event import Actor
from domain.registry import AGGREGATE_OF, COMMANDS
from infra.requests import ItemResult, Request, Result


class CommandRoute(NamedTuple):
    """Where a command lives. `id_field` is the field that the address holds, or the opened stream's; None: no id."""

    name: str
    command: type[Command]
    aggregate: str
    path: str
    id_field: str | None

    @property
    def creates(self) -> bool:
        """Whether the command opens a stream: its answer is 201 and no version is asked for."""
        return self.command.CREATES

    @property
    def id_in_path(self) -> str | None:
        """The field that the address holds."""
        return None if self.creates else self.id_field

    @property
    def answered_ids(self) -> tuple[str, ...]:
        """The names of the ids in the answer."""
        return self.command.id_fields() or ("stream_id",)

    @property
    def needs_version(self) -> bool:
        """Whether `If-Match` must be sent: somebody else may have changed the stream, or the value that is replaced."""
        return self.id_in_path is not None or self.command.REPLACES

    def require_role(self, actor: Actor) -> None:
        """Raises NotAllowed."""
        require_role(actor, self.command.ALLOWED, self.name)


def command_route(name: str, command: type[Command]) -> CommandRoute:
    """`/v1/deals` opens a deal, `/v1/deals/{deal_id}/win-deal` changes one, `/v1/playbook/set-currency` has no id."""
    aggregate, id_field = AGGREGATE_OF[command].name, command.id_field()
    if id_field is None:
        path = f"/v1/{aggregate}/{name}"
    else:
        collection = f"/v1/{id_field.removesuffix('_id')}s"
        path = collection if command.CREATES else f"{collection}/{{{id_field}}}/{name}"
    return CommandRoute(name, command, aggregate, path, id_field)


ROUTES = {name: command_route(name, command) for name, command in COMMANDS.items()}
"""The route of each command by its name."""


class Sent(NamedTuple):
    """A request for one command: its body, the key to remember it by, and the version that it is based on."""

    scope: Any
    route: CommandRoute
    body: dict[str, Any]
    key: str | None
    based_on: int | str | None

    @classmethod
    async def read(cls, request: HttpRequest, route: CommandRoute) -> "Sent":
        """What was sent. Raises a Refusal where that can not be for this command, whatever its fields say."""
        scope = request.scope
        actor = scope["trace"].actor = verified_actor(scope)
        route.require_role(actor)
        if scope["query_string"]:
            raise InvalidParameters("Commands take no query parameters.", accepted="an address without ?")
        body = await read_object(request, MAX_COMMAND)
        return cls(scope, route, body, idempotency_key(scope), if_match(scope))

    async def done(self, command: Command, answers: Answers) -> Result:
        """The result of the command, once it is durable. Raises a Refusal."""
        trace = self.scope["trace"]
        try:
            result = await answers.to(
                Request(
                    commands=(command,),
                    actor=trace.actor,
                    command_id=command_id(self.key),
                    request_id=trace.request_id,
                    correlation_id=trace.correlation_id,
                    digest=None if self.key is None else self._digest(),
                    expected=(_version(self.route, self.based_on),),
                )
            )
        except Refusal as refusal:
            refusal.index = None  # there is but one command
            raise
        trace.position = result.position
        return result

    def _digest(self) -> bytes:
        """What makes a retry the same request: where to, based on what, and what."""
        return hashlib.sha256(canonical(["POST", self.scope["path"], self.based_on, self.body])).digest()


class OneCommand:
    """The endpoint of one command."""

    def __init__(self, route: CommandRoute, answers: Answers) -> None:
        self._route = route
        self._answers = answers

    async def __call__(self, request: HttpRequest) -> Response:
        """Do the command, and answer when it is durable."""
        route = self._route
        sent = await Sent.read(request, route)
        body = sent.body
        if route.id_in_path is not None:
            body = _with_id(body, route.id_in_path, request.path_params[route.id_in_path])
        result = await sent.done(checked(route.command, canonical(body)), self._answers)
        return self._response(result, request.scope["path"])

    def _response(self, result: Result, path: str) -> Response:
        item = result.items[0]
        headers = {"ETag": f'"{item.version}"'}
        if self._route.creates:
            headers["Location"] = f"{path}/{item.stream_id}"
        if result.repeated:
            headers["Idempotency-Replayed"] = "true"
        body = msgspec.json.encode(answer(item))
        return Response(body, 201 if self._route.creates else 200, headers, "application/json")


def answer(item: ItemResult) -> dict[str, Any]:
    """What is said of one command that was done: what it was about by the names of its ids, and the version of the
    stream that it changed. A forecast's is its own, so that the deal's never moves with it.
    """
    return {
        **(item.ids or {"stream_id": item.stream_id}),
        "version": item.version,
        "position": item.position,
        "event_ids": item.event_ids,
    }


def _with_id(body: dict[str, Any], field: str, text: str) -> dict[str, Any]:
    if field in body:
        raise InvalidFields(
            f"{field} stands in the address.", field=field, accepted="no such field in the body"
        )
    try:
        return {field: str(UUID(text)), **body}
    except ValueError:
        raise InvalidParameters(
            f"The {field} in the address is not an id.", field=field, accepted="a UUID"
        ) from None


def _version(route: CommandRoute, expected: int | str | None) -> int | None:
    """The version that the stream must have, None for any. Raises VersionMissing."""
    if expected is None and route.needs_version:
        raise VersionMissing(
            "Say which version the command is based on.",
            field="If-Match",
            accepted='a version such as "7", or *',
        )
    if expected is not None and route.creates:
        raise InvalidParameters(
            "There is no version before the first.", field="If-Match", accepted="no If-Match"
        )
    return expected if isinstance(expected, int) else None
