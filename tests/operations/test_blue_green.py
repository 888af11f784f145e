"""The next release beside this one, on one database under load: filled, switched to, taken back, and the old retired."""

import shutil
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.embedded_server import shared_server
from infra.postgres import Server
from tests.cli.conftest import ROOT, Program, program_on, without_settings
from tests.operations.servers import serving
from tests.store.log import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a dozen starts of the program, under load

ROOMS = ("domain", "infra", "projections", "workers", "api")
MANAGER = {"X-Actor-Id": "anna", "X-Actor-Role": "manager"}

NEXT_DEALS = '''

class CountedDeal(DealRow, frozen=True):
    """A deal that also counts its events."""

    changes: int = 0


def counted(before: Any, e: Recorded, out: Out) -> CountedDeal:
    after = msgspec.structs.asdict(fold(before, e, out))
    return CountedDeal(**{**after, "changes": (before.changes if before else 0) + 1})


from projections.engine.description import Invariant

PROJECTION = msgspec.structs.replace(
    PROJECTION,
    version=2,
    fold=counted,
    head=msgspec.structs.replace(PROJECTION.head, row=CountedDeal),
    invariants=(Invariant("deals and their amount", "SELECT count(*), sum(amount) FROM {deals}"),),
)
'''
"""The change that the next release makes: another column, so another version."""


@pytest.fixture
def this(database: Server, tmp_path: Path) -> Program:
    """This release."""
    return program_on(database, tmp_path)


@pytest.fixture
def next_one(this: Program, tmp_path: Path) -> Program:
    """The next release."""
    return next_release_of(this, tmp_path / "next")


