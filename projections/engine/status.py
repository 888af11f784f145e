"""Where the projections stand, and waiting for them."""

import math
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from infra.event_store import read_head
from projections.engine.catalogue import chosen
from projections.engine.description import Projection

_STATUS = """
SELECT c.projection, c.version, c.generation, c.state, min(c.position), sum(c.applied)::bigint,
       sum(c.ignored)::bigint, sum(c.parked)::bigint, count(*), max(c.slices),
       (SELECT count(DISTINCT k.partition_key) FROM projection.parked k
        WHERE (k.projection, k.version, k.generation) = (c.projection, c.version, c.generation)),
       bool_and(c.applied + c.ignored + c.parked + c.elsewhere = c.position
                AND (c.slices > 1 OR c.elsewhere = 0)),
       max(c.position),
       (SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::float8 FROM dealtrace.events e
        WHERE e.notification_id = min(c.position) + 1),
       (SELECT coalesce(sum(g.events), 0)::bigint
        FROM projection.rebuilds r JOIN projection.rebuild_ranges g ON g.rebuild = r.id AND g.counts IS NOT NULL
        WHERE c.state = 'building' AND (r.targets -> c.projection ->> 'version')::int = c.version
          AND (r.targets -> c.projection ->> 'generation')::int = c.generation)
FROM projection.checkpoints c
WHERE c.state <> 'retired' AND (%s::text[] IS NULL OR c.projection = ANY(%s))
GROUP BY c.projection, c.version, c.generation, c.state
ORDER BY c.projection, c.version, c.generation"""

_FIRST_WAIT, _LONGEST_WAIT = 0.002, 0.05


class ProjectionStatus(msgspec.Struct, frozen=True):
    """One generation of one version of a projection.

    `state` is `building` (its tables are being filled), `ready` (they follow the log and answer nobody yet) or `live`
    (they answer whoever runs the release of that version). `percent` is how much of the log is in the tables. `lag` is in positions; `lag_seconds` is the age of the oldest event not applied yet, 0 when there is none.
    `complete` says that applied + ignored + parked = position: no event was skipped.
    """

    projection: str
    version: int
    generation: int
    state: str
    position: int
    log_position: int
    percent: float
    lag: int
    lag_seconds: float
    applied: int
    ignored: int
    parked_events: int
    parked_keys: int
    complete: bool


def status(conn: Connection[Any], projections: Sequence[Projection] | None = None) -> list[ProjectionStatus]:
    """The status of some projections (default: all in the database, of whatever release), by version and generation."""
    names = [p.name for p in projections] if projections else None
    found = conn.execute(_STATUS, [names, names]).fetchall()
    head = read_head(conn)  # after the checkpoints, so that no lag is negative
    return [_status(row, head.position) for row in found]


def _status(row: tuple[Any, ...], log_position: int) -> ProjectionStatus:
    (
        name,
        version,
        generation,
        state,
        position,
        applied,
        ignored,
        parked,
        count,
        slices,
        keys,
        sums,
        furthest,
        age,
        filled,
    ) = row
    done = max(position, filled)
    # The slices of one generation add up only where all stand at the same position.
    adds_up = position < furthest or applied + ignored + parked == position
    return ProjectionStatus(
        projection=name,
        version=version,
        generation=generation,
        state=state,
        position=position,
        log_position=log_position,
        percent=math.floor(1000 * done / log_position) / 10 if log_position else 100.0,
        lag=log_position - position,
        lag_seconds=round(max(age or 0.0, 0.0), 3),
        applied=applied,
        ignored=ignored,
        parked_events=parked,
        parked_keys=keys,
        complete=bool(sums and count == slices and adds_up),
    )


def wait_for(
    conn: Connection[Any], position: int, timeout: float, projections: Sequence[Projection] | None = None
) -> bool:
    """Wait until the projections reflect a position of the log, at most `timeout` seconds; whether they do.

    For reading one's own writes: a command answers with its position.
    """
    wanted = list(projections or chosen())
    names, versions = [p.name for p in wanted], [p.version for p in wanted]
    deadline, pause = time.monotonic() + timeout, _FIRST_WAIT
    while True:
        row = conn.execute(
            "SELECT count(DISTINCT projection), min(position) FROM projection.checkpoints WHERE state = 'live'"
            " AND (projection, version) IN (SELECT * FROM unnest(%s::text[], %s::int[]))",
            [names, versions],
        ).fetchone()
        if row and row[0] == len(wanted) and row[1] >= position:
            return True
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_WAIT)
