"""One recalibration as a job, in a process of its own: `main` is that process.

It learns from its stdin where the database is and which job to do, so that no secret stands on a command line, and
it ends with its stdin, so that it never outlives the server that started it.
"""

import logging
import os
import signal
import sys
import threading
import time
from contextlib import closing
from uuid import UUID

import msgspec
import psycopg

from domain.errors import Refusal
from domain.recalibration.folds import Unit
from infra import recalibration_jobs as jobs
from infra.event_store import read_head
from infra.sessions import Session
from projections.clocks import position_of
from workers.recalibration.reading import READ
from workers.recalibration.record import Record
from workers.recalibration.running import Asked, NothingKnown, run_recalibration

log = logging.getLogger("dealtrace.recalibration")

SAID, DATABASE_AWAY, NOT_WANTED = 0, 75, 76
"""How the process ends: what came of the job has been told; try again later; somebody cancelled it."""
TELL_SECONDS = 0.25
CATCH_UP_SECONDS = 600.0
"""How long a job waits for the projections to come to where the log stands when it begins."""
_BEGINS = {
    "Waiting for the projections": 0.0,
    "Reading histories": 0.02,
    "Reading the log": 0.05,
    "Fitting": 0.15,
}
"""The share of the whole that is done when a phase begins; it ends where the next one begins."""


class Order(msgspec.Struct, frozen=True):
    """What the process is told."""

    url: str
    job: UUID
    attempt: int


class NotWanted(Exception):
    """The job was cancelled, or somebody else has taken it up."""


class Behind(Exception):
    """The projections did not catch up with the log."""


def main() -> None:
    """Do the job that stdin names."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the server, which ends us
    os.nice(10)  # whoever waits for an answer of the server goes first
    logging.basicConfig(level=logging.WARNING)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    sys.exit(do(order))


def do(order: Order) -> int:
    """Do the job, keep its record and say so, all or nothing; how the process should end."""
    try:
        with closing(Session.open(order.url, "dealtrace recalibration")) as session:
            found = jobs.find_job(session, order.job)
            assert found is not None
            try:
                _recalibrate(session, order, found)
            except (Refusal, NothingKnown, Behind) as error:
                jobs.fail(session, order.job, order.attempt, f"{str(error).rstrip('.')}.")
            except (psycopg.OperationalError, NotWanted):
                raise
            except Exception as error:
                log.exception("the recalibration %s failed", order.job)
                jobs.fail(
                    session, order.job, order.attempt, f"Something unforeseen went wrong: {error!r:.300}"
                )
    except psycopg.OperationalError:
        log.warning("The database went away; the recalibration %s will be begun again.", order.job)
        return DATABASE_AWAY
    except NotWanted:
        return NOT_WANTED
    return SAID


def _recalibrate(session: Session, order: Order, job: jobs.Job) -> None:
    telling = _Telling(session, order)

    def keep(record: Record) -> None:
        """The record gets the id of the job. It is kept if and only if the job is done."""
        named = msgspec.structs.replace(
            record, answer=msgspec.structs.replace(record.answer, record=order.job)
        )
        with session.transaction():
            if not jobs.finish(session, order.job, order.attempt):
                raise NotWanted
            named.keep(session)

    _wait_for_the_projections(session, telling)
    unit = Unit(job.period) if job.period else None
    asked = Asked(job.funnel, job.until, unit, job.seed, job.replicates, job.knowledge)
    run_recalibration(order.url, asked, telling, keep)


def _wait_for_the_projections(session: Session, telling: "_Telling") -> None:
    """Wait until what was recorded before the job began is projected. Raises Behind."""
    head, give_up_at = read_head(session).position, time.monotonic() + CATCH_UP_SECONDS
    while (reached := _reflected(session)) < head:
        telling("Waiting for the projections", reached, head)
        if time.monotonic() > give_up_at:
            raise Behind(
                f"The projections have come to position {reached} of {head}: is the projector running?"
            )
        time.sleep(TELL_SECONDS)


def _reflected(session: Session) -> int:
    query = psycopg.sql.SQL("SELECT coalesce({}, 0)").format(position_of(*READ))
    return int(session.execute(query).fetchall()[0][0])


class _Telling:
    """Tells how far the job has come, now and then, and hears whether it is still wanted."""

    def __init__(self, session: Session, order: Order) -> None:
        self._session, self._order = session, order
        self._phase, self._progress, self._told_at = "", 0.0, 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        """So much of a phase is done. Raises NotWanted."""
        now = time.monotonic()
        if phase == self._phase and now < self._told_at + TELL_SECONDS:
            return
        self._phase, self._told_at = phase, now
        self._progress = max(self._progress, _share(phase, done, total))
        if not jobs.tell(self._session, self._order.job, self._order.attempt, phase, self._progress):
            raise NotWanted


def _share(phase: str, done: int, total: int) -> float:
    """How much of the whole is done; 0 of a phase that nobody has weighed, which moves nothing back."""
    if phase not in _BEGINS:
        return 0.0
    begin = _BEGINS[phase]
    end = min((share for share in _BEGINS.values() if share > begin), default=1.0)
    return begin + (end - begin) * min(done / total, 1.0) if total else begin


def _end_with_the_server() -> None:
    while os.read(0, 1):
        pass
    os._exit(DATABASE_AWAY)
