"""What the operations of the OpenAPI document are made of."""

import inspect
from collections.abc import Iterable
from typing import Any

from api import problems
from api import refusals as r
from api.actor import ROLES
from api.schemas import Json
from domain import errors as d
from domain.errors import Refusal

COMMON = (r.InvalidParameters, r.AddressTooLong, r.InternalError, d.Overloaded, r.DatabaseAway)
ACTOR = (r.Unauthenticated, r.HeadersNotTrusted)
QUERY = (*COMMON, *ACTOR, r.InvalidCursor, r.NotYetVisible)
BODY = (r.MalformedJson, r.BodyTooLarge, r.NotJson, r.InvalidFields, r.VersionMissing)
DOMAIN = tuple(refusal for refusal in problems.TABLE if refusal.__module__ == d.__name__)
COMMAND: tuple[type[Refusal], ...] = (*COMMON, *ACTOR, *BODY, *DOMAIN)

ACTOR_HEADERS = [
    {
        "name": "X-Actor-Id",
        "in": "header",
        "required": True,
        "description": "Who sends it. Believed from this machine only.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
        "example": "rep-7",
    },
    {
        "name": "X-Actor-Role",
        "in": "header",
        "required": True,
        "description": "In which role.",
        "schema": {"type": "string", "enum": list(ROLES)},
        "example": "rep",
    },
]
TRACE_HEADERS = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": meaning,
        "schema": {"type": "string"},
    }
    for name, meaning in (
        (
            "X-Request-ID",
            "Names the request in logs and events: up to 128 letters, digits and ._:/+=@- (otherwise a fresh id does).",
        ),
        ("X-Correlation-ID", "Names what several requests belong to; the request id otherwise."),
    )
]
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a retry safe: the same key with the same request gets the first answer, for 30 days.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "example": "4f7c1c1e-0a52-4d0c-9c39-2a8b4ad1f0aa",
}


def texts(described: Any, more: str = "") -> Json:
    """Summary and description: the docstring, without what it raises here, which the problems tell over HTTP."""
    words = inspect.cleandoc(described.__doc__ or "")
    lines = [line for line in words.splitlines() if not line.startswith("Raises ")]
    return {"summary": lines[0], "description": "\n".join([*lines, "", more]).strip()}


def json_body(schema: Json, example: Any) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def answer(meaning: str, schema: Json, headers: Json | None = None) -> Json:
    everywhere = {"X-Request-ID": header("The request's id."), **(headers or {})}
    return {
        "description": meaning,
        "headers": everywhere,
        "content": {"application/json": {"schema": schema}},
    }


def header(meaning: str) -> Json:
    return {"description": meaning, "schema": {"type": "string"}}


def object_of(properties: dict[str, Json]) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def without_null(schema: Json) -> Json:
    """A parameter is there or not; it is never null."""
    arms = [arm for arm in schema.get("anyOf", []) if arm != {"type": "null"}]
    return arms[0] if len(arms) == 1 else {k: v for k, v in schema.items() if k != "default" or v is not None}


def refusals(refusals: Iterable[type[Refusal]]) -> dict[str, Json]:
    """The problems that an address may answer with, by status."""
    by_status: dict[int, list[type[Refusal]]] = {}
    for refusal in sorted(set(refusals), key=lambda each: (problems.TABLE[each].status, each.code)):
        by_status.setdefault(problems.TABLE[refusal].status, []).append(refusal)
    return {
        str(status): {
            "description": "; ".join(f"`{each.code}`: {problems.title(each)}" for each in found),
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, found in by_status.items()
    }
