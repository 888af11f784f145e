"""What a field accepts, in words, read off the schema of its model; so whoever errs is told, whatever the field."""

from functools import cache
from typing import Any

from pydantic import BaseModel

from domain.wording import IN_WORDS

Json = dict[str, Any]

_FORMATS = {
    "uuid": "a UUID",
    "date-time": "a time such as 2026-03-02T09:30:00Z",
    "date": "a day such as 2026-03-31",
}


def accepted_by(model: type[BaseModel], place: tuple[int | str, ...]) -> str | None:
    """What the field at this place of the model accepts; None where the model has no such place."""
    schema = _schema(model)
    found = schema
    for part in place:
        there = _inside(found, part, schema)
        if there is None and isinstance(part, str) and not _fields(found, schema):
            continue  # pydantic also names the arm of a union that it tried
        if there is None:
            return None
        found = there
    return _words(found, schema)


def fields_of(model: type[BaseModel], place: tuple[int | str, ...]) -> str | None:
    """The fields of the object at this place, in words."""
    schema = _schema(model)
    found = schema
    for part in place:
        found = _inside(found, part, schema) or found
    return ", ".join(_fields(found, schema)) or None


@cache
def _schema(model: type[BaseModel]) -> Json:
    return model.model_json_schema()


def _arms(schema: Json, root: Json) -> list[Json]:
    """The alternatives of a schema, each without references."""
    if "$ref" in schema:
        return _arms(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema and IN_WORDS not in schema:
        return [arm for each in schema["anyOf"] for arm in _arms(each, root)]
    return [schema]


def _inside(schema: Json, part: int | str, root: Json) -> Json | None:
    for arm in _arms(schema, root):
        if isinstance(part, int) and "items" in arm:
            items: Json = arm["items"]
            return items
        if part in arm.get("properties", {}):
            inner: Json = arm["properties"][part]
            return inner
    return None


def _fields(schema: Json, root: Json) -> list[str]:
    return [name for arm in _arms(schema, root) for name in arm.get("properties", {})]


def _words(schema: Json, root: Json) -> str:
    said = list(dict.fromkeys(_word(arm, root) for arm in _arms(schema, root)))
    if "default" in schema and len(said) > 1:
        said.remove("null")  # it can be left out, which is the same
    return " or ".join(said)


def _word(arm: Json, root: Json) -> str:
    if IN_WORDS in arm:
        return str(arm[IN_WORDS])
    if "enum" in arm:
        return ", ".join(map(str, arm["enum"]))
    match arm.get("type"):
        case "string":
            return _FORMATS.get(arm.get("format", "")) or "a text" + _between(arm, "Length", " characters")
        case "integer":
            return "a whole number" + _between(arm, "imum", "")
        case "number":
            return "a number" + _between(arm, "imum", "")
        case "boolean":
            return "true or false"
        case "array":
            return f"a list{_between(arm, 'Items', '')}: each {_words(arm['items'], root)}"
        case "object":
            return "an object with " + ", ".join(arm.get("properties", {}))
    return "null"


def _between(arm: Json, word: str, unit: str) -> str:
    """From where to where: of `minLength`, `maximum` and their like."""
    least, most = arm.get(f"min{word}"), arm.get(f"max{word}")
    if least is not None and most is not None:
        return f"{' of' if unit or word == 'Items' else ' from'} {least:,} to {most:,}{unit}"
    if most is not None:
        return f" of at most {most:,}{unit}" if unit or word == "Items" else f" up to {most:,}"
    return "" if least is None else f" from {least:,}{unit} on"
