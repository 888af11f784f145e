"""Whoever serves the API also runs the recalibrations that were asked for: one at a time in each database."""

import logging
import subprocess
import sys
import threading
from contextlib import closing, suppress

import msgspec
import psycopg

from domain.stream import rfc3339
from infra import recalibration_jobs as jobs
from infra.sessions import Session, alone
from workers.recalibration.job import DATABASE_AWAY, NOT_WANTED, SAID, Order

log = logging.getLogger("dealtrace.recalibration")

POLL_SECONDS = 1.0
"""How often the queue is looked at; who puts something there wakes the keeper of its own server."""
WATCH_SECONDS = 0.25
"""How often it is looked whether the job that runs was cancelled."""
PAUSE_SECONDS = 5.0
"""After something went wrong."""
MOST_CRASHES = 3
_JOB = (sys.executable, "-c", "from workers.recalibration.job import main; main()")


class Keeper:
    """A thread that takes up one job after the other, each in a process of its own.

    Of several servers on one database one runs jobs and the others stand by: a lock says which. When a server is lost,
    so is its lock, and the next one begins again what was running; of two attempts at a job only the later one can
    keep a record.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._news = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="recalibrations", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at once: something was put into the queue, or cancelled."""
        self._news.set()

    def close(self) -> None:
        """Take up nothing more, and put what runs back into the queue."""
        self._closing = True
        self._news.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing:
            try:
                with closing(Session.open(self._url, "dealtrace recalibrations")) as session:
                    while not self._closing:
                        if jobs.any_open(session):
                            self._take_up(session)
                        self._wait(POLL_SECONDS)
            except psycopg.OperationalError as error:
                log.warning(
                    "The queue of recalibrations can not be read, trying again: %s", _first_line(error)
                )
            except Exception:
                log.exception("The queue of recalibrations stands still, trying again.")
            self._wait(PAUSE_SECONDS)

    def _take_up(self, session: Session) -> None:
        with alone(self._url, jobs.RUNNING) as mine:
            while mine and not self._closing and (job := jobs.take(session)) is not None:
                log.info("Recalibrating %s up to %s: %s.", job.funnel, rfc3339(job.until), job.id)
                if not self._run(session, job):
                    return

    def _run(self, session: Session, job: jobs.Job) -> bool:
        """Run the job to its end; False when something is wrong that will not be better at once."""
        ended = self._ended(session, job)
        if ended in (SAID, NOT_WANTED):
            return True
        if ended is None:
            jobs.put_back(session, job.id, job.attempt)
        elif ended != DATABASE_AWAY:
            log.error("The process of the recalibration %s ended with %d.", job.id, ended)
            jobs.crashed(session, job.id, job.attempt, MOST_CRASHES, f"Its process ended with {ended}.")
        return False

    def _ended(self, session: Session, job: jobs.Job) -> int | None:
        """How the job's process ended, NOT_WANTED when it was cancelled meanwhile; None: we are closing.

        Whatever happens, no process is left.
        """
        process = subprocess.Popen(_JOB, stdin=subprocess.PIPE, bufsize=0)  # noqa: S603 -- our own program
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # how it ended says more
                process.stdin.write(msgspec.json.encode(Order(self._url, job.id, job.attempt)) + b"\n")
            while process.poll() is None:
                if self._closing:
                    return None
                if not jobs.still_runs(session, job.id, job.attempt):
                    return NOT_WANTED
                self._wait(WATCH_SECONDS)
            return process.returncode
        finally:
            process.kill()
            process.stdin.close()
            process.wait()

    def _wait(self, seconds: float) -> None:
        if not self._closing:
            self._news.wait(seconds)
            self._news.clear()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
