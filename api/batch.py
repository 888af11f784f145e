"""Many commands that are done together or not at all."""

import hashlib
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from api.actor import verified_actor
from api.answers import Answers
from api.body import MAX_BATCH, canonical, checked, read_object
from api.commands import ROUTES, CommandRoute, answer
from api.headers import command_id, header, idempotency_key
from api.refusals import InvalidFields, InvalidParameters, VersionMissing
from domain.command import Command
from domain.errors import Refusal, StaleVersion
from domain.event import Actor
from infra.requests import Request

MOST_COMMANDS = 1000


class Batch:
    """The endpoint of batches."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def __call__(self, request: HttpRequest) -> Response:
        """Do all the commands in their order, and answer when they are durable."""
        scope = request.scope
        trace = scope["trace"]
        actor = trace.actor = verified_actor(scope)
        if scope["query_string"]:
            raise InvalidParameters("Commands take no query parameters.", accepted="an address without ?")
        if header(scope, b"if-match") is not None:
            raise InvalidParameters(
                "A batch takes if_match in its items.", field="If-Match", accepted="no If-Match"
            )
        body = await read_object(request, MAX_BATCH)
        key = idempotency_key(scope)
        items = [_Item(index, item) for index, item in enumerate(_items(body))]
        opened: set[str] = set()
        wanted = Request(
            commands=tuple(item.checked(actor) for item in items),
            actor=actor,
            command_id=command_id(key),
            request_id=trace.request_id,
            correlation_id=trace.correlation_id,
            digest=hashlib.sha256(canonical(["POST", scope["path"], body])).digest() if key else None,
            expected=tuple(item.version(opened) for item in items),
        )
        try:
            result = await self._answers.to(wanted)
        except StaleVersion as stale:
            _say_by_items(stale)
            raise
        trace.position = result.position
        results = [{"command": item.command, **answer(item)} for item in result.items]
        headers = {"Idempotency-Replayed": "true"} if result.repeated else {}
        return Response(
            msgspec.json.encode({"position": result.position, "results": results}),
            200,
            headers,
            "application/json",
        )


def _say_by_items(stale: StaleVersion) -> None:
    """Versions stand in the items of a batch, and one that only the batch itself would have reached is no version."""
    stale.field = "if_match"
    stale.accepted = f"{stale.committed}, after reading what changed"
    if stale.current != stale.committed:
        stale.detail = (
            f"The command was based on version {stale.expected}; the current version is {stale.committed}, and "
            f"{stale.current} when the command's turn comes, after the others of the batch. Nothing was done."
        )
        stale.accepted = f'{stale.current}, or "*" behind a command of the batch that names {stale.committed}'


def _items(body: dict[str, Any]) -> list[Any]:
    items = body.get("commands")
    if body.keys() != {"commands"} or not isinstance(items, list):
        raise _not_a_batch("A batch has one field, commands.")
    if not 1 <= len(items) <= MOST_COMMANDS:
        raise _not_a_batch(f"The batch holds {len(items):,} commands.")
    return items


def _not_a_batch(why: str) -> InvalidFields:
    return InvalidFields(why, field="commands", accepted=f"a list of 1 to {MOST_COMMANDS:,} commands")


class _Item:
    """One command of a batch: its name, the version it is based on, and its fields."""

    def __init__(self, index: int, item: Any) -> None:
        self._index = index
        if not isinstance(item, dict):
            raise self._refused(
                InvalidFields("A command must be an object.", accepted='{"command": ..., ...}')
            )
        self._fields = dict(item)
        name = self._fields.pop("command", None)
        self._expected = self._fields.pop("if_match", None)
        if not isinstance(name, str) or name not in ROUTES:
            raise self._refused(
                InvalidFields("There is no such command.", field="command", accepted=", ".join(ROUTES))
            )
        self._route: CommandRoute = ROUTES[name]

    def checked(self, actor: Actor) -> Command:
        """The command. Raises NotAllowed or InvalidFields."""
        try:
            self._route.require_role(actor)
            return checked(self._route.command, canonical(self._fields))
        except Refusal as refusal:
            raise self._refused(refusal) from None

    def version(self, opened: set[str]) -> int | None:
        """The version that the stream must have when the command's turn comes, None for any.

        `opened` remembers what the batch itself opens; nobody else can have changed that. Raises VersionMissing.
        """
        route, expected = self._route, self._expected
        stream = str(self._fields.get(route.id_field)).lower() if route.id_field else ""
        if route.creates:
            opened.add(stream)
        if expected is None:
            if route.needs_version and stream not in opened:
                raise self._refused(
                    VersionMissing(
                        "Say which version the command is based on.",
                        field="if_match",
                        accepted='7, or "*" for any',
                    )
                )
            return None
        if route.creates:
            raise self._refused(
                InvalidFields(
                    "There is no version before the first.", field="if_match", accepted="no if_match"
                )
            )
        if expected == "*":
            return None
        if isinstance(expected, bool) or not isinstance(expected, int) or not 0 <= expected < 10**18:
            raise self._refused(
                InvalidFields("The version is not a number.", field="if_match", accepted='7, or "*" for any')
            )
        return expected

    def _refused(self, refusal: Refusal) -> Refusal:
        refusal.index = self._index
        return refusal
