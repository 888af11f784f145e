"""The OpenAPI document says all there is, and the server does nothing that it does not say."""

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.asking import ROUTES as QUERIES
from api.commands import ROUTES as COMMANDS
from api.openapi import document
from api.reference import reference
from tests.api.conftest import Api

DOCS = Path(__file__).parents[2] / "docs" / "api" / "reference.md"

OPERATIONS = {
    result.ok().label: result.ok()
    for result in schemathesis.openapi.from_dict(json.loads(document())).get_all_operations()
    if result.ok().label != "GET /v1/stream"  # its answer never ends
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_is_as_the_document_says(api: Api, operation: str) -> None:
    """With what is valid and with what is not: no 5xx, no status, body or header that is not described.

    That valid data is accepted is for other tests: a schema can not say which stage a deal is in.
    """

    @settings(
        max_examples=25,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(list(GenerationMode)))
        try:
            case = data.draw(OPERATIONS[operation].as_strategy(generation_mode=mode))
        except Unsatisfiable:
            reject()
        response = case.call(base_url=str(api.client.base_url))
        case.validate_response(response, excluded_checks=[positive_data_acceptance])

    api.catch_up()
    ask()


def test_every_route_is_in_the_document(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    there = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    served = {(method, route.path) for route in api.app.routes for method in route.methods}
    assert there == {
        (method, path) for method, path in served if method != "HEAD"
    }  # told once, for all of GET
    assert {("POST", r.path) for r in COMMANDS.values()} | {("GET", r.path) for r in QUERIES} <= there


def test_every_operation_explains_itself(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    operations = [o for each in paths.values() for o in each.values()]
    assert all(o["summary"] and o["operationId"] and o["responses"] for o in operations)
    assert len({o["operationId"] for o in operations}) == len(operations)
    parameters = [p for o in operations for p in o["parameters"] if p["in"] == "query"]
    assert all(p["description"] for p in parameters)


def test_every_command_has_an_example(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    for route in COMMANDS.values():
        body = paths[route.path]["post"]["requestBody"]["content"]["application/json"]
        assert isinstance(body["example"], dict)


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert DOCS.read_text(encoding="utf-8") == reference(), "run `make docs`"
