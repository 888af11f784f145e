"""Events that wait: a fold that raises parks its partition key, and nothing else."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Recorded
from projections.engine.description import Projection


def parked_keys(
    conn: Connection[Any], projection: Projection, generation: int, keys: Sequence[UUID]
) -> set[UUID]:
    """Which of the keys wait already."""
    rows = conn.execute(
        "SELECT DISTINCT partition_key FROM projection.parked"
        " WHERE (projection, version, generation) = (%s, %s, %s) AND partition_key = ANY(%b)",
        [projection.name, projection.version, generation, list(keys)],
    ).fetchall()
    return {key for (key,) in rows}


def park(
    conn: Connection[Any],
    projection: Projection,
    generation: int,
    events: Sequence[tuple[Recorded, str | None]],
) -> None:
    """Let events wait; each with the error of its fold, or None when it only stands behind another."""
    if not events:
        return
    conn.execute(
        "INSERT INTO projection.parked"
        " (projection, version, generation, partition_key, position, stream_id, stream_version, error)"
        " SELECT %s, %s, %s, e.* FROM unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::bigint[], %s::text[]) e",
        [
            projection.name,
            projection.version,
            generation,
            [e.meta.partition_key for e, _ in events],
            [e.position for e, _ in events],
            [e.stream_id for e, _ in events],
            [e.version for e, _ in events],
            [error and error.replace("\x00", "")[:2000] for _, error in events],
        ],
    )


class ParkedKey(msgspec.Struct, frozen=True):
    """A partition key (a deal, mostly) whose events wait, from the position `since` on, where a fold raised `error`."""

    projection: str
    key: UUID
    events: int
    since: int
    error: str | None


_PARKED = """
SELECT k.projection, k.partition_key, count(*), min(k.position), (array_agg(k.error ORDER BY k.position))[1]
FROM projection.parked k
WHERE EXISTS (SELECT FROM projection.checkpoints c WHERE c.state IN ('live', 'ready')
                AND (c.projection, c.version, c.generation) = (k.projection, k.version, k.generation))
  AND (k.projection, k.version) IN (SELECT * FROM unnest(%s::text[], %s::int[]))
GROUP BY k.projection, k.partition_key
ORDER BY k.projection, min(k.position)"""


def parked(conn: Connection[Any], projections: Sequence[Projection]) -> list[ParkedKey]:
    """All keys that wait in the tables of these projections that answer, or are ready to."""
    named = [[p.name for p in projections], [p.version for p in projections]]
    return [ParkedKey(*row) for row in conn.execute(_PARKED, named).fetchall()]


def parked_positions(conn: Connection[Any], projection: Projection, generation: int, key: UUID) -> list[int]:
    """The positions that wait under a key, in order."""
    rows = conn.execute(
        "SELECT position FROM projection.parked"
        " WHERE (projection, version, generation, partition_key) = (%s, %s, %s, %s) ORDER BY position",
        [projection.name, projection.version, generation, key],
    ).fetchall()
    return [position for (position,) in rows]


def release(conn: Connection[Any], projection: Projection, generation: int, positions: list[int]) -> None:
    """Forget that these positions waited."""
    conn.execute(
        "DELETE FROM projection.parked"
        " WHERE (projection, version, generation) = (%s, %s, %s) AND position = ANY(%s)",
        [projection.name, projection.version, generation, positions],
    )
