"""Proving that the log is the one that records were made from, in a process of its own: hashing a long log is work."""

import os
import subprocess
import sys
import threading
from contextlib import suppress

import msgspec
import psycopg

from domain.errors import EvidenceStale, Overloaded
from infra.snapshot import one_snapshot
from workers.recalibration.adopting import prove, stale
from workers.recalibration.record import LogPoint

_HOLDS, _STALE, _DATABASE_AWAY = 0, 3, 75
_PROOF = (sys.executable, "-c", "from workers.recalibration.proof import main; main()")
_MOST_WAITING = 4


class _Order(msgspec.Struct, frozen=True):
    url: str
    points: tuple[LogPoint, ...]


class Proofs:
    """Proves one thing after the other, for several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._one_at_a_time = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST_WAITING)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Break off what is being proven, so that the server can stop."""
        self._stopped = True
        if (process := self._process) is not None:
            process.kill()

    def prove(self, points: tuple[LogPoint, ...]) -> None:
        """Raises EvidenceStale, Overloaded, psycopg.OperationalError."""
        if not self._room.acquire(blocking=False):
            raise Overloaded("Too many proofs wait already.", accepted="the same command in a second")
        try:
            with self._one_at_a_time:
                ended = self._ended(msgspec.json.encode(_Order(self._url, points)) + b"\n")
        finally:
            self._room.release()
        if ended == _STALE:
            raise stale(points)
        if ended == _DATABASE_AWAY:
            raise psycopg.OperationalError("the database went away while the log was read")
        if ended != _HOLDS and self._stopped:
            raise Overloaded("The server is stopping.", accepted="the same command in a second")
        if ended != _HOLDS:
            raise RuntimeError(f"the proof of the log ended with {ended}")

    def _ended(self, order: bytes) -> int:
        with subprocess.Popen(_PROOF, stdin=subprocess.PIPE, bufsize=0) as process:  # noqa: S603 -- our own program
            self._process = process
            if self._stopped:
                process.kill()
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # how it ended says more
                process.stdin.write(order)
            ended = process.wait()  # its stdin stays open meanwhile: it ends with us
            self._process = None
            return ended


def main() -> None:
    """Prove what stdin names; the exit code says what came of it."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Order)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        with one_snapshot(order.url, "dealtrace proof") as conn:
            prove(conn, order.points)
    except EvidenceStale:
        sys.exit(_STALE)
    except psycopg.OperationalError:
        sys.exit(_DATABASE_AWAY)


def _end_with_the_server() -> None:
    while os.read(0, 1):
        pass
    os._exit(_DATABASE_AWAY)
