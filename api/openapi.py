"""The OpenAPI document, from the same tables as the routes: commands, queries, problems."""

import json
from importlib.metadata import version

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from api import asking, commands, problems, queries_system, recalibrations, system
from api import openapi_parts as o
from api import refusals as r
from api.batch import MOST_COMMANDS
from api.metrics import Metrics
from api.openapi_recalibrations import recalibration_operations
from api.schemas import Json, Schemas
from api.stream import Change, StreamParams
from api.what_if import what_if
from domain import errors as d
from infra.places import PATTERN

_UNKNOWN: dict[str, tuple[type[d.Refusal], ...]] = {
    "funnel": (d.UnknownFunnel,),
    "stage": (d.UnknownStage,),
    "team": (d.UnknownTeam,),
    "rate_set": (d.UnknownRateSet,),
    "deal_id": (d.UnknownDeal,),
    "account_id": (d.UnknownAccount,),
    "recalibration_id": (d.UnknownRecalibration,),
    "rates": (d.UnknownRateSet, d.UnknownRecalibration, d.UnknownCandidate),
    "stall_after_days": (d.UnknownStage,),
    "lose_after_days": (d.UnknownStage,),
}
"""How a question is refused where what its parameter names is not there."""

_NOT_FOR_ALL = (
    queries_system.projections,
    recalibrations.recalibrations,
    recalibrations.recalibration,
    what_if,
)
"""Queries that some roles may not ask."""


def document() -> bytes:
    """The document as JSON."""
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for route in commands.ROUTES.values():
        paths.setdefault(route.path, {})["post"] = _command(route, schemas)
    paths["/v1/commands"] = {"post": _batch(schemas)}
    for query in asking.ROUTES:
        paths.setdefault(query.path, {})["get"] = _query(query, schemas)
    for path, operations in recalibration_operations(schemas).items():
        paths.setdefault(path, {}).update(operations)
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
                "any moment. Answers that are not a success are problems (RFC 9457), explained at `/problems`. HEAD "
                "answers wherever GET does, streams excepted, with the same status and headers and no body.",
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
        "ETag": o.header("The stream's version after the command."),
        "Idempotency-Replayed": o.header("`true` when this is the first answer once more."),
    }
    if route.creates:
        headers["Location"] = o.header("Where the opened one lives.")
    answer = o.object_of(
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
        **o.texts(route.command, f"For: {route.command.allowed_roles()}."),
        "parameters": [*_path_id(route), *o.ACTOR_HEADERS, *_if_match(route), o.KEY_HEADER, *o.TRACE_HEADERS],
        "requestBody": o.json_body(body, schemas.example(body)),
        "responses": {
            "201" if route.creates else "200": o.answer("Done, and durable.", answer, headers),
            **o.refusals(o.COMMAND),
        },
    }


def _batch(schemas: Schemas) -> Json:
    refs = {route.name: schemas.of_item(route) for route in commands.ROUTES.values()}
    body = o.object_of(
        {
            "commands": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_COMMANDS,
                "items": {"oneOf": list(refs.values())},
            }
        }
    )
    result = o.object_of(
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
        "parameters": [*o.ACTOR_HEADERS, o.KEY_HEADER, *o.TRACE_HEADERS],
        "requestBody": o.json_body(body, {"commands": [schemas.example(next(iter(refs.values())))]}),
        "responses": {
            "200": o.answer(
                "All done, and durable.",
                o.object_of({"position": {"type": "integer"}, "results": {"type": "array", "items": result}}),
                {"Idempotency-Replayed": o.header("`true` when this is the first answer once more.")},
            ),
            **o.refusals(o.COMMAND),
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
                "schema": o.without_null(field),
            }
        )
    unknown = [refusal for name in route.params.model_fields for refusal in _UNKNOWN.get(name, ())]
    return {
        "operationId": route.name,
        "tags": ["queries"],
        **o.texts(route.query),
        "parameters": [*parameters, *o.ACTOR_HEADERS, *o.TRACE_HEADERS],
        "responses": {
            "200": o.answer("The answer.", schemas.of_struct(route.answer)),
            **o.refusals((*o.QUERY, *unknown, *([d.NotAllowed] if route.query in _NOT_FOR_ALL else []))),
        },
    }


def _stream(schemas: Schemas) -> Json:
    asked = StreamParams.model_json_schema()["properties"]
    change = schemas.of_struct(Change)
    return {
        "operationId": "stream",
        "tags": ["queries"],
        "summary": "Changes as server-sent events, from a position on, without end.",
        "description": "Each event has its place in the log as `id`, the topic as `event` and a Change as `data`. After "
        "a cut send the last id in `Last-Event-ID` and nothing is missed or doubled; where a backup was restored since "
        "that does not reach so far it is refused with `log-restored`. Positions that the actor may not see "
        "are absent. An id without an event moves the resume point, by the clock and after each full window.",
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "query",
                    "required": False,
                    "description": schema.pop("description"),
                    "schema": o.without_null(schema),
                }
                for name, schema in asked.items()
            ),
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The last id that was received.",
                "schema": {"type": "string", "pattern": PATTERN},
            },
            *o.ACTOR_HEADERS,
            *o.TRACE_HEADERS,
        ],
        "responses": {
            "200": {
                "description": "The stream.",
                "headers": {"X-Request-ID": o.header("The request's id.")},
                "content": {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": change}},
            },
            **o.refusals((*o.COMMON, *o.ACTOR, r.LogRestored)),
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
    alive = {"200": o.answer("Alive.", schemas.of_struct(system.Alive))}
    ready = {
        "200": o.answer("Ready.", schemas.of_struct(queries_system.Readiness)),
        **o.refusals((*o.COMMON, r.NotReady)),
    }
    metrics = {
        "200": {
            "description": "Metrics.",
            "content": {CONTENT_TYPE_PLAIN_0_0_4: {"schema": {"type": "string"}}},
        },
        **o.refusals((*o.COMMON, *o.ACTOR, d.NotAllowed)),
    }
    here = {"200": o.answer("Addresses.", schemas.of_struct(system.Index))}
    this = {"200": o.answer("OpenAPI 3.1.", {"type": "object"})}
    return {
        path: {
            "get": {
                "operationId": name,
                "tags": ["system"],
                **o.texts(meaning),
                "parameters": takes,
                "responses": answer,
            }
        }
        for path, name, meaning, takes, answer in (
            ("/", "index", system.index, [], here),
            ("/health", "health", system.health, [], alive),
            ("/ready", "ready", system.Ready, [], ready),
            ("/metrics", "metrics", Metrics.__call__, [*o.ACTOR_HEADERS, *o.TRACE_HEADERS], metrics),
            ("/problems", "problems", system.all_problems, [], text),
            (
                "/problems/{code}",
                "problem",
                system.one_problem,
                [code],
                text | o.refusals((r.NoSuchAddress,)),
            ),
            ("/openapi.json", "openapi", document, [], this),
        )
    }


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
