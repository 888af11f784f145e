"""Strict JSON: what is ambiguous or has no value of its own is refused instead of guessed."""

import json
import math
from collections.abc import Iterator
from typing import Any

from api.refusals import MalformedJson


def parse(body: bytes) -> Any:
    """The value of a UTF-8 JSON text.

    Raises MalformedJson for anything else: NaN, Infinity and numbers beyond a double, a name twice in one object,
    lone surrogates, NUL, nesting deeper than the interpreter's stack.
    """
    try:
        text = body.decode("utf-8")
        value = _decoder.decode(text)
        if "\\u" in text:  # only an escape can spell what UTF-8 itself can not
            _refuse_odd_escapes(value)
    except UnicodeDecodeError as error:
        raise MalformedJson(
            f"The body is not UTF-8: byte {error.start} can not be.", accepted="JSON in UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise MalformedJson(
            f"{error.msg} at line {error.lineno}, column {error.colno}.", accepted="one JSON value"
        ) from None
    except RecursionError:
        raise MalformedJson("The body is nested too deeply.", accepted="fewer values within values") from None
    except ValueError as error:  # an integer of thousands of digits
        raise MalformedJson(f"{str(error).split(';')[0]}.", accepted="numbers of 64 bits") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise MalformedJson(
            "A name stands twice in one object.",
            field=twice[:100].encode("utf-8", "replace").decode(),
            accepted="each name once",
        )
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise MalformedJson(f"The number {text[:50]} is too large.", accepted="numbers that fit a double")
    return number


def _constant(text: str) -> float:
    raise MalformedJson(f"{text} is no JSON value.", accepted="a number, or null")


def _refuse_odd_escapes(value: Any) -> None:
    for text in _texts(value):
        if "\x00" in text:
            raise MalformedJson("The character NUL may not stand in a text.", accepted="the text without it")
        if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
            raise MalformedJson("A lone surrogate is no character.", accepted="surrogates in pairs")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_constant)
