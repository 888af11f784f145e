"""The projector: keeps every projection at the head of the log, as long as it runs."""

import logging
import random
import time
from collections.abc import Sequence
from threading import Event as Flag
from threading import Thread
from typing import Any

import psycopg
from psycopg import Connection

from infra.command_results import MOST_AT_ONCE, forget_old_results
from infra.event_store import CHANNEL, read_head
from infra.metrics import BATCH_FAILURES
from infra.sessions import Session
from projections.engine.catalogue import chosen
from projections.engine.checkpoints import ensure
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.running import BATCH_EVENTS, step
from workers.releaser import fill_beside

log = logging.getLogger("dealtrace.projector")

POLL_SECONDS = 0.5
FORGET_SECONDS = 60.0
"""How often results of commands that are too old are looked for."""
FIRST_BACKOFF, LONGEST_BACKOFF = 0.1, 5.0


class Projector:
    """Applies what the log gains. NOTIFY wakes it early; the poll is what it relies on.

    A second projector on the same log does no harm: whoever moves a checkpoint first wins, the other reads on from
    there. Versions that this release brings beside those of another one are filled in a thread of their own, with
    `switches` they answer as soon as they are.
    """

    def __init__(
        self,
        app_url: str,
        *,
        projections: Sequence[Projection] | None = None,
        batch_events: int = BATCH_EVENTS,
        switches: bool = False,
    ) -> None:
        self._app_url = app_url
        self._switches = switches
        self._projections = list(projections or chosen())
        self._batch_events = batch_events
        self._forget_at = 0.0

    def run(self, stop: Flag) -> None:
        """Work until `stop` is set. Comes back by itself after the server was restarted.

        Anything else that goes wrong (an unknown topic, a gap, a foreign log) is logged and tried again with growing
        pauses, since only an operator can mend it; no event is skipped meanwhile, and `lag` says so.
        """
        filling = Thread(
            target=fill_beside,
            args=[self._app_url, stop],
            kwargs={"then_switch": self._switches, "projections": self._projections},
            name="filling",
        )
        filling.start()
        self._follow(stop)
        filling.join()

    def _follow(self, stop: Flag) -> None:
        pause = FIRST_BACKOFF
        while not stop.is_set():
            try:
                with connect(self._app_url) as conn:
                    self._prepare(conn)
                    while not stop.is_set():
                        if self._step(conn):
                            pause = FIRST_BACKOFF
                        else:
                            _wait(conn)
                        self._forget(conn)
            except psycopg.OperationalError as error:
                log.warning(
                    "The database is away; trying again in about %.1f s: %s", pause, _first_line(error)
                )
            except Exception:
                log.exception("The projections stand still; trying again in about %.1f s.", pause)
            else:
                return
            BATCH_FAILURES.inc()
            stop.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- spreads reconnects, nothing more
            pause = min(2 * pause, LONGEST_BACKOFF)

    def _prepare(self, conn: Session) -> None:
        ensure(conn, self._projections)
        if not conn.pooled:  # there somebody else would hear it
            conn.execute(f"LISTEN {CHANNEL}")
        log.info("Projecting %s.", ", ".join(p.name for p in self._projections))

    def _step(self, conn: Connection[Any]) -> bool:
        """Apply one batch; whether there was anything to apply."""
        head = read_head(conn)
        before = step(conn, self._projections, head, head.position, self._batch_events)
        return before < head.position

    def _forget(self, conn: Connection[Any]) -> None:
        """Forget some results of commands that are too old, now and then; at once again while there are more."""
        now = time.monotonic()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS  # also when it fails: the projections come first
            if forget_old_results(conn) == MOST_AT_ONCE:
                self._forget_at = now


def _wait(conn: Connection[Any]) -> None:
    for _ in conn.notifies(timeout=POLL_SECONDS, stop_after=1):
        pass


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
