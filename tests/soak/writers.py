"""Clients that write: they insist, under the same key, on one API or the other, until they are answered."""

import json
import random
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from uuid import UUID

from tests.soak.requests import Asked, requests

TIMEOUT = 8.0
"""Seconds after which a client believes an answer lost."""
INSIST_SECONDS = 180.0
HASTY = 0.04
"""Share of the requests that a client does not repeat, so that it never knows."""
PAUSE = 0.05
LATER = (429, 503)


@dataclass
class Told:
    """What a client was told about a request: nothing at all, that it was refused, or what was done."""

    asked: Asked
    status: int = 0
    code: str = ""
    position: int = 0
    event_ids: tuple[UUID, ...] = ()
    versions: dict[UUID, int] = field(default_factory=dict)
    tries: int = 0
    replayed: bool = False

    @property
    def done(self) -> bool:
        """Whether it was acknowledged."""
        return self.status in (200, 201)

    @property
    def unknown(self) -> bool:
        """Whether the client knows nothing."""
        return self.status == 0


class Client:
    """One connection to one of the APIs; to the next one when it breaks, or when that one says: later."""

    def __init__(self, ports: list[int], first: int) -> None:
        self._ports, self._at = ports, first
        self._conn: HTTPConnection | None = None

    def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """The answer: its status, headers and body. Raises OSError or HTTPException when there is none."""
        if self._conn is None:
            self._conn = HTTPConnection("127.0.0.1", self._ports[self._at], timeout=TIMEOUT)
        try:
            self._conn.request(method, path, body, headers)
            answer = self._conn.getresponse()
            found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        except (OSError, HTTPException):
            self.elsewhere()
            raise
        if found[0] in LATER:
            self.elsewhere()
        return found

    def elsewhere(self) -> None:
        """Try the other one next."""
        if self._conn is not None:
            self._conn.close()
        self._conn, self._at = None, (self._at + 1) % len(self._ports)


class Writer:
    """Sends its requests one after the other, and now and then looks whether it can read what it wrote."""

    def __init__(self, seed: int, number: int, ports: list[int], asked: list[Asked] | None = None) -> None:
        self._chance = random.Random(f"soak {seed} client {number}")
        self._client = Client(ports, number % len(ports))
        self._asked = list(requests(seed, number)) if asked is None else asked
        self._hasty = HASTY if asked is None else 0.0  # on what the opener did all others build
        self.told: list[Told] = []
        self.problems: list[str] = []
        self.reads = 0
        self.thread = threading.Thread(target=self._work, name=f"writer {number}", daemon=True)

    @property
    def answered(self) -> int:
        """How many requests are behind it."""
        return len(self.told)

    def _work(self) -> None:
        last = 0
        for asked in self._asked:
            told = self._insist(asked, hasty=self._chance.random() < self._hasty)
            self.told.append(told)
            if told.event_ids and told.position <= last:
                self.problems.append(f"{asked.key!r} was told position {told.position} after {last}")
            last = max(last, told.position)
            if told.versions and self._chance.random() < 0.15:
                self._read_back(told)

    def _insist(self, asked: Asked, *, hasty: bool) -> Told:
        told, body = Told(asked), json.dumps(asked.body).encode()
        give_up_at = time.monotonic() + INSIST_SECONDS
        while time.monotonic() < give_up_at:
            told.tries += 1
            try:
                status, headers, answer = self._client.send("POST", asked.path, asked.headers, body)
            except (OSError, HTTPException):
                status, headers, answer = 0, {}, b""
            if status and status not in LATER:
                return self._understood(told, status, headers, json.loads(answer))
            if hasty:
                return told
            time.sleep(PAUSE * self._chance.uniform(0.5, 1.5))
        self.problems.append(f"{asked.key!r} got no answer in {INSIST_SECONDS:g} s")
        return told

    def _understood(self, told: Told, status: int, headers: dict[str, str], answer: Any) -> Told:
        told.status = status
        if not told.done:
            told.code = answer["code"]
            if status >= 500:
                self.problems.append(
                    f"{told.asked.key!r} was answered {status} {told.code}: {answer['detail']}"
                )
            return told
        told.replayed = headers.get("idempotency-replayed") == "true"
        items = [answer] if told.asked.alone else answer["results"]
        told.position = answer["position"]
        told.event_ids = tuple(UUID(event_id) for item in items for event_id in item["event_ids"])
        told.versions = {
            UUID(i["deal_id"]): i["version"] for i in items if "forecast_id" not in i and "deal_id" in i
        }
        return told

    def _read_back(self, told: Told) -> None:
        """Who was told a position reads at least that."""
        deal, version = self._chance.choice(sorted(told.versions.items()))
        path = f"/v1/deals/{deal}?min_position={told.position}"
        give_up_at = time.monotonic() + INSIST_SECONDS
        while time.monotonic() < give_up_at:
            try:
                status, _, answer = self._client.send("GET", path, told.asked.headers)
            except (OSError, HTTPException):
                status = 0
            if status == 200:
                found = json.loads(answer)
                self.reads += 1
                if found["version"] < version:
                    self.problems.append(f"wrote version {version} of {deal} and read {found['version']}")
                return
            if status and status not in LATER:
                self.problems.append(f"reading {path} after writing it was answered {status}: {answer!r}")
                return
            time.sleep(PAUSE)
        self.problems.append(f"{path} was not to be read in {INSIST_SECONDS:g} s")
