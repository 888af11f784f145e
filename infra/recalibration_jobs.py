"""Recalibrations that were asked for: a bounded queue in the database, and what is told about each of them."""

import hashlib
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Knowledge
from infra.ids import new_id

State = Literal["queued", "running", "done", "failed", "cancelled"]
OPEN: tuple[State, ...] = ("queued", "running")
MOST_OPEN = 8
"""How many may wait or run at once."""
_TURNSTILE = 0x72636C71  # "rclq": whoever adds to the queue holds it, so that nobody counts too few
RUNNING = 0x72636C72  # "rclr": whoever runs the jobs of this database holds it


class Job(msgspec.Struct, frozen=True):
    """A recalibration that was asked for, and how far it has come.

    `progress` runs from 0 to 1; `change` grows with each change; `attempt` counts how often it was begun. `reason`
    says why it failed. One that was run on the command line was asked for by nobody, and is done.
    """

    id: UUID
    funnel: str
    until: datetime
    state: State
    progress: float
    phase: str
    asked_by: str | None
    asked_as: str | None
    asked_at: datetime
    period: str | None
    seed: int
    replicates: int
    knowledge: Knowledge
    change: int
    attempt: int
    began_at: datetime | None
    ended_at: datetime | None
    reason: str | None

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in OPEN


class Wanted(msgspec.Struct, frozen=True):
    """What is asked for, and by whom."""

    funnel: str
    until: datetime
    period: str | None
    seed: int
    replicates: int
    asked_by: str
    asked_as: str
    knowledge: Knowledge = "source"


class Key(msgspec.Struct, frozen=True):
    """The key under which a request is remembered, and the digest of the request that may use it again."""

    key: str
    digest: bytes


class Queued(msgspec.Struct, frozen=True):
    """The job, and whether this very request had been answered with it before."""

    job: Job
    repeated: bool = False


class QueueIsFull(Exception):
    """As many jobs as may be wait or run already."""


class KeyReused(Exception):
    """The key was used with another request."""


_JOBS = """
SELECT id, funnel, until, state, round(progress::numeric, 4)::float8, phase, asked_by, asked_as, asked_at,
       period, seed, replicates, knowledge, change, attempt, began_at, ended_at, reason
FROM dealtrace.recalibration_jobs"""
_OF_RECORDS = """
SELECT id, funnel, until, 'done', 1::float8, 'Done', NULL, NULL, created_at,
       body::json ->> 'period', (body::json ->> 'seed')::bigint, (body::json ->> 'replicates')::int,
       coalesce(body::json -> 'answer' ->> 'knowledge', 'source'), 1::bigint, 1, NULL::timestamptz, created_at, NULL
FROM dealtrace.recalibration_records r"""
_NO_JOB = "NOT EXISTS (SELECT FROM dealtrace.recalibration_jobs j WHERE j.id = r.id)"
_PAGE = f"""
SELECT * FROM (
    ({_JOBS} WHERE (%(funnel)s::text IS NULL OR funnel = %(funnel)s) AND (%(state)s::text IS NULL OR state = %(state)s)
       AND (%(before)s::uuid IS NULL OR id < %(before)s) ORDER BY id DESC LIMIT %(limit)s)
    UNION ALL
    ({_OF_RECORDS} WHERE {_NO_JOB} AND (%(funnel)s::text IS NULL OR funnel = %(funnel)s)
       AND (%(state)s::text IS NULL OR %(state)s = 'done')
       AND (%(before)s::uuid IS NULL OR id < %(before)s) ORDER BY id DESC LIMIT %(limit)s)
) found ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 -- constants
_BY_STATE = """
SELECT state, count(*), coalesce(sum(extract(epoch FROM ended_at - began_at)), 0)::float8,
       greatest(extract(epoch FROM clock_timestamp() - min(CASE state WHEN 'queued' THEN asked_at
                                                                      WHEN 'running' THEN began_at END)), 0)::float8
