"""The components of the OpenAPI document: what is answered and what is sent, by name, with examples."""

import copy
from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import problems
from api.commands import ROUTES, CommandRoute

Json = dict[str, Any]
_REF = "#/components/schemas/{}"


class Schemas:
    """The components: structs that are answered, and commands that are sent, by name."""

    def __init__(self) -> None:
        self._structs: list[Any] = [problems.Problem]
        inputs = [(route.command, "validation") for route in ROUTES.values()]
        _, found = models_json_schema(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
        self._defs: dict[str, Json] = found["$defs"]
        self._bodies: dict[str, Json] = {}

    def of_struct(self, struct: Any) -> Json:
        """A reference to the schema of a struct."""
        self._structs.append(struct)
        (schema,), _ = msgspec.json.schema_components([struct], ref_template=_REF.replace("{}", "{name}"))
        return schema

    def of_body(self, route: CommandRoute) -> Json:
        """A reference to the schema of a command's body: the command without the id that the address holds."""
        schema = copy.deepcopy(self._defs[route.command.__name__])
        if route.id_in_path is not None:
            del schema["properties"][route.id_in_path]
            schema["required"] = [name for name in schema.get("required", []) if name != route.id_in_path]
        return self._body(route.command.__name__, schema)

    def of_model(self, model: type[BaseModel]) -> Json:
        """A reference to the schema of a body that is no command."""
        return self._body(
            model.__name__, model.model_json_schema(ref_template="#/components/schemas/{model}")
        )

    def of_item(self, route: CommandRoute) -> Json:
        """A reference to the schema of a command as an item of a batch."""
        schema = copy.deepcopy(self._defs[route.command.__name__])
        schema["properties"] = {"command": {"const": route.name, "type": "string"}, **schema["properties"]}
        schema["required"] = ["command", *schema.get("required", [])]
        if not route.creates:
            schema["properties"]["if_match"] = {
                "anyOf": [
                    {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
                    {"const": "*", "type": "string"},
                ],
                "description": "The version that the stream has when the command's turn comes; * for any.",
            }
        if route.needs_version:
            schema["required"].append("if_match")
        return self._body(f"{route.command.__name__}Item", schema)

    def example(self, schema: Json) -> Any:
        """An example of a schema: what its fields say for themselves, and the least that is valid otherwise."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self.example(self._bodies.get(name) or self._defs[name])
        for word in ("example", "const", "default"):
            if word in schema:
                return schema[word]
        for word in ("examples", "enum"):
            if word in schema:
                return schema[word][0]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self.example(schema[word][0])
        match schema.get("type"):
            case "object":
                return {name: self.example(schema["properties"][name]) for name in schema.get("required", [])}
            case "array":
                return [self.example(schema["items"])] if schema.get("minItems") else []
            case "integer":
                return schema.get("minimum", 1)
            case "boolean":
                return True
        formats = {"uuid": "019b2a52-6c1e-7f0b-9b51-3c0d6f1f7a10", "date": "2026-03-31"}
        return formats.get(schema.get("format", ""), "text")

    def components(self) -> dict[str, Json]:
        """Every schema by its name."""
        _, structs = msgspec.json.schema_components(self._structs, ref_template=_REF.replace("{}", "{name}"))
        sent = {name: schema for name, schema in self._defs.items() if name not in self._bodies}
        return {**structs, **sent, **self._bodies}

    def _body(self, name: str, schema: Json) -> Json:
        schema["title"] = name
        self._bodies[name] = schema
        return {"$ref": _REF.format(name)}
