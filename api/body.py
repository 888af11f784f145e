"""Request bodies: read with a limit, parsed strictly, checked against a model, with errors in clear words."""

import asyncio
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from api.field_errors import invalid
from api.refusals import BodyTooLarge, InvalidFields, InvalidParameters, MalformedJson, NotJson
from api.strict_json import parse
from domain.errors import Overloaded

MAX_COMMAND = 1024 * 1024
MAX_BATCH = 8 * 1024 * 1024
MOST_AT_ONCE = 256 * 1024 * 1024
"""Bytes of all the bodies that are being read."""
BODY_SECONDS = 60.0
"""For how long a body may keep its request waiting."""

M = TypeVar("M", bound=BaseModel)
_encode = msgspec.json.Encoder(order="deterministic").encode


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """The body as a JSON object. Raises NotJson, BodyTooLarge, MalformedJson or InvalidFields."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise NotJson("The body must be JSON.", field="Content-Type", accepted="application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise NotJson("The body must not be compressed.", field="Content-Encoding", accepted="no such header")
    value = parse(await _read(request, limit))
    if not isinstance(value, dict):
        raise InvalidFields(
            "The body must be a JSON object.", accepted='an object such as {"to_stage": "bidding"}'
        )
    return value


async def _read(request: Request, limit: int) -> bytes:
    """The body's bytes; stops reading as soon as there are too many."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                _reading.bytes += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                if _reading.bytes > MOST_AT_ONCE:
                    raise Overloaded(
                        "Too much is being sent already.", accepted="the same command in a second"
                    )
                chunks.append(chunk)
    except ClientDisconnect:
        raise MalformedJson("The body broke off.", accepted="the whole body") from None
    except TimeoutError:
        raise MalformedJson(
            f"The body did not come to its end in {BODY_SECONDS:g} s.", accepted="a body within that time"
        ) from None
    finally:
        _reading.bytes -= size
    return b"".join(chunks)


class _Reading:
    bytes = 0


_reading = _Reading()


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge("The body is too large.", accepted=f"up to {limit // 1024 // 1024} MiB")


def canonical(value: Any) -> bytes:
    """One spelling of a JSON value: the same whatever the order of names and the white space."""
    try:
        return _encode(value)
    except OverflowError:
        raise InvalidFields("A whole number is too large.", accepted="numbers of 64 bits") from None


def checked(model: type[M], canonical_body: bytes) -> M:
    """The model of a canonical JSON object, without any guessing of types. Raises InvalidFields."""
    try:
        return model.model_validate_json(canonical_body, strict=True)
    except ValidationError as error:
        raise invalid(error, model, InvalidFields) from None


def checked_params(model: type[M], params: dict[str, Any]) -> M:
    """The model of texts from path and query string. Raises InvalidParameters."""
    try:
        return model.model_validate(params)
    except ValidationError as error:
        raise invalid(error, model, InvalidParameters) from None
