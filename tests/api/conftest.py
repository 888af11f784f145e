"""A real server on a real database, and a client that speaks HTTP to it."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.serving import HttpServer
from infra.connection import LogConnection
from infra.executor import Executor
from infra.group_commit import GroupCommit
from infra.postgres import Server, scratch_database
from infra.readers import Readers
from projections.engine.running import run_to_head
from workers.recalibration.keeper import Keeper


class Api:
    """The server as one actor's client sees it."""

    def __init__(
        self, client: httpx.Client, app: Any, database: Server, actor: str = "anna", role: str = "manager"
    ) -> None:
        self.client = client
        self.app = app
        self.database = database
        self.actor = {"X-Actor-Id": actor, "X-Actor-Role": role}

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, headers=self.actor, **options)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=self.actor | _dashed(headers))

    def send(self, path: str, content: bytes, **headers: str) -> httpx.Response:
        """Post these very bytes, as JSON unless the headers say otherwise."""
        named = self.actor | {"Content-Type": "application/json"} | _dashed(headers)
        return self.client.post(path, content=content, headers=named)

    def as_role(self, role: str) -> "Api":
        return Api(self.client, self.app, self.database, f"the-{role}", role)

    def open_deal(self, **fields: Any) -> str:
        """The id of a fresh deal in the first stage of the TAS+ funnel."""
        answer = self.post("/v1/deals", {"funnel": "tas_plus", **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["deal_id"])

    def catch_up(self) -> int:
        """Do the projector's work up to the head of the log."""
        return run_to_head(self.database.app_url)

    def head(self) -> int:
        """The position of the log."""
        return int(self.get("/v1/log").json()["position"])


@pytest.fixture(scope="session")
def shared_database(server: Server, template_database: str) -> Iterator[Server]:
    """One database for all the tests of the API; each works on deals of its own."""
    with scratch_database(server, template=template_database) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def served(shared_database: Server) -> Iterator[Api]:
    """The server, with both funnels and a currency."""
    with serve(shared_database) as api:
        admin = api.as_role("admin")
        for command in ({"command": "set-currency", "currency": "EUR"}, *_funnels()):
            done = admin.post("/v1/commands", {"commands": [command]})
            assert done.status_code == 200, done.text
        api.catch_up()
        yield api


@pytest.fixture
def api(served: Api) -> Api:
    """The server, asked by a manager."""
    return served


@pytest.fixture
def unchanged_log(api: Api) -> Iterator[None]:
    """Whatever the test does must leave the log as it was."""
    before = api.head()
    yield
    assert api.head() == before


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextlib.contextmanager
def serve(database: Server, patience: float = 30) -> Iterator[Api]:
    """Run the API on a free port of the loopback."""
    with (
        closing(LogConnection(database.app_url, patience=patience)) as log,
        closing(GroupCommit(Executor(log))) as group_commit,
        closing(Readers(database.app_url)) as readers,
        closing(Keeper(database.app_url)) as keeper,
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
    ):
        app = create_app(group_commit=group_commit, readers=readers, host="127.0.0.1", keeper=keeper)
        server = HttpServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=f"api-{uuid4()}")
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server ended while starting"
            time.sleep(0.01)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
                yield Api(client, app, database)
        finally:
            server.should_exit = True
            thread.join()


def _funnels() -> list[dict[str, Any]]:
    from domain.templates import TEMPLATES

    return [
        {"command": "define-funnel", **template.model_dump(mode="json", exclude_none=True)}
        for template in TEMPLATES.values()
    ]
