"""The OpenAPI document, from the same tables as the routes: commands, queries, problems."""

import inspect
import json
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from api import asking, commands, problems, queries, system
from api import params as p
from api import refusals as r
from api.actor import ROLES
from api.batch import MOST_COMMANDS
from api.forecast_params import ForecastAuditParams
from api.metrics import Metrics
from api.params_sales import OneAccount
from api.schemas import Json, Schemas
from api.stream import Change, StreamParams
from domain import errors as d
from domain.errors import Refusal

_COMMON = (r.InvalidParameters, r.AddressTooLong, r.InternalError, d.Overloaded, r.DatabaseAway)
_ACTOR = (r.Unauthenticated, r.HeadersNotTrusted)
_QUERY = (*_COMMON, *_ACTOR, r.InvalidCursor, r.NotYetVisible)
_BODY = (r.MalformedJson, r.BodyTooLarge, r.NotJson, r.InvalidFields, r.VersionMissing)
_DOMAIN = tuple(refusal for refusal in problems.TABLE if refusal.__module__ == d.__name__)
_COMMAND: tuple[type[Refusal], ...] = (*_COMMON, *_ACTOR, *_BODY, *_DOMAIN)

_ACTOR_HEADERS = [
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
_TRACE_HEADERS = [
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
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a retry safe: the same key with the same request gets the first answer, for 30 days.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "example": "4f7c1c1e-0a52-4d0c-9c39-2a8b4ad1f0aa",
}


def document() -> bytes:
    """The document as JSON."""
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for route in commands.ROUTES.values():
        paths.setdefault(route.path, {})["post"] = _command(route, schemas)
    paths["/v1/commands"] = {"post": _batch(schemas)}
    for query in asking.ROUTES:
        paths.setdefault(query.path, {})["get"] = _query(query, schemas)
    paths["/v1/stream"] = {"get": _stream(schemas)}
    paths |= _system(schemas)
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "dealtrace",
                "version": version("dealtrace"),
                "summary": "The system of record for how B2B deals change",
                "description": "Commands change deals and the playbook, one event at a time; queries answer about "
                "any moment. Answers that are not a success are problems (RFC 9457), explained at `/problems`.",
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": schemas.components()},
        },
        ensure_ascii=False,
    ).encode()


def _command(route: commands.CommandRoute, schemas: Schemas) -> Json:
    body = schemas.of_body(route)
    headers = {
        "ETag": _header("The stream's version after the command."),
        "Idempotency-Replayed": _header("`true` when this is the first answer once more."),
    }
    if route.creates:
        headers["Location"] = _header("Where the opened one lives.")
    answer = _object(
        {
            **{name: {"type": "string", "format": "uuid"} for name in route.answered_ids},
            "version": {"type": "integer", "minimum": 0},
            "position": {"type": "integer", "minimum": 0},
            "event_ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
        }
    )
    return {
        "operationId": route.name,
        "tags": [route.aggregate],
        **_texts(route.command, f"For: {', '.join(sorted(route.command.ALLOWED))}."),
        "parameters": [*_path_id(route), *_ACTOR_HEADERS, *_if_match(route), _KEY_HEADER, *_TRACE_HEADERS],
        "requestBody": _json_body(body, schemas.example(body)),
        "responses": {
            "201" if route.creates else "200": _answer("Done, and durable.", answer, headers),
            **_refusals(_COMMAND),
        },
    }


def _batch(schemas: Schemas) -> Json:
    refs = {route.name: schemas.of_item(route) for route in commands.ROUTES.values()}
    body = _object(
        {
            "commands": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_COMMANDS,
                "items": {"oneOf": list(refs.values())},
            }
        }
    )
    result = _object(
        {
            "command": {"type": "string", "enum": list(refs)},
            "version": {"type": "integer"},
            "position": {"type": "integer"},
            "event_ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
        }
    )
    return {
        "operationId": "batch",
        "tags": ["batch"],
        "summary": f"Do up to {MOST_COMMANDS:,} commands, in their order, together or not at all.",
        "description": "A problem names in `index` the command that stood in the way; nothing was done then. "
        "`if_match` may be left out for what the batch itself opens under an id that it names.",
        "parameters": [*_ACTOR_HEADERS, _KEY_HEADER, *_TRACE_HEADERS],
        "requestBody": _json_body(body, {"commands": [schemas.example(next(iter(refs.values())))]}),
        "responses": {
            "200": _answer(
                "All done, and durable.",
                _object({"position": {"type": "integer"}, "results": {"type": "array", "items": result}}),
                {"Idempotency-Replayed": _header("`true` when this is the first answer once more.")},
            ),
            **_refusals(_COMMAND),
        },
    }


def _query(route: asking.QueryRoute, schemas: Schemas) -> Json:
    schema = route.params.model_json_schema(ref_template="#/components/schemas/{model}")
    parameters = []
    for name, field in schema.get("properties", {}).items():
        in_path = f"{{{name}}}" in route.path
        meaning = field.pop("description", "")
        field.pop("title", None)
        parameters.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": in_path,
                "description": meaning,
                "schema": _without_null(field),
            }
        )
    unknown = [
        refusal
        for params, refusal in (
            (p.OneFunnel, d.UnknownFunnel),
            (p.RollupParams, d.UnknownFunnel),
            (ForecastAuditParams, d.UnknownFunnel),
            (p.OneDeal, d.UnknownDeal),
            (OneAccount, d.UnknownAccount),
        )
        if issubclass(route.params, params)
    ]
    return {
        "operationId": route.name,
        "tags": ["queries"],
        **_texts(route.query),
        "parameters": [*parameters, *_ACTOR_HEADERS, *_TRACE_HEADERS],
        "responses": {
            "200": _answer("The answer.", schemas.of_struct(route.answer)),
            **_refusals((*_QUERY, *unknown)),
        },
    }


