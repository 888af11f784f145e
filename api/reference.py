"""The API on one page, from the OpenAPI document: the text of docs/api/reference.md."""

import json
from typing import Any

from api.openapi import document

Json = dict[str, Any]
_EVERYWHERE = {"X-Actor-Id", "X-Actor-Role", "X-Request-ID", "X-Correlation-ID"}


def reference() -> str:
    """Every address: what it takes, what it answers, and how it refuses."""
    described = json.loads(document())
    schemas = described["components"]["schemas"]
    by_tag: dict[str, list[str]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            text = _operation(f"{method.upper()} {path}", operation, schemas)
            by_tag.setdefault(operation["tags"][0], []).append(text)
    head = (
        "# API reference\n\n<!-- Generated from api/openapi.py by `make docs`. -->\n\n"
        "The same as a machine reads it: `GET /openapi.json`. Requests of every kind may send `X-Request-ID` and "
        "`X-Correlation-ID`; commands and queries must send `X-Actor-Id` and `X-Actor-Role`. "
        "Refusals are explained in [problems](../problems.md).\n"
    )
    return head + "".join(f"\n## {tag.capitalize()}\n{''.join(texts)}" for tag, texts in by_tag.items())


def _operation(title: str, operation: Json, schemas: Json) -> str:
    lines = ["", f"### {title}", "", operation["description"], ""]
    rows = [
        (parameter["name"], parameter["in"], _type(parameter["schema"]), parameter["required"], parameter)
        for parameter in operation["parameters"]
        if parameter["name"] not in _EVERYWHERE
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        schema = _resolved(body["schema"], schemas)
        rows += [
            (name, "body", _type(field), name in schema.get("required", []), field)
            for name, field in schema["properties"].items()
        ]
    if rows:
        lines += ["| name | in | type | required | meaning |", "|---|---|---|---|---|"]
        lines += [
            f"| `{name}` | {place} | {kind} | {'yes' if required else ''} | {about.get('description', '')} |"
            for name, place, kind, required, about in rows
        ]
    if body:
        lines += ["", "```json", json.dumps(body["example"], ensure_ascii=False), "```"]
    lines += ["", f"Answers: {', '.join(operation['responses'])}.", ""]
    return "\n".join(lines)


def _resolved(schema: Json, schemas: Json) -> Json:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _type(schema: Json) -> str:
    """The type of a field in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_type(arm) for arm in schema[word]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return "list" if "oneOf" in schema.get("items", {}) else f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))


if __name__ == "__main__":
    print(reference(), end="")
