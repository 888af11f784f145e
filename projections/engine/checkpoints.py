"""How far each generation of each projection has come, and on which log."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection

from infra.event_store import Head, read_head
from projections.engine.description import Projection
from projections.engine.tables import create_tables, index_statements, show, shown

State = Literal["building", "ready", "live", "retired"]
"""building: being filled; ready: follows the log and answers nobody; live: answers; retired: its tables are gone."""

_LOCK = 0x70726F6A  # "proj": any constant, the same in every release
_COLUMNS = (
    "projection, version, generation, slice, slices, position, applied, ignored, parked, elsewhere,"
    " log_id, epoch, state"
)


_MOVE = f"""
UPDATE projection.checkpoints SET position = %s, applied = applied + %s, ignored = ignored + %s,
    parked = parked + %s, elsewhere = elsewhere + %s, updated_at = clock_timestamp()
WHERE (projection, version, generation, slice) = (%s, %s, %s, %s) AND position = %s
RETURNING {_COLUMNS}"""  # noqa: S608 -- a constant


class ForeignLog(Exception):
    """A checkpoint belongs to another log, or to the log before it was restored."""


class Moved(Exception):
    """Another process moved the checkpoint meanwhile; read it again."""


class Retired(Exception):
    """The tables of this release's projections were dropped, because another release serves."""


class Checkpoint(msgspec.Struct, frozen=True):
    """One row of `projection.checkpoints`: applied + ignored + parked + elsewhere = position, always."""

    projection: str
    version: int
    generation: int
    slice: int
    slices: int
    position: int
    applied: int
    ignored: int
    parked: int
    elsewhere: int
    log_id: UUID
    epoch: int
    state: State


class Moves(msgspec.Struct, frozen=True):
    """What a batch adds to a checkpoint's counts."""

    applied: int = 0
    ignored: int = 0
    parked: int = 0
    elsewhere: int = 0


def ensure(conn: Connection[Any], projections: Iterable[Projection], slices: int = 1) -> None:
    """Give every projection of this release its tables and checkpoints, if it has none yet.

    Its views, and with them answers, come once it has caught up with the log for the first time: `show_reached`.
    A projection of which another version answers is left alone: `releasing.prepare` fills it beside that one.
    Raises Retired.
    """
    head = read_head(conn)
    wanted = list(projections)
    if lacking(conn, wanted):
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            for projection in lacking(conn, wanted):
                begin(conn, projection, head, slices)
    show_reached(conn, wanted, head, head.position)


def lacking(conn: Connection[Any], projections: Sequence[Projection]) -> list[Projection]:
    """Those projections that have nothing yet, and of which no other version answers. Raises Retired."""
    known = _states(conn)
    if gone := [p for p in projections if known.get((p.name, p.version)) == {"retired"}]:
        raise Retired(
            f"The tables of {', '.join(f'{p.name} v{p.version}' for p in gone)} were dropped by the release"
            " that serves."
        )
    served = {name for (name, _), states in known.items() if "live" in states}
    return [p for p in projections if (p.name, p.version) not in known and p.name not in served]


def begin(conn: Connection[Any], projection: Projection, head: Head, slices: int) -> None:
    """Make the projection's first tables, which are to answer once they have caught up."""
    create_tables(conn, projection, 1)
    for table in projection.tables:
        for statement in index_statements(projection, table, 1):
            conn.execute(statement)
    start(conn, projection, 1, "live", head, slices)


def show_reached(conn: Connection[Any], projections: Sequence[Projection], head: Head, target: int) -> None:
    """Let those projections answer that have none of their views yet and have reached the target on this log."""
    unseen = {p.name for p in projections} - shown(conn, projections)
    for projection in projections:
        if projection.name not in unseen:
            continue
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            live = checkpoints(conn, [projection], "live")
            ours = all((c.log_id, c.epoch) == (head.log_id, head.epoch) for c in live)
            if live and ours and min(c.position for c in live) >= target:
                show(conn, projection, live[0].generation)


