"""Everything started by one command, stopped by Ctrl-C, and continued by the next."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.cli.conftest import Program

pytestmark = pytest.mark.slow

WITHIN = 60


class Running:
    """`dealtrace run`, up and listening."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.said = process, ""
        assert process.stderr is not None
        for line in process.stderr:
            self.said += line
            if line.startswith("Ctrl-C stops"):
                break
        found = re.search(r"API +(http://\S+)", self.said)
        assert found, self.said
        self.address = found[1]

    def get(self, path: str) -> dict:
        """The answer of the API."""
        return msgspec.json.decode(self.body(path))

    def body(self, path: str) -> bytes:
        """Its bytes."""
        headers = {"X-Actor-Id": "anna", "X-Actor-Role": "rep"}
        return httpx.get(self.address + path, headers=headers).raise_for_status().content

    def becomes_ready(self) -> None:
        """Wait until `/ready` says no and then yes again."""
        deadline = time.monotonic() + WITHIN
        for wanted in (503, 200):
            while httpx.get(self.address + "/ready", timeout=WITHIN).status_code != wanted:
                assert time.monotonic() < deadline, f"/ready did not say {wanted}"
                time.sleep(0.05)

    def stop(self, how: signal.Signals) -> int:
        """Send the signal to the whole group, as a terminal does, and wait for the end."""
        os.killpg(self.process.pid, how)
        _, rest = self.process.communicate(timeout=WITHIN)
        self.said += rest
        return self.process.returncode


@contextmanager
def running(at_home: Program, *options: str) -> Iterator[Running]:
    process = at_home.start("run", *options, DEALTRACE_PORT="0")
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=WITHIN)


def processes_in(home: Path) -> list[str]:
    """The command lines of the processes that work in that folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").resolve()
            if where.is_relative_to(home):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # gone meanwhile
    return found


def test_the_first_run_shows_a_company_and_the_second_continues(at_home: Program) -> None:
    home = Path(at_home.environment["DEALTRACE_HOME"])
    with running(at_home) as first:
        assert "the demonstration company was loaded" in first.said
        served = first.get("/v1/funnels/tas_plus/snapshot")
        asked = at_home("funnel", "--funnel", "tas_plus", "--format", "json").json
        assert served["total"] == asked["total"]
        assert served["total"]["deals"] > 10
        opened = at_home("do", "open-deal", "--funnel", "tas_plus", "--format", "json").json
        assert first.get(f"/v1/deals/{opened['deal_id']}?min_position={opened['position']}")["version"] == 1
        assert first.stop(signal.SIGINT) == 0
        assert first.said.endswith("Stopped.\n")
    assert processes_in(home) == []

    with running(at_home) as second:
        assert "demonstration" not in second.said
        assert second.get("/v1/log")["position"] == opened["position"]
        assert second.get(f"/v1/deals/{opened['deal_id']}")["status"] == "open"
        assert second.stop(signal.SIGTERM) == 0
    assert processes_in(home) == []


def test_without_the_demonstration_there_is_the_default_funnel_alone(at_home: Program) -> None:
    with running(at_home, "--no-demo") as server:
        assert [funnel["key"] for funnel in server.get("/v1/funnels")["funnels"]] == ["tas_plus"]
        assert server.get("/v1/deals")["deals"] == []


def test_killing_it_leaves_no_projector_and_loses_nothing(at_home: Program) -> None:
    with running(at_home) as server:
        position = server.get("/v1/log")["position"]
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.communicate(
            timeout=WITHIN
        )  # its stderr ends when the projector, which shares it, has ended
    with running(at_home) as again:
        assert again.get("/v1/log")["position"] == position
        assert again.get("/ready")["missing"] == []


def test_a_killed_postgresql_is_started_again_while_it_runs(at_home: Program) -> None:
    home = Path(at_home.environment["DEALTRACE_HOME"])
    with running(at_home, "--no-demo") as server:
        position = server.get("/v1/log")["position"]
        pid = (home / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        server.becomes_ready()
        assert server.get("/v1/log")["position"] == position
        opened = at_home("do", "open-deal", "--funnel", "tas_plus", "--format", "json").json
        assert server.get(f"/v1/deals/{opened['deal_id']}?min_position={opened['position']}")["version"] == 1


def test_the_command_line_prints_the_bytes_of_the_api(at_home: Program) -> None:
    with running(at_home) as server:
        deals = server.get("/v1/deals?limit=2&sort=amount")["deals"]
        paths = {
            ("funnels",): "/v1/funnels",
            ("funnel", "--funnel", "customer", "--as-of", "2026-01-01T00:00:00Z"):
                "/v1/funnels/customer/snapshot?as_of=2026-01-01T00:00:00Z",
            ("dwell", "--funnel", "tas_plus", "--as-of", "2026-01-01T00:00:00Z"):
                "/v1/funnels/tas_plus/dwell?as_of=2026-01-01T00:00:00Z",
            ("deals", "--limit", "2", "--sort", "amount"): "/v1/deals?limit=2&sort=amount",
            ("deal", deals[0]["deal_id"]): f"/v1/deals/{deals[0]['deal_id']}",
            ("timeline", deals[0]["deal_id"]): f"/v1/deals/{deals[0]['deal_id']}/timeline",
            ("log",): "/v1/log",
        }  # fmt: skip
        for verb, path in paths.items():
            assert at_home(*verb, "--format", "json").out == server.body(path).decode(), verb
