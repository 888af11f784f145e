"""Processes of the program, each a fork of one that has imported everything.

Starting the interpreter anew for each life of each process would cost more than all the rest of a run. When whoever
asked for the forks is gone, so are they.
"""

import faulthandler
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from infra import failpoints

ROOT = Path(__file__).parents[2]
READY = b"ready\n"


class Fork:
    """One process, from its beginning to its end."""

    def __init__(self) -> None:
        self.pid = 0
        self.code: int | None = None
        self._begun, self._ended = threading.Event(), threading.Event()

    def wait(self) -> int:
        """The exit code, when it has ended; negative for a signal."""
        self._ended.wait()
        assert self.code is not None
        return self.code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        self._begun.wait()
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Forks:
    """Who asks for them."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.forks"],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a process with threads should not fork
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._parent.stdout is not None
        if self._parent.stdout.readline() != READY:
            raise RuntimeError("the process that forks others did not begin")
        self._forks: list[Fork] = []
        self._turn = threading.Lock()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], said: Path) -> Fork:
        """`dealtrace ARGUMENTS` with these settings; what it says is added to a file."""
        assert self._parent.stdin is not None
        with self._turn:
            fork = Fork()
            self._forks.append(fork)
            order = [len(self._forks) - 1, list(arguments), dict(environment), str(said)]
            self._parent.stdin.write(json.dumps(order).encode() + b"\n")
            self._parent.stdin.flush()
        return fork

    def close(self) -> None:
        """End them all."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait()
        self._listening.join()
        self._parent.stdout.close()

    def _listen(self) -> None:
        assert self._parent.stdout is not None
        for line in self._parent.stdout:
            what, number, value = json.loads(line)
            fork = self._forks[number]
            if what == "begun":
                fork.pid = value
                fork._begun.set()
            else:
                fork.code = value
                fork._ended.set()
        for fork in self._forks:  # nobody will say what became of them
            if fork.code is None:
                fork.code = -signal.SIGKILL
                fork._begun.set()
                fork._ended.set()


class _Parent:
    """The process that forks."""

    def __init__(self) -> None:
        self._children: dict[int, int] = {}
        self._wake, self._wakes = socket.socketpair()
        self._wake.setblocking(False)
        self._wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno())

    def serve(self) -> None:
        """Do what comes on stdin until it ends; say on stdout what becomes of it."""
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        orders = b""
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._wake:
                    self._wake.recv(4096)
                    self._reap()
                    continue
                if not (read := os.read(0, 65536)):
                    return self._end()
                *whole, orders = (orders + read).split(b"\n")
                for order in whole:
                    self._fork(*json.loads(order))

    def _fork(self, number: int, arguments: list[str], environment: dict[str, str], said: str) -> None:
        pid = os.fork()
        if pid == 0:
            _become(arguments, environment, said)
        self._children[pid] = number
        self._say("begun", number, pid)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._say("ended", self._children.pop(ended[0]), os.waitstatus_to_exitcode(ended[1]))

    def _end(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _say(what: str, number: int, value: int) -> None:
        os.write(1, json.dumps([what, number, value]).encode() + b"\n")


def _become(arguments: list[str], environment: dict[str, str], said: str) -> Any:
    """Be the program, and nothing else, for the rest of this process's life."""
    from api.cli.program import run_program

    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        streams = [
            os.open("/dev/null", os.O_RDONLY),
            *[os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)] * 2,
        ]
        for stream, file in enumerate(streams):
            os.dup2(file, stream)
        faulthandler.register(signal.SIGUSR1, 2)  # for `witness`
        os.environ.update(environment)
        failpoints._plans.update(failpoints._parse(environment.get(failpoints.VARIABLE, "")))
        code = run_program(arguments)
    except SystemExit as asked:
        code = int(asked.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _warm_up() -> None:
    """Everything imported, and made that is kept once made."""
    from api.app import document
    from api.cli.program import run_program

    with redirect_stdout(StringIO()):
        run_program(["--version"])
    document()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until a process can answer it


if __name__ == "__main__":
    _warm_up()
    os.write(1, READY)
    _Parent().serve()
