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
from domain.command import Command
from domain.errors import NotAllowed, Refusal
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
        if actor.role not in self.command.ALLOWED:
            raise NotAllowed(
                f"The role {actor.role} may not {self.name}.",
                accepted=self.command.allowed_roles(),
            )


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


class OneCommand:
    """The endpoint of one command."""

    def __init__(self, route: CommandRoute, answers: Answers) -> None:
        self._route = route
        self._answers = answers

    async def __call__(self, request: HttpRequest) -> Response:
        """Do the command, and answer when it is durable."""
        route, scope = self._route, request.scope
        trace = scope["trace"]
        actor = trace.actor = verified_actor(scope)
        route.require_role(actor)
        if request.scope["query_string"]:
            raise InvalidParameters("Commands take no query parameters.", accepted="an address without ?")
        body = await read_object(request, MAX_COMMAND)
        key, expected = idempotency_key(scope), if_match(scope)
        digest = _digest(scope["path"], expected, body) if key is not None else None
        if route.id_in_path is not None:
            body = _with_id(body, route.id_in_path, request.path_params[route.id_in_path])
        command = checked(route.command, canonical(body))
        try:
            result = await self._answers.to(
                Request(
                    commands=(command,),
                    actor=actor,
                    command_id=command_id(key),
                    request_id=trace.request_id,
                    correlation_id=trace.correlation_id,
                    digest=digest,
                    expected=(_version(route, expected),),
                )
            )
        except Refusal as refusal:
            refusal.index = None  # there is but one command
            raise
        trace.position = result.position
        return self._response(result, scope["path"])

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


def _digest(path: str, expected: int | str | None, body: Any) -> bytes:
    """What makes a retry the same request: where to, based on what, and what."""
    return hashlib.sha256(canonical(["POST", path, expected, body])).digest()
