"""What commands are told by headers: the version they are based on, and the id under which they are remembered."""

import re
from typing import Any

from api.refusals import InvalidParameters
from infra.ids import new_id

_ETAG = re.compile(r'"(\d{1,18})"')
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def header(scope: Any, name: bytes) -> str | None:
    """The header's text, None when it is missing. Raises InvalidParameters when it stands there twice."""
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise InvalidParameters(
            "A header stands there twice.", field=name.decode().title(), accepted="each header once"
        )
    return found[0].decode("latin-1").strip() if found else None


def if_match(scope: Any) -> int | str | None:
    """The version in `If-Match`, `*` for any, None when the header is missing."""
    text = header(scope, b"if-match")
    if text is None or text == "*":
        return text
    tag = _ETAG.fullmatch(text)
    if tag is None:
        raise InvalidParameters(
            "If-Match names no version.", field="If-Match", accepted='one version such as "7", or *'
        )
    return int(tag[1])


def idempotency_key(scope: Any) -> str | None:
    """The key under which the answer is remembered; None: it is not."""
    text = header(scope, b"idempotency-key")
    if text is not None and not _KEY.fullmatch(text):
        raise InvalidParameters(
            "The key can not be used.",
            field="Idempotency-Key",
            accepted="1 to 255 printable ASCII characters",
        )
    return text


def command_id(key: str | None) -> str:
    """The key, or a fresh id for a command that is not to be remembered."""
    return key or str(new_id())