def _states(conn: Connection[Any]) -> dict[tuple[str, int], set[str]]:
    found: dict[tuple[str, int], set[str]] = {}
    for name, version, state in conn.execute(
        "SELECT DISTINCT projection, version, state FROM projection.checkpoints"
    ).fetchall():
        found.setdefault((name, version), set()).add(state)
    return found


def start(
    conn: Connection[Any], projection: Projection, generation: int, state: State, head: Head, slices: int
) -> None:
    """Write the first checkpoints of a generation, at position 0, and the names of its tables."""
    conn.execute(
        "INSERT INTO projection.versions VALUES (%s, %s, %s)"
        " ON CONFLICT (projection, version) DO UPDATE SET tables = excluded.tables",
        [projection.name, projection.version, [table.name for table in projection.tables]],
    )
    conn.execute(
        "INSERT INTO projection.checkpoints (projection, version, generation, slice, slices, log_id, epoch, state)"
        " SELECT %s, %s, %s, s, %s, %s, %s, %s FROM generate_series(0, %s - 1) s",
        [projection.name, projection.version, generation, slices, head.log_id, head.epoch, state, slices],
    )


def checkpoints(
    conn: Connection[Any], projections: Iterable[Projection], *states: State, locked: bool = False
) -> list[Checkpoint]:
    """The checkpoints of some projections' versions in one of these states, by projection and slice.

    `locked` holds them for the rest of the transaction, as they are by then.
    """
    wanted = list(projections)
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM projection.checkpoints"  # noqa: S608 -- a constant
        " WHERE (projection, version) IN (SELECT * FROM unnest(%s::text[], %s::int[])) AND state = ANY(%s)"
        f" ORDER BY projection, generation, slice{' FOR UPDATE' if locked else ''}",
        [[p.name for p in wanted], [p.version for p in wanted], list(states)],
    ).fetchall()
    return [Checkpoint(*row) for row in rows]


def refuse_foreign(checkpoint: Checkpoint, head: Head) -> None:
    """Raise ForeignLog unless the checkpoint stands on this log in this epoch."""
    theirs, ours = (checkpoint.log_id, checkpoint.epoch), (head.log_id, head.epoch)
    if theirs != ours or checkpoint.position > head.position:
        raise ForeignLog(
            f"{checkpoint.projection} v{checkpoint.version} stands at position {checkpoint.position} of log"
            f" {theirs[0]}, epoch {theirs[1]}, but this is log {ours[0]}, epoch {ours[1]}, at position"
            f" {head.position}."
        )


def lock(conn: Connection[Any], checkpoint: Checkpoint) -> None:
    """Hold the checkpoint for the rest of the transaction. Raises Moved when it is not as it was read."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM projection.checkpoints"  # noqa: S608 -- a constant
        " WHERE (projection, version, generation, slice) = (%s, %s, %s, %s) FOR UPDATE",
        [checkpoint.projection, checkpoint.version, checkpoint.generation, checkpoint.slice],
    ).fetchone()
    if row is None or Checkpoint(*row) != checkpoint:
        raise Moved(
            f"{checkpoint.projection} slice {checkpoint.slice} is not at {checkpoint.position} any more"
        )


def move(conn: Connection[Any], checkpoint: Checkpoint, position: int, moves: Moves) -> Checkpoint:
    """Move the checkpoint on by compare-and-set. Raises Moved when somebody else was quicker."""
    row = conn.execute(
        _MOVE,
        [
            position, moves.applied, moves.ignored, moves.parked, moves.elsewhere,
            checkpoint.projection, checkpoint.version, checkpoint.generation, checkpoint.slice,
            checkpoint.position,
        ],
    ).fetchone()  # fmt: skip
    if row is None:
        raise Moved(
            f"{checkpoint.projection} slice {checkpoint.slice} is not at {checkpoint.position} any more"
        )
    return Checkpoint(*row)


def set_state(conn: Connection[Any], projection: Projection, before: str, after: str) -> None:
    """Move all checkpoints of a version from one state to another."""
    conn.execute(
        "UPDATE projection.checkpoints SET state = %s, updated_at = clock_timestamp()"
        " WHERE (projection, version, state) = (%s, %s, %s)",
        [after, projection.name, projection.version, before],
    )