FROM dealtrace.recalibration_jobs GROUP BY state"""
_REMEMBERED = (
    "SELECT request_digest, result FROM dealtrace.command_results WHERE (actor_id, command_id) = (%s, %s)"
)
_REMEMBER = """
INSERT INTO dealtrace.command_results (actor_id, command_id, request_digest, result, recorded_at)
VALUES (%s, %s, %s, %s, clock_timestamp())"""


def ask(conn: Connection[Any], wanted: Wanted, remember: Key | None = None) -> Queued:
    """Put a job into the queue, or find the one that the same request put there before.

    Raises QueueIsFull, KeyReused.
    """
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [_TURNSTILE])
        if remember is not None:
            secret = conn.execute("SELECT command_key FROM dealtrace.secrets").fetchall()[0][0]
            digest = hashlib.sha256(secret + remember.digest).digest()
            known = conn.execute(_REMEMBERED, [wanted.asked_by, remember.key]).fetchone()
            if known is not None:
                if known[0] != digest:
                    raise KeyReused
                return Queued(_one(conn, UUID(bytes=known[1])), repeated=True)
        waiting = conn.execute(
            "SELECT count(*) FROM dealtrace.recalibration_jobs WHERE state IN ('queued', 'running')"
        ).fetchall()[0][0]
        if waiting >= MOST_OPEN:
            raise QueueIsFull
        job = new_id()
        conn.execute(
            "INSERT INTO dealtrace.recalibration_jobs"
            " (id, funnel, until, period, seed, replicates, asked_by, asked_as, knowledge)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [job, *msgspec.structs.astuple(wanted)],
        )
        if remember is not None:
            conn.execute(_REMEMBER, [wanted.asked_by, remember.key, digest, job.bytes])
        return Queued(_one(conn, job))


def find_job(conn: Connection[Any], job: UUID) -> Job | None:
    """The job of that id, also one that was run on the command line; None without either."""
    for query in (_JOBS, _OF_RECORDS):
        row = conn.execute(f"{query} WHERE id = %s".encode(), [job]).fetchone()
        if row is not None:
            return Job(*row)
    return None


def jobs(
    conn: Connection[Any],
    *,
    funnel: str | None = None,
    state: State | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[Job]:
    """Jobs, the latest first, from behind the one that a page ended with."""
    asked = {"funnel": funnel, "state": state, "before": before, "limit": limit}
    return [Job(*row) for row in conn.execute(_PAGE.encode(), asked).fetchall()]


class InState(msgspec.Struct, frozen=True):
    """The jobs in one state. `seconds` is how long those took that began and are over, from beginning to end, in all;
    `oldest` is the age in seconds of the oldest of them that is not over, since it was asked for, or since it began
    when it runs.
    """

    state: State
    jobs: int = 0
    seconds: float = 0.0
    oldest: float = 0.0


def by_state(conn: Connection[Any]) -> list[InState]:
    """The jobs in every state there is, those without any too."""
    found = {state: InState(state, *rest) for state, *rest in conn.execute(_BY_STATE).fetchall()}
    return [found.get(state) or InState(state) for state in get_args(State)]


def cancel(conn: Connection[Any], job: UUID) -> bool:
    """Cancel a job that waits or runs; whether it did. Whoever runs it looks, and ends it."""
    return _end(conn, job, "cancelled", "Cancelled", None)


# --- For whoever runs them ----------------------------------------------------------------------------


def any_open(conn: Connection[Any]) -> bool:
    """Whether a job waits or runs."""
    query = "SELECT EXISTS (SELECT FROM dealtrace.recalibration_jobs WHERE state IN ('queued', 'running'))"
    return bool(conn.execute(query).fetchall()[0][0])


def take(conn: Connection[Any]) -> Job | None:
    """Begin the next job: first one that ran when its server was lost, then the one that waits longest.

    The caller holds the lock RUNNING.
    """
    row = conn.execute(
        "UPDATE dealtrace.recalibration_jobs SET state = 'running', change = change + 1, attempt = attempt + 1,"
        " phase = 'Starting', progress = 0, began_at = coalesce(began_at, clock_timestamp())"
        " WHERE state IN ('queued', 'running') AND id = (SELECT id FROM dealtrace.recalibration_jobs"
        " WHERE state IN ('queued', 'running') ORDER BY state = 'queued', id LIMIT 1 FOR UPDATE)"
        " RETURNING id"
    ).fetchone()
    return None if row is None else _one(conn, row[0])


def still_runs(conn: Connection[Any], job: UUID, attempt: int) -> bool:
    """Whether this attempt at the job is still wanted."""
    query = "SELECT EXISTS (SELECT FROM dealtrace.recalibration_jobs WHERE id = %s AND attempt = %s AND state = 'running')"
    return bool(conn.execute(query, [job, attempt]).fetchall()[0][0])


def tell(conn: Connection[Any], job: UUID, attempt: int, phase: str, progress: float) -> bool:
    """Say how far this attempt has come; whether it is still wanted."""
    return bool(
        conn.execute(
            "UPDATE dealtrace.recalibration_jobs SET change = change + 1, phase = %s, progress = %s"
            " WHERE id = %s AND attempt = %s AND state = 'running'",
            [phase, progress, job, attempt],
        ).rowcount
    )


def finish(conn: Connection[Any], job: UUID, attempt: int) -> bool:
    """Say that this attempt has made its record; whether it was still wanted."""
    return _end(conn, job, "done", "Done", None, attempt=attempt)


def fail(conn: Connection[Any], job: UUID, attempt: int, reason: str) -> bool:
    """Say that this attempt failed, and why; whether it was still wanted."""
    return _end(conn, job, "failed", "Failed", reason, attempt=attempt)


def put_back(conn: Connection[Any], job: UUID, attempt: int) -> None:
    """Put a job that runs back into the queue."""
    conn.execute(
        "UPDATE dealtrace.recalibration_jobs SET state = 'queued', change = change + 1,"
        " phase = 'Waiting for its turn', progress = 0 WHERE id = %s AND attempt = %s AND state = 'running'",
        [job, attempt],
    )


def crashed(conn: Connection[Any], job: UUID, attempt: int, most: int, reason: str) -> None:
    """Say that the job's process ended without a word: it is put back, unless that happened `most` times now."""
    (crashes,) = conn.execute(
        "UPDATE dealtrace.recalibration_jobs SET crashes = crashes + 1 WHERE id = %s RETURNING crashes", [job]
    ).fetchall()[0]
    if crashes < most:
        put_back(conn, job, attempt)
    else:
        fail(conn, job, attempt, reason)


def _end(
    conn: Connection[Any],
    job: UUID,
    state: State,
    phase: str,
    reason: str | None,
    *,
    attempt: int | None = None,
) -> bool:
    return bool(
        conn.execute(
            "UPDATE dealtrace.recalibration_jobs SET state = %(state)s, change = change + 1, phase = %(phase)s,"
            " progress = CASE WHEN %(state)s = 'done' THEN 1 ELSE progress END, reason = %(reason)s,"
            " ended_at = clock_timestamp() WHERE id = %(job)s AND CASE WHEN %(attempt)s::int IS NULL"
            " THEN state IN ('queued', 'running') ELSE state = 'running' AND attempt = %(attempt)s END",
            {"state": state, "phase": phase, "reason": reason, "job": job, "attempt": attempt},
        ).rowcount
    )


def _one(conn: Connection[Any], job: UUID) -> Job:
    return Job(*conn.execute(f"{_JOBS} WHERE id = %s".encode(), [job]).fetchall()[0])