def next_release_of(this: Program, home: Path) -> Program:
    """A copy of this release's program with another version of the deal list."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, home / room, ignore=shutil.ignore_patterns("__pycache__"))
    deals = home / "projections" / "deals.py"
    before, begin, rest = deals.read_text().partition("PROJECTION = Projection(\n")
    definition, end, queries = rest.partition("\n)\n")
    deals.write_text(before + begin + definition + end + NEXT_DEALS + queries)
    return Program({**this.environment, "PYTHONPATH": str(home)}, this.folder)


class Front:
    """What stands before both releases, as a load balancer does, and everybody who writes and reads through it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.failed: list[str] = []
        self.backwards: list[tuple[int, int]] = []
        self.reads = 0
        self.writes: list[tuple[float, float]] = []
        """When each write began, and how long it took, in seconds."""
        self.opened: dict[str, int] = {}
        """The deals that were opened, and at which position."""
        self._stop = threading.Event()

    def _write(self) -> None:
        with httpx.Client(timeout=30, headers=MANAGER) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                answer = client.post(f"{self.address}/v1/deals", json={"funnel": "tas_plus", "owner": "anna"})
                self.writes.append((began, time.monotonic() - began))
                if self._note(answer):
                    self.opened[answer.json()["deal_id"]] = answer.json()["position"]
                self._stop.wait(0.1)

    def _read(self, path: str) -> None:
        seen = 0
        with httpx.Client(timeout=30, headers=MANAGER) as client:
            while not self._stop.is_set():
                answer = client.get(f"{self.address}{path}&min_position={seen}")
                self.reads += 1
                if self._note(answer):
                    position = answer.json()["position"]
                    if position < seen:
                        self.backwards.append((seen, position))
                    seen = position
                self._stop.wait(0.02)

    def _note(self, answer: httpx.Response) -> bool:
        if answer.status_code >= 400:
            self.failed.append(f"{answer.status_code} {answer.text[:300]}")
        return answer.status_code < 400

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Two writers and two readers work while the block runs."""
        paths = ("/v1/deals?limit=20", "/v1/deals?status=open")
        threads = [threading.Thread(target=self._write) for _ in range(2)]
        threads += [threading.Thread(target=self._read, args=[path]) for path in paths]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)

    def took(self, since: float, until: float) -> list[float]:
        """Milliseconds of the writes that were under way between two moments."""
        return [
            1000 * seconds for began, seconds in self.writes if began + seconds >= since and began <= until
        ]


@contextmanager
def projector_of(program: Program) -> Iterator[None]:
    process = program.start("projector", DEALTRACE_LOG_LEVEL="warning")
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) is not None


def status_of(program: Program) -> dict[int, dict[str, Any]]:
    """How the versions of the deal list stand."""
    said = program("projections", "status", "--format", "json")
    assert said.code == 0, said.err
    return {row["version"]: row for row in said.json["projections"] if row["projection"] == "deals"}


def test_a_release_takes_over_under_load_and_goes_back_and_nobody_notices(
    this: Program, next_one: Program
) -> None:
    assert this("migrate").code == 0
    with ExitStack() as old, ExitStack() as new:
        green = old.enter_context(serving(this))
        old.enter_context(projector_of(this))
        wait_until(lambda: httpx.get(f"{green.address}/ready").status_code == 200)
        front = Front(green.address)
        with front.under_load():
            wait_until(lambda: len(front.writes) > 50)
            filling = time.monotonic()
            blue = new.enter_context(serving(next_one))
            assert httpx.get(f"{blue.address}/ready").status_code == 503
            new.enter_context(projector_of(next_one))
            waits = "deals v2 is filled and waits for dealtrace projections switch."
            wait_until(lambda: waits in httpx.get(f"{blue.address}/ready").text)
            assert httpx.get(f"{blue.address}/v1/deals", headers=MANAGER).status_code == 503
            switching = time.monotonic()
            said = next_one("projections", "switch")
            assert said.code == 0, said.err
            assert "deals: v2 instead of v1, at position" in said.err
            assert httpx.get(f"{blue.address}/ready").status_code == 200
            front.address = blue.address
            switched = time.monotonic()
            some, known = front.reads, set(front.opened)
            wait_until(lambda: front.reads > some + 50)

            front.address = green.address
            said = next_one("projections", "rollback")
            assert said.code == 0, said.err
            assert httpx.get(f"{blue.address}/v1/deals", headers=MANAGER).status_code == 503
            written_to_the_new_one = set(front.opened) - known
            assert written_to_the_new_one
            for deal in sorted(written_to_the_new_one, key=front.opened.__getitem__)[-20:]:
                asked = f"{green.address}/v1/deals/{deal}?min_position={front.opened[deal]}"
                assert httpx.get(asked, headers=MANAGER, timeout=30).status_code == 200
            proof = this("verify", "--digests")
            assert proof.code == 0, proof.err
            some = front.reads
            wait_until(lambda: front.reads > some + 50)

            assert next_one("projections", "switch").code == 0
            front.address = blue.address
            some = front.reads
            wait_until(lambda: front.reads > some + 20)
            said = next_one("projections", "rebuild", "deals", "timeline", "--processes", "1")
            assert said.code == 0, said.err
            old.close()
            retired = next_one("projections", "retire", "--running-too")
            assert retired.code == 0, retired.err
            assert "Dropped deals v1" in retired.err
            some = front.reads
            wait_until(lambda: front.reads > some + 20)
        assert front.failed == []
        assert front.backwards == []
    before = front.took(0, filling)
    while_filling, during = front.took(filling, switching), front.took(switching, switched)
    print(
        f"\n{front.reads} reads, 0 failed; {len(front.writes)} writes, in ms (median, longest):"
        f" before {spelt(before)}, while filling {spelt(while_filling)}, during the switch {spelt(during)}"
    )
    assert set(status_of(next_one)) == {2}
    assert next_one("verify", "--digests").code == 0


def test_on_an_embedded_server_the_next_release_takes_over_by_itself(tmp_path: Path) -> None:
    this = Program(
        {**without_settings(), "HOME": str(tmp_path), "DEALTRACE_HOME": str(tmp_path / "home")}, tmp_path
    )
    next_one = next_release_of(this, tmp_path / "next")
    with shared_server(tmp_path / "home"):  # kept running in between
        assert this("do", "open-deal", "--funnel", "tas_plus").code == 0
        assert len(this("deals", "--format", "json").json["deals"]) == 1
        said = next_one("deals", "--format", "json")
        assert said.code == 0, said.err
        assert len(said.json["deals"]) == 1
        assert {v: s["state"] for v, s in status_of(next_one).items()} == {1: "live", 2: "live"}
        assert next_one("projections", "rollback").code == 0
        refused = next_one("deals")
        assert (refused.code, "taken back" in refused.err) == (1, True)
        assert this("deals").code == 0


def spelt(milliseconds: list[float]) -> str:
    """The median and the longest."""
    return f"{statistics.median(milliseconds):.1f} and {max(milliseconds):.1f}"
