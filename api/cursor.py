"""Opaque cursors: where the page before ended, bound to the query that it belongs to."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from api.params import Page
from api.refusals import InvalidCursor

_CHECK_BYTES = 8
_MAY_CHANGE = {"cursor", "limit", "min_position"}


def cursor_after(last: tuple[Any, ...], params: Page) -> str:
    """The cursor of the page that follows `last`, for the same query."""
    place = msgspec.json.encode(last)
    return urlsafe_b64encode(_check(place, params) + place).rstrip(b"=").decode()


def place_of(params: Page, shape: Any) -> Any:
    """What the cursor says, as a tuple of that shape; None on the first page.

    Raises InvalidCursor for one that is damaged or belongs to another query.
    """
    if params.cursor is None:
        return None
    try:
        raw = urlsafe_b64decode(params.cursor.encode("ascii") + b"=" * (-len(params.cursor) % 4))
        check, place = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if check == _check(place, params) and _is_canonical(params.cursor, raw):
            return msgspec.json.decode(place, type=shape)
    except (ValueError, msgspec.DecodeError):
        pass  # what can not be read is refused like what was changed
    raise InvalidCursor(
        "The cursor does not belong to this query, or is damaged.",
        field="cursor",
        accepted="next_cursor of the page before, with the same parameters",
    )


def _is_canonical(cursor: str, raw: bytes) -> bool:
    """Whether the text is the one spelling of its bytes: decoding base64 overlooks foreign characters."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode() == cursor


def _check(place: bytes, params: Page) -> bytes:
    query = f"{type(params).__name__}\n{params.model_dump_json(exclude=_MAY_CHANGE)}\n"
    return hashlib.sha256(query.encode() + place).digest()[:_CHECK_BYTES]
