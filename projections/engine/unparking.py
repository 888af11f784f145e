"""Trying parked events again, in order, once their fold was mended."""

from typing import Any
from uuid import UUID

from psycopg import Connection

from infra.log_reader import read_at
from projections.engine.applying import write_what_can_be
from projections.engine.checkpoints import Checkpoint, Moves, checkpoints, lock, move
from projections.engine.description import Projection
from projections.engine.folding import fold_key
from projections.engine.parking import park, parked_positions, release
from projections.engine.partitions import slice_of
from projections.engine.records import load_heads


def unpark(conn: Connection[Any], projection: Projection, key: UUID | None = None) -> int:
    """Apply the parked events of the generation that answers, or is ready to, again, of one partition key or of all; how many went in.

    Events whose fold raises once more stay parked, with all behind them. Raises Moved when the projector was
    quicker; call again then.
    """
    return sum(
        _unpark(conn, projection, c, key)
        for c in checkpoints(conn, [projection], "live", "ready")
        if c.parked
    )


def _unpark(conn: Connection[Any], projection: Projection, checkpoint: Checkpoint, key: UUID | None) -> int:
    keys = [key] if key else _waiting(conn, projection, checkpoint.generation)
    applied = 0
    for one in keys:
        if slice_of(one, checkpoint.slices) != checkpoint.slice:
            continue
        with conn.transaction():
            lock(conn, checkpoint)
            moves = _unpark_key(conn, projection, checkpoint.generation, one)
            checkpoint = move(conn, checkpoint, checkpoint.position, moves)
        applied += moves.applied
    return applied


def _unpark_key(conn: Connection[Any], projection: Projection, generation: int, key: UUID) -> Moves:
    positions = parked_positions(conn, projection, generation, key)
    events = read_at(conn, positions)
    head, streams = load_heads(conn, projection, generation, [key]).get(key, (None, {}))
    folded = fold_key(projection, head, streams, events)
    still = write_what_can_be(conn, projection, generation, {key: folded}, {key: events})
    release(conn, projection, generation, positions)
    park(conn, projection, generation, still)
    freed = len(positions) - len(still)
    return Moves(applied=freed, parked=-freed)


def _waiting(conn: Connection[Any], projection: Projection, generation: int) -> list[UUID]:
    rows = conn.execute(
        "SELECT DISTINCT partition_key FROM projection.parked"
        " WHERE (projection, version, generation) = (%s, %s, %s) ORDER BY 1",
        [projection.name, projection.version, generation],
    ).fetchall()
    return [key for (key,) in rows]
