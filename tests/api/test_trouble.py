"""When the database is away or too much comes at once: 503 with Retry-After, and the process stays alive."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from api.app import create_app
from infra.connection import LogConnection
from infra.executor import Executor
from infra.group_commit import GroupCommit
from infra.postgres import Server
from infra.readers import Readers
from projections.engine.catalogue import catalogue
from projections.engine.checkpoints import ensure
from projections.engine.connecting import connect
from tests.api.answers import problem
from tests.api.conftest import Api, serve

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1"


@pytest.fixture(scope="module")
def stranded() -> Iterator[Api]:
    """The server without its database."""
    with serve(Server(NOWHERE, NOWHERE, "18", embedded=False), patience=0.1) as api:
        yield api


def test_a_command_says_that_the_database_is_away(stranded: Api) -> None:
    answer = stranded.post("/v1/deals", {"funnel": "tas_plus"})
    problem(answer, 503, "database-away")
    assert answer.headers["Retry-After"]
    assert "nobody" not in answer.text


def test_a_query_says_so_too(stranded: Api) -> None:
    problem(stranded.get("/v1/log"), 503, "database-away")


def test_the_process_is_alive_but_not_ready(stranded: Api) -> None:
    assert stranded.client.get("/health").json() == {"status": "alive"}
    problem(stranded.client.get("/ready"), 503, "database-away")


def test_without_projections_the_server_is_not_ready(database: Server) -> None:
    with serve(database) as api:
        assert "has not begun" in problem(api.client.get("/ready"), 503, "not-ready")["detail"]
        problem(api.get("/v1/deals"), 503, "not-ready")
        api.catch_up()
        assert api.client.get("/ready").json() == {"position": 0, "missing": []}


def test_a_projection_that_has_never_caught_up_is_not_taken_for_an_empty_one(database: Server) -> None:
    with serve(database) as api:
        admin = api.as_role("admin")
        assert admin.post(
            "/v1/commands", {"commands": [{"command": "set-currency", "currency": "EUR"}]}
        ).is_success
        with connect(database.app_url) as conn:
            ensure(conn, catalogue().values())  # a projector has begun, and not come far
        answer = api.get("/v1/deals")
        problem(answer, 503, "not-ready")
        assert answer.headers["Retry-After"]
        api.catch_up()
        assert api.get("/v1/deals").status_code == 200


@pytest.mark.anyio
async def test_what_is_too_much_is_refused(shared_database: Server) -> None:
    with (
        closing(LogConnection(shared_database.app_url)) as log,
        closing(GroupCommit(Executor(log), max_waiting=0)) as full,
        closing(Readers(shared_database.app_url, max_waiting=0)) as busy,
    ):
        app: Any = create_app(group_commit=full, readers=busy, host="127.0.0.1")
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1",
            headers={"X-Actor-Id": "anna", "X-Actor-Role": "rep"},
        ) as client:
            problem(await client.post("/v1/deals", json={"funnel": "tas_plus"}), 503, "overloaded")
            problem(await client.get("/v1/log"), 503, "overloaded")


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the one test that is a coroutine."""
    return "asyncio"
