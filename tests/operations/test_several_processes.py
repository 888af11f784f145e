"""Several processes of the API on one database: each commits in groups of its own, and what one did all of them know."""

import random
import signal
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.postgres import Server
from projections.engine.digests import replay
from projections.engine.running import run_to_head
from tests.cli.conftest import Program, program_on, without_settings
from tests.cli.test_run import processes_in, running
from tests.operations.servers import serving
from tests.operations.whole import digests, log_of, projecting
from tests.store.log import Log
from workers.first_start import fill_empty_log

pytestmark = pytest.mark.slow

PROCESSES, WRITERS, ROUNDS = 3, 6, 30
MANAGER = {"X-Actor-Id": "anna", "X-Actor-Role": "manager"}


class Writer(threading.Thread):
    """Somebody who opens deals and revises everybody's, each time through any of the processes, and sends much twice."""

    def __init__(self, number: int, addresses: list[str], deals: list[str]) -> None:
        super().__init__()
        self._random, self._addresses, self._deals = random.Random(number), addresses, deals
        self.accepted: dict[str, int] = {}
        """The position that the answer gave, by idempotency key."""
        self.statuses: Counter[int] = Counter()
        self.unlike: list[tuple[Any, Any]] = []
        """What a command and its repetition answered, where that differs."""

    def run(self) -> None:
        with httpx.Client(timeout=60, headers=MANAGER) as client:
            for _ in range(ROUNDS):
                self._once(client)

    def _once(self, client: httpx.Client) -> None:
        key = str(uuid4())
        if self._random.random() < 0.3:
            path, body, version = "/v1/deals", {"funnel": "tas_plus"}, None
        else:
            deal = self._random.choice(self._deals)
            version = self._version(client, deal)
            path = f"/v1/deals/{deal}/log-activity"
            body = {"kind": "visit"}
        first = self._send(client, path, body, key, version)
        again = self._send(
            client, path, body, key, version
        )  # as after a lost reply, through whichever process
        if first.status_code < 300:
            self.accepted[key] = first.json()["position"]
            if again.json() != first.json() or again.headers.get("Idempotency-Replayed") != "true":
                self.unlike.append((first.text, again.text))
            if path == "/v1/deals":
                self._deals.append(first.json()["deal_id"])

    def _version(self, client: httpx.Client, deal: str) -> str:
        """What If-Match is to say: any version, one that was read, or one that somebody else may have moved past."""
        if self._random.random() < 0.5:
            return "*"
        answer = client.get(f"{self._random.choice(self._addresses)}/v1/deals/{deal}")
        return f'"{answer.json()["version"]}"' if answer.status_code == 200 else '"1"'

    def _send(
        self, client: httpx.Client, path: str, body: Any, key: str, version: str | None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} | ({"If-Match": version} if version else {})
        answer = client.post(f"{self._random.choice(self._addresses)}{path}", json=body, headers=headers)
        self.statuses[answer.status_code] += 1
        return answer


OPERATOR = {"X-Actor-Id": "prometheus", "X-Actor-Role": "sales_operations"}


def groups_of(address: str) -> float:
    """How many groups a process has appended."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(httpx.get(f"{address}/metrics", headers=OPERATOR).text)
        for sample in family.samples
        if sample.name == "dealtrace_group_commands_count"
    )


def test_three_processes_lose_nothing_and_do_nothing_twice(database: Server, tmp_path: Path) -> None:
    fill_empty_log(database.app_url)
    program = program_on(database, tmp_path)
    with ExitStack() as up, projecting(database):
        addresses = [up.enter_context(serving(program)).address for _ in range(PROCESSES)]
        opened = [
            httpx.post(f"{address}/v1/deals", json={"funnel": "tas_plus"}, headers=MANAGER).json()["deal_id"]
            for address in addresses
        ]
        writers = [Writer(number, addresses, opened) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert all(groups_of(address) > 1 for address in addresses), "each of them appended groups of its own"

    statuses = sum((writer.statuses for writer in writers), Counter[int]())
    assert set(statuses) <= {200, 201, 412}, statuses
    assert statuses[412] > 0, "somebody was overtaken, and told so"
    assert [pair for writer in writers for pair in writer.unlike] == []
    log = Log(database)
    log.assert_whole()
    commands = Counter(e.meta.command_id for e in log.events())
    by_position = {e.position: e.meta.command_id for e in log.events()}
    accepted = {key: position for writer in writers for key, position in writer.accepted.items()}
    assert {key: commands[key] for key in accepted} == dict.fromkeys(accepted, 1)
    assert {key: by_position[position] for key, position in accepted.items()} == {
        key: key for key in accepted
    }
    assert commands.keys() - accepted.keys() <= {e.meta.command_id for e in log.events()[: 10 + PROCESSES]}
    run_to_head(database.app_url)
    assert digests(database) == replay(log_of(database))


def test_every_process_knows_what_another_one_decided(database: Server, tmp_path: Path) -> None:
    fill_empty_log(database.app_url)
    program = program_on(database, tmp_path)
    with ExitStack() as up:
        addresses = [up.enter_context(serving(program)).address for _ in range(2)]
        deal = httpx.post(f"{addresses[0]}/v1/deals", json={"funnel": "tas_plus"}, headers=MANAGER).json()[
            "deal_id"
        ]
        assert UUID(deal)
        for version in range(1, 9):  # each finds in its memory what the other has moved since
            answer = httpx.post(
                f"{addresses[version % 2]}/v1/deals/{deal}/log-activity",
                json={"kind": "visit"},
                headers={**MANAGER, "If-Match": f'"{version}"'},
            )
            assert (answer.status_code, answer.json()["version"]) == (200, version + 1), answer.text


def test_two_runs_in_one_folder_share_its_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    home = Program(
        {**without_settings(), "HOME": str(tmp_path), "DEALTRACE_HOME": str(tmp_path / "home")}, tmp_path
    )
    with running(home, "--no-demo") as first, running(home, "--no-demo") as second:
        port = first.address.rpartition(":")[2]
        third = home("run", DEALTRACE_PORT=port)
        assert third.code == 1
        assert f"Port {port} is in use already" in third.err
        for one, other in ((first, second), (second, first)):
            opened = httpx.post(
                f"{one.address}/v1/deals", json={"funnel": "tas_plus"}, headers=MANAGER
            ).json()
            seen = other.get(f"/v1/deals/{opened['deal_id']}?min_position={opened['position']}")
            assert seen["version"] == 1
        assert first.stop(signal.SIGINT) == 0
        assert second.get("/v1/log")["position"] == opened["position"]
        opened = httpx.post(f"{second.address}/v1/deals", json={"funnel": "tas_plus"}, headers=MANAGER).json()
        assert second.get(f"/v1/deals/{opened['deal_id']}?min_position={opened['position']}")["version"] == 1
        assert second.stop(signal.SIGINT) == 0
    assert processes_in(tmp_path / "home") == []
