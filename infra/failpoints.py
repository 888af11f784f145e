"""Named places where a test may end or stop this process, or cut its connection. Without the variable: nothing.

`DEALTRACE_FAILPOINTS="append.before_commit=kill@3"` kills the process the third time it gets there; `stop` lets
it hang there until it is told to go on, `cut` closes the connection, as a network would.
"""

import os
import signal
from typing import Any

VARIABLE = "DEALTRACE_FAILPOINTS"


def _parse(text: str) -> dict[str, tuple[str, int]]:
    plans = {}
    for item in filter(None, text.split(",")):
        name, _, plan = item.partition("=")
        action, _, nth = plan.partition("@")
        if action not in ("kill", "stop", "cut"):
            raise ValueError(f"{VARIABLE}: {item!r} is not NAME=kill, =stop or =cut, with @N for the N-th time")
        plans[name] = (action, int(nth or 1))
    return plans


_plans = _parse(os.environ.get(VARIABLE, ""))
_reached: dict[str, int] = {}


def failpoint(name: str, connection: Any = None) -> None:
    """Do what the environment plans for this place, if anything."""
    if name not in _plans:
        return
    action, nth = _plans[name]
    _reached[name] = _reached.get(name, 0) + 1
    if _reached[name] == nth:
        if action == "cut":
            connection.pgconn.finish()
        else:
            os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
