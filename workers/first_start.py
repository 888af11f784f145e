"""What stands in a log before anybody has written to it: the default playbook, and on request a demonstration."""

from datetime import UTC, datetime

from domain.errors import Refusal
from domain.event import Actor
from domain.templates import TAS_PLUS
from infra.connection import LogConnection
from infra.event_store import read_head
from infra.executor import Executor
from infra.ids import new_id
from infra.requests import Request
from workers import demo

DEALTRACE = Actor("dealtrace", "system", "system")


def fill_empty_log(app_url: str, *, with_demo: bool = False) -> int:
    """Write the default playbook into an empty log, or the whole demonstration company.

    Returns how many events were written: 0 when the log had some already. One transaction, so an interrupted first
    start leaves the log empty.
    """
    log = LogConnection(app_url)
    try:
        if log.run(read_head).position > 0:
            return 0
        executor = Executor(log)
        if with_demo:
            return demo.load(executor, demo.monday(datetime.now(UTC)))
        (answer,) = executor.execute(
            [Request(commands=(TAS_PLUS,), actor=DEALTRACE, command_id=str(new_id()), origin="system")]
        )
        if isinstance(answer, Refusal):
            raise answer
        return answer.position
    finally:
        log.close()
