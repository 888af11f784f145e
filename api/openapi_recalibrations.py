"""The OpenAPI operations about recalibrations that are more than a query, and about adopting what they found."""

from typing import Any, get_args

from api import openapi_parts as o
from api import refusals as r
from api.rate_sets import COMMAND as ADOPT
from api.rate_sets import AdoptCandidate, Adopted
from api.recalibration_events import RecalibrationEvents, RecalibrationReport
from api.recalibration_jobs import AskRecalibration, CancelRecalibration
from api.recalibration_params import AdoptBody, OneRecalibration, RecalibrateParams
from api.recalibrations import MAY_ASK, MAY_READ
from api.schemas import Json, Schemas
from domain import errors as d
from infra.recalibration_jobs import Job, State

_TAG = ["recalibrations"]
_ONE = "/v1/recalibrations/{recalibration_id}"
_HEADERS = (*o.COMMON, *o.ACTOR, d.NotAllowed)
_KNOWN = (*_HEADERS, d.UnknownRecalibration)
_BODY = (r.MalformedJson, r.BodyTooLarge, r.NotJson, r.InvalidFields, d.CommandIdReused)
_REPEATED = {"Idempotency-Replayed": o.header("`true` when this is the first answer once more.")}


def recalibration_operations(schemas: Schemas) -> dict[str, Json]:
    """The operations by path and method."""
    job = schemas.of_struct(Job)
    return {
        "/v1/recalibrations": {"post": _ask(schemas, job)},
        f"{_ONE}/cancel": {"post": _cancel(job)},
        f"{_ONE}/events": {"get": _events(job)},
        f"{_ONE}/report": {"get": _report()},
        "/v1/funnels/{funnel}/rate-sets": {"post": _adopt(schemas)},
    }


def _ask(schemas: Schemas, job: Json) -> Json:
    return {
        "operationId": "ask-recalibration",
        "tags": _TAG,
        **o.texts(AskRecalibration.__call__, f"For: {', '.join(sorted(MAY_ASK))}."),
        "parameters": [*o.ACTOR_HEADERS, o.KEY_HEADER, *o.TRACE_HEADERS],
        "requestBody": o.json_body(
            schemas.of_model(RecalibrateParams), {"funnel": "tas_plus", "until": "2026-01-31"}
        ),
        "responses": {
            "202": o.answer(
                "It waits for its turn.",
                job,
                {"Location": o.header("Where it can be followed."), **_REPEATED},
            ),
            **o.refusals((*_HEADERS, *_BODY, d.UnknownFunnel, r.QueueFull, r.NotReady)),
        },
    }


def _cancel(job: Json) -> Json:
    return {
        "operationId": "cancel-recalibration",
        "tags": _TAG,
        **o.texts(CancelRecalibration.__call__, f"For: {', '.join(sorted(MAY_ASK))}."),
        "parameters": [_id(), *o.ACTOR_HEADERS, *o.TRACE_HEADERS],
        "responses": {
            "200": o.answer("It is cancelled.", job),
            **o.refusals((*_KNOWN, r.RecalibrationState)),
        },
    }


def _events(job: Json) -> Json:
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "The last id that was received.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    }
    event = o.object_of(
        {
            "id": {"type": "string"},
            "event": {"type": "string", "enum": list(get_args(State))},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": job},
        }
    )
    return {
        "operationId": "recalibration-events",
        "tags": _TAG,
        **o.texts(
            RecalibrationEvents.__call__,
            "Each event has the job's `change` as `id`, its `state` as `event` and a Job as `data`; what changes faster "
            "than four times a second is told at once. After a cut send the last id in `Last-Event-ID`, to any server. "
            f"The stream ends with done, failed or cancelled. For: {', '.join(sorted(MAY_READ))}.",
        ),
        "parameters": [_id(), last, *o.ACTOR_HEADERS, *o.TRACE_HEADERS],
        "responses": {
            "200": {
                "description": "The stream.",
                "headers": {"X-Request-ID": o.header("The request's id.")},
                "content": {"text/event-stream": {"itemSchema": event}},
            },
            "204": {
                "description": "The last event was received already.",
                "headers": {"X-Request-ID": o.header("The request's id.")},
            },
            **o.refusals(_KNOWN),
        },
    }


def _report() -> Json:
    return {
        "operationId": "recalibration-report",
        "tags": _TAG,
        **o.texts(RecalibrationReport.__call__, f"For: {', '.join(sorted(MAY_READ))}."),
        "parameters": [_id(), *o.ACTOR_HEADERS, *o.TRACE_HEADERS],
        "responses": {
            "200": {
                "description": "The report.",
                "headers": {
                    "X-Request-ID": o.header("The request's id."),
                    "Content-Security-Policy": o.header("Nothing may be fetched, run or sent from it."),
                },
                "content": {"text/html": {"schema": {"type": "string"}}},
            },
            **o.refusals((*_KNOWN, r.RecalibrationState)),
        },
    }


def _adopt(schemas: Schemas) -> Json:
    funnel = {
        "name": "funnel",
        "in": "path",
        "required": True,
        "description": "The key of the funnel.",
        "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 64},
    }
    version = {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The version of the playbook that this is based on, as its ETag; * for any.",
        "schema": {"type": "string", "pattern": r'^("[0-9]{1,18}"|\*)$'},
        "example": '"7"',
    }
    headers = {
        "ETag": o.header("The playbook's version after it."),
        "Location": o.header("The funnel's rate sets."),
        **_REPEATED,
    }
    body = schemas.of_model(AdoptBody)
    return {
        "operationId": "adopt-candidate",
        "tags": _TAG,
        **o.texts(AdoptCandidate.__call__, f"For: {ADOPT.command.allowed_roles()}."),
        "parameters": [funnel, *o.ACTOR_HEADERS, version, o.KEY_HEADER, *o.TRACE_HEADERS],
        "requestBody": o.json_body(body, schemas.example(body)),
        "responses": {
            "201": o.answer("Adopted, and durable.", schemas.of_struct(Adopted), headers),
            **o.refusals(
                (
                    *_KNOWN,
                    *_BODY,
                    d.UnknownFunnel,
                    d.UnknownCandidate,
                    d.UnknownStage,
                    d.NotAdoptable,
                    d.EvidenceStale,
                    d.PlaybookConflict,
                    d.StaleVersion,
                    d.Contended,
                )
            ),
        },
    }


def _id() -> dict[str, Any]:
    described = OneRecalibration.model_json_schema()["properties"]["recalibration_id"]
    return {
        "name": "recalibration_id",
        "in": "path",
        "required": True,
        "description": described["description"],
        "schema": {"type": "string", "format": "uuid"},
    }
