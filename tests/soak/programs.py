"""The program's processes: started, killed at failpoints, started again, and told to stop at the end."""

import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from api.cli.failure import INTERRUPTED
from infra.failpoints import VARIABLE
from tests.soak.forks import Fork, Forks
from tests.soak.schedule import Arm

LIVES = 40
"""A process that ended more often than this will never do."""
STOP_SECONDS = 90


class Program:
    """One process of the program over all its lives.

    A server is started again whenever it ends; any other process until it ended as it should.
    """

    def __init__(
        self,
        forks: Forks,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        said: Path,
        arms: Sequence[Arm],
    ) -> None:
        self.name, self.said = name, said
        self._serves = arguments[0] in ("serve", "projector")
        self._forks, self._arguments, self._environment = forks, arguments, dict(environment)
        self._arms = [arm for arm in arms if arm.whom == name]
        self._stopping = self._killed = False
        self._turn = threading.Lock()
        self.fired: list[Arm] = []
        self.codes: list[int] = []
        self._fork: Fork | None = None
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        """Begin the first life."""
        self._thread.start()

    def _live(self) -> None:
        for life in range(LIVES):
            arm = self._arms[life] if life < len(self._arms) else None
            plan = {VARIABLE: f"{arm.failpoint}=kill@{arm.nth}"} if arm else {}
            with self._turn:
                if self._stopping:  # between two lives
                    self.codes.append(0)
                    return
                self._killed = False
                self._fork = self._forks.start(self._arguments, {**self._environment, **plan}, self.said)
            code = self._fork.wait()
            self.codes.append(code)
            if arm is not None and code == -signal.SIGKILL and not self._killed:
                self.fired.append(arm)
            if self._stopping or (not self._serves and code == 0):
                return
            time.sleep(0.05)  # as whoever looks after it would wait

    @property
    def pid(self) -> int:
        """The present process; 0 for none."""
        return 0 if self._fork is None or self._fork.code is not None else self._fork.pid

    def signal(self, number: signal.Signals) -> None:
        """Send the present process a signal."""
        if self._fork is not None:
            self._fork.signal(number)

    def finish(self, seconds: float) -> bool:
        """Wait until it has done its work; whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive() and self.codes[-1] == 0

    def stop(self) -> str | None:
        """Let it stop as it should; what was wrong with that."""
        self._stop_after_this_life()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            self.end()
            return f"{self.name} did not stop in {STOP_SECONDS} s"
        if self.codes[-1] in (0, INTERRUPTED):  # the latter when it was only just beginning
            return None
        return f"{self.name} ended with code {self.codes[-1]}"

    def kill(self) -> None:
        """End its present life whatever it does."""
        self._killed = True
        self.signal(signal.SIGKILL)

    def end(self) -> None:
        """End it for good, whatever it does."""
        self._stop_after_this_life()
        if self._thread.is_alive():
            self.kill()
            self._thread.join(5)

    def _stop_after_this_life(self) -> None:
        with self._turn:
            self._stopping = True
