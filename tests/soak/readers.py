"""Clients that read: what they are told never goes back, and a stream tells every event once."""

import json
import random
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from uuid import UUID

from tests.soak.writers import LATER, PAUSE, TIMEOUT, Client

REP = {"X-Actor-Id": "rep-0", "X-Actor-Role": "rep"}
AUDITOR = {"X-Actor-Id": "auditor", "X-Actor-Role": "auditor"}


class Looker:
    """Asks this and that. From one answer to the next it names the position it has seen, as who wants no step back."""

    def __init__(self, seed: int, ports: list[int], deals: list[UUID], seen: int) -> None:
        self._chance = random.Random(f"soak {seed} looker")
        self._client, self._deals = Client(ports, 0), deals
        self._stop = threading.Event()
        self._head = self._seen = seen
        self._versions: dict[UUID, int] = {}
        self.problems: list[str] = []
        self.reads = 0
        self.thread = threading.Thread(target=self._work, name="looker", daemon=True)

    def stop(self) -> None:
        """Enough."""
        self._stop.set()
        self.thread.join()

    def _work(self) -> None:
        asks = [self._log, self._projections, self._deal, self._deal, self._timeline, self._snapshot]
        while not self._stop.is_set():
            try:
                self._chance.choice(asks)()
            except (OSError, HTTPException):
                time.sleep(PAUSE)
            self._stop.wait(0.01)

    def _get(self, path: str, headers: dict[str, str] = AUDITOR) -> Any:
        status, _, body = self._client.send("GET", path, headers)
        if status == 200:
            self.reads += 1
            return json.loads(body)
        if status not in LATER:
            self.problems.append(f"{path} was answered {status}: {body!r}")
        self._stop.wait(PAUSE)
        return None

    def _log(self) -> None:
        if (log := self._get("/v1/log")) is not None:
            self._never_back("the log", log["position"], self._head)
            self._head = max(self._head, log["position"])

    def _projections(self) -> None:
        for one in (self._get("/v1/projections") or {"projections": ()})["projections"]:
            name, parked = one["projection"], one["parked_events"]
            if not one["complete"] or (one["state"] == "live" and parked):
                self.problems.append(f"{name}: {one}")
            if one["position"] > one["log_position"]:
                self.problems.append(f"{name} is ahead of the log: {one}")

    def _deal(self) -> None:
        deal = self._chance.choice(self._deals)
        found = self._get(f"/v1/deals/{deal}?min_position={self._seen}", REP)
        if found is not None:
            self._never_back(f"deal {deal}", found["version"], self._versions.get(deal, 0))
            self._versions[deal] = found["version"]

    def _timeline(self) -> None:
        deal = self._chance.choice(self._deals)
        found = self._get(f"/v1/deals/{deal}/timeline?min_position={self._seen}&limit=500&order=asc", REP)
        if found is not None:
            self._reflects(found)
            versions = sorted(event["version"] for event in found["events"])
            if versions != list(range(1, len(versions) + 1)):
                self.problems.append(f"the timeline of {deal} has the versions {versions}")

    def _snapshot(self) -> None:
        found = self._get(f"/v1/funnels/tas_plus/snapshot?min_position={self._seen}", REP)
        if found is not None:
            self._reflects(found)
            if sum(stage["deals"] for stage in found["stages"]) != found["total"]["deals"]:
                self.problems.append(f"the snapshot does not add up: {found}")

    def _reflects(self, found: Any) -> None:
        self._never_back("what an answer reflects", found["position"], self._seen)
        self._seen = max(self._seen, found["position"])

    def _never_back(self, what: str, now: int, before: int) -> None:
        if now < before:
            self.problems.append(f"{what} went back from {before} to {now}")


class Follower:
    """Follows `/v1/stream` from a position on, and resumes it on the other API whenever it breaks."""

    def __init__(self, ports: list[int], first: int, after: int, headers: dict[str, str]) -> None:
        self._ports, self._at, self._headers = ports, first, headers
        self._all = headers["X-Actor-Role"] == "auditor"
        self._stop = threading.Event()
        self._resume = after
        self._last_id = ""
        self.seen: list[int] = []
        self.problems: list[str] = []
        self.resumed = -1
        self.thread = threading.Thread(target=self._work, name="follower", daemon=True)

    @property
    def position(self) -> int:
        """How far it has come."""
        return self._resume

    def stop(self) -> None:
        """Enough."""
        self._stop.set()
        self.thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            with suppress(OSError, HTTPException, ValueError):  # it broke, however it says so
                self._follow()
            self._at = (self._at + 1) % len(self._ports)
            self._stop.wait(PAUSE)

    def _follow(self) -> None:
        conn = HTTPConnection("127.0.0.1", self._ports[self._at], timeout=TIMEOUT)
        try:
            headers = {**self._headers, "Last-Event-ID": self._last_id}
            conn.request("GET", f"/v1/stream?after={self._resume}", headers=headers)
            answer = conn.getresponse()
            if answer.status != 200:
                if answer.status not in LATER:
                    self.problems.append(
                        f"the stream after {self._resume} was answered {answer.status}: {answer.read()!r}"
                    )
                return
            self.resumed += 1
            assert conn.sock is not None
            conn.sock.settimeout(0.5)
            self._read(answer)
        finally:
            conn.close()

    def _read(self, answer: Any) -> None:
        buffer = b""
        while not self._stop.is_set():
            try:
                chunk = answer.read1(65536)
            except TimeoutError:
                return  # a quiet stream can not be told from a dead one: resume it
            if not chunk:
                return
            *frames, buffer = (buffer + chunk).split(b"\n\n")
            for frame in frames:
                self._take(frame)

    def _take(self, frame: bytes) -> None:
        lines = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line)
        if b"id" not in lines:
            return
        self._last_id = lines[b"id"].decode()
        position = int(self._last_id.rpartition(".")[2])
        if b"event" in lines:
            if position <= self._resume or (self._all and position != self._resume + 1):
                self.problems.append(f"the stream told of position {position} after {self._resume}")
            if not self._all and lines[b"event"].startswith(b"forecast."):
                self.problems.append(f"a rep was told of the forecast at position {position}")
            self.seen.append(position)
        self._resume = max(self._resume, position)
