"""One batch of events into one projection's tables, in one transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Recorded
from infra.failpoints import failpoint
from projections.engine.apart import Late, is_of_the_rows, late_of, write_apart
from projections.engine.checkpoints import Checkpoint, Moves, lock, move
from projections.engine.description import Projection
from projections.engine.folding import Folded, Gap, Rows, by_key, fold_key
from projections.engine.parking import park, parked_keys
from projections.engine.partitions import slice_of
from projections.engine.records import Heads, load_heads, write_heads, write_rows
from projections.engine.uncollected import uncollected


class Batch(msgspec.Struct, frozen=True):
    """All events of some slice (or of all) at the positions after `after` up to `upto`, in order of position."""

    after: int
    upto: int
    events: Sequence[Recorded]


class _Unwritable(Exception):
    """The rows of some key can not be written; nothing of the batch was."""


def apply_batch(
    conn: Connection[Any], projection: Projection, checkpoint: Checkpoint, batch: Batch
) -> Checkpoint:
    """Fold the batch onto the checkpoint's generation and move the checkpoint; all of it or nothing.

    The batch may begin before the checkpoint: what was applied already is dropped. Events of other slices may be in
    it or not. Raises Gap when it begins after the checkpoint, or its events are out of order; Moved when another
    process moved the checkpoint meanwhile.
    """
    if batch.after > checkpoint.position:
        raise Gap(
            f"{projection.name} stands at {checkpoint.position}, and the batch begins after {batch.after}"
        )
    if batch.upto <= checkpoint.position:
        return checkpoint
    try:
        return _apply_whole(conn, projection, checkpoint, batch)
    except _Unwritable:
        return _apply_whole(conn, projection, checkpoint, batch, apart=True)


def _apply_whole(
    conn: Connection[Any],
    projection: Projection,
    checkpoint: Checkpoint,
    batch: Batch,
    *,
    apart: bool = False,
) -> Checkpoint:
    """One transaction; `apart` with savepoints, which find the keys whose rows can not be written."""
    with uncollected(), conn.transaction():
        # A projection can be made again from the log, and the checkpoint is lost with the rows: no need to wait for
        # the disk.
        conn.execute("SET LOCAL synchronous_commit = off")
        lock(conn, checkpoint)
        moves = _apply(conn, projection, checkpoint, _own_events(checkpoint, batch), batch.upto, apart)
        moved = move(conn, checkpoint, batch.upto, moves)
        failpoint("projection.before_commit", conn)
    failpoint("projection.after_commit", conn)
    return moved


def _own_events(checkpoint: Checkpoint, batch: Batch) -> list[Recorded]:
    """The slice's events after the checkpoint, each once."""
    own: dict[int, Recorded] = {}
    last, slices = checkpoint.position, checkpoint.slices
    for event in batch.events:
        position = event.position
        if slices > 1 and slice_of(event.meta.partition_key, slices) != checkpoint.slice:
            continue
        if position > last:
            own[position] = event
            last = position
        elif position > checkpoint.position and position not in own:
            raise Gap(f"position {position} comes after {last}")
    if last > batch.upto:
        raise Gap(f"position {last} lies beyond the batch, which ends at {batch.upto}")
    if slices == 1 and len(own) != batch.upto - checkpoint.position:
        raise Gap(f"{len(own)} events at positions {checkpoint.position + 1} to {batch.upto}")
    return list(own.values())


def _apply(
    conn: Connection[Any],
    projection: Projection,
    checkpoint: Checkpoint,
    own: list[Recorded],
    upto: int,
    apart: bool,
) -> Moves:
    generation = checkpoint.generation
    handled = [e for e in own if e.topic in projection.topics]
    groups = by_key(handled)
    waiting = parked_keys(conn, projection, generation, list(groups)) if checkpoint.parked else set()
    heads = load_heads(conn, projection, generation, [k for k in groups if k not in waiting])
    folded: dict[UUID, Folded] = {}
    late: Late = []
    for key, events in groups.items():
        if key in waiting:
            late.extend((event, None) for event in events)
            continue
        head, streams = heads.get(key, (None, {}))
        folded[key] = fold_key(projection, head, streams, events)
    if apart:
        late += write_what_can_be(conn, projection, generation, folded, groups)
    else:
        try:
            write(conn, projection, generation, folded)
        except Exception as error:
            if is_of_the_rows(error):
                raise _Unwritable from error
            raise
        late += [one for result in folded.values() if result.parked for one in late_of(result)]
    park(conn, projection, generation, late)
    applied = len(handled) - len(late)
    return Moves(
        applied=applied,
        ignored=len(own) - len(handled),
        parked=len(late),
        elsewhere=upto - checkpoint.position - len(own),
    )


def write_what_can_be(
    conn: Connection[Any],
    projection: Projection,
    generation: int,
    folded: dict[UUID, Folded],
    events: Mapping[UUID, Sequence[Recorded]],
) -> Late:
    """Write the folds of some keys onto what they hold already; what of their events is to park."""

    def refold(key: UUID, fewer: Sequence[Recorded]) -> Folded:
        head, streams = load_heads(conn, projection, generation, [key]).get(key, (None, {}))
        return fold_key(projection, head, streams, fewer)

    return write_apart(conn, folded, events, refold, lambda part: write(conn, projection, generation, part))


def write(conn: Connection[Any], projection: Projection, generation: int, folded: dict[UUID, Folded]) -> None:
    """Write what the folds of some keys made, one statement for each table."""
    rows = Rows(projection)
    heads: Heads = {}
    for key, result in folded.items():
        rows.add(result.written)
        if result.applied:
            heads[key] = (result.head, result.streams)
    write_heads(conn, projection, generation, heads)
    write_rows(conn, projection, generation, rows)