def _stream(schemas: Schemas) -> Json:
    after = StreamParams.model_json_schema()["properties"]["after"]
    change = schemas.of_struct(Change)
    return {
        "operationId": "stream",
        "tags": ["queries"],
        "summary": "Changes as server-sent events, from a position on, without end.",
        "description": "Each event has the position as `id`, the topic as `event` and a Change as `data`. After a cut "
        "send the last id in `Last-Event-ID` and nothing is missed or doubled. Positions that the actor may not see "
        "are absent. An id without an event moves the resume point, by the clock and after each full window.",
        "parameters": [
            {
                "name": "after",
                "in": "query",
                "required": False,
                "description": after.pop("description"),
                "schema": _without_null(after),
            },
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The last id that was received.",
                "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
            },
            *_ACTOR_HEADERS,
            *_TRACE_HEADERS,
        ],
        "responses": {
            "200": {
                "description": "The stream.",
                "headers": {"X-Request-ID": _header("The request's id.")},
                "content": {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": change}},
            },
            **_refusals((*_COMMON, *_ACTOR)),
        },
    }


def _system(schemas: Schemas) -> Json:
    code = {
        "name": "code",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": list(problems.by_code())},
    }
    text = {"200": {"description": "Markdown.", "content": {"text/markdown": {"schema": {"type": "string"}}}}}
    alive = {"200": _answer("Alive.", schemas.of_struct(system.Alive))}
    ready = {
        "200": _answer("Ready.", schemas.of_struct(queries.Readiness)),
        **_refusals((*_COMMON, r.NotReady)),
    }
    metrics = {
        "200": {
            "description": "Metrics.",
            "content": {CONTENT_TYPE_PLAIN_0_0_4: {"schema": {"type": "string"}}},
        }
    }
    here = {"200": _answer("Addresses.", schemas.of_struct(system.Index))}
    this = {"200": _answer("OpenAPI 3.1.", {"type": "object"})}
    return {
        path: {
            "get": {
                "operationId": name,
                "tags": ["system"],
                **_texts(meaning),
                "parameters": takes,
                "responses": answer,
            }
        }
        for path, name, meaning, takes, answer in (
            ("/", "index", system.index, [], here),
            ("/health", "health", system.health, [], alive),
            ("/ready", "ready", system.Ready, [], ready),
            ("/metrics", "metrics", Metrics.__call__, [], metrics),
            ("/problems", "problems", system.all_problems, [], text),
            ("/problems/{code}", "problem", system.one_problem, [code], text | _refusals((r.NoSuchAddress,))),
            ("/openapi.json", "openapi", document, [], this),
        )
    }


def _texts(described: Any, more: str = "") -> Json:
    lines = inspect.cleandoc(described.__doc__ or "").splitlines()
    return {"summary": lines[0], "description": "\n".join([*lines, "", more]).strip()}


def _path_id(route: commands.CommandRoute) -> list[Json]:
    if route.id_in_path is None:
        return []
    schema = {"type": "string", "format": "uuid"}
    return [{"name": route.id_in_path, "in": "path", "required": True, "schema": schema}]


def _if_match(route: commands.CommandRoute) -> list[Json]:
    if route.creates:
        return []
    return [
        {
            "name": "If-Match",
            "in": "header",
            "required": route.needs_version,
            "description": f"The version of the {route.aggregate} that the command is based on, as its ETag; * for any."
            + _apart(route),
            "schema": {"type": "string", "pattern": r'^("[0-9]{1,18}"|\*)$'},
            "example": '"7"',
        }
    ]


def _apart(route: commands.CommandRoute) -> str:
    """What to say of a stream that the address names by another one's id."""
    if route.id_field in (None, f"{route.aggregate}_id"):
        return ""
    other = str(route.id_field).removesuffix("_id")
    return f' It is a version of its own, "0" before the first event: the {other}\'s never moves with it.'


def _json_body(schema: Json, example: Any) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _answer(meaning: str, schema: Json, headers: Json | None = None) -> Json:
    everywhere = {"X-Request-ID": _header("The request's id."), **(headers or {})}
    return {
        "description": meaning,
        "headers": everywhere,
        "content": {"application/json": {"schema": schema}},
    }


def _header(meaning: str) -> Json:
    return {"description": meaning, "schema": {"type": "string"}}


def _object(properties: dict[str, Json]) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _without_null(schema: Json) -> Json:
    """A parameter is there or not; it is never null."""
    arms = [arm for arm in schema.get("anyOf", []) if arm != {"type": "null"}]
    return arms[0] if len(arms) == 1 else {k: v for k, v in schema.items() if k != "default" or v is not None}


def _refusals(refusals: Iterable[type[Refusal]]) -> dict[str, Json]:
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
