"""What the tests of recalibrations as a service share: a small company, and a client that asks and follows."""

import json
import os
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from infra.postgres import Server
from projections.engine.running import run_to_head
from tests.api.conftest import Api
from tests.projections.conftest import Playground
from tests.projections.written_log import recorded
from tests.workers.recalibration.test_running import CUT, history, log

UNTIL = CUT.isoformat().replace("+00:00", "Z")
SHORT = {"funnel": "small", "until": UNTIL, "replicates": 3}
LONG = {"funnel": "small", "until": UNTIL, "replicates": 10_000}


def filled(database: Server) -> None:
    Playground(database).holding(recorded(log(*(f for facts in history() for f in facts))))
    run_to_head(database.app_url)


def asked(service: Api, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = service.post("/v1/recalibrations", body, **headers)
    assert answer.status_code == 202, answer.text
    said: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/recalibrations/{said['id']}"
    return said


def events(service: Api, recalibration: str, after: int = 0) -> Generator[dict[str, Any]]:
    """What is told about it, to the end of the stream."""
    address = f"/v1/recalibrations/{recalibration}/events"
    headers = service.actor | ({"Last-Event-ID": str(after)} if after else {})
    with service.client.stream("GET", address, headers=headers) as stream:
        assert stream.status_code == 200, stream.read()
        fields: dict[str, str] = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                told = json.loads(fields["data"])
                assert (fields["id"], fields["event"]) == (str(told["change"]), told["state"])
                yield told
            if not line:
                fields = {}


def done(service: Api, recalibration: str) -> dict[str, Any]:
    """What it found, once it is done."""
    last = list(events(service, recalibration))[-1]
    assert last["state"] == "done", last
    said: dict[str, Any] = service.get(f"/v1/recalibrations/{recalibration}").json()
    return said


def running(service: Api, body: dict[str, Any]) -> dict[str, Any]:
    """A recalibration that is at work."""
    return until(service, asked(service, body)["id"], "phase", "Fitting")


def until(service: Api, recalibration: str, name: str, value: str) -> dict[str, Any]:
    """The first thing told about it that says so."""
    with closing(events(service, recalibration)) as told:
        return next(one for one in told if one[name] == value)


class Process:
    """A process by its id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def exists(self) -> bool:
        try:
            return (Path("/proc") / str(self.pid) / "stat").read_text().split(") ")[-1][0] not in "ZX"
        except FileNotFoundError:
            return False

    def gone_within(self, seconds: float) -> bool:
        give_up_at = time.monotonic() + seconds
        while self.exists() and time.monotonic() < give_up_at:
            time.sleep(0.02)
        return not self.exists()


def children_at_work(parent: int | None = None) -> list[Process]:
    """The processes that recalibrate for a server, which by default is this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
                above = int((folder / "stat").read_text().split(") ")[-1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"workers.recalibration.job" in words and above == (parent or os.getpid()):
                found.append(Process(int(folder.name)))
    return found
