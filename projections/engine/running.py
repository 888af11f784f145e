"""Bringing the live tables up to the head of the log."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool

from infra import tracing
from infra.event_store import Head, read_head
from infra.log_reader import read_window
from infra.metrics import BATCH_SECONDS
from projections.engine.applying import Batch, apply_batch
from projections.engine.catalogue import chosen
from projections.engine.checkpoints import (
    Checkpoint,
    Moved,
    checkpoints,
    ensure,
    refuse_foreign,
    show_reached,
)
from projections.engine.connecting import connected
from projections.engine.description import Projection

BATCH_EVENTS = 2_000

Progress = Callable[[int, int], None]
"""Called with (the least position of all projections, the position to reach)."""


def run_to_head(
    where: str | ConnectionPool,
    *,
    until: int | None = None,
    progress: Progress | None = None,
    batch_events: int = BATCH_EVENTS,
    projections: Sequence[Projection] | None = None,
) -> int:
    """Bring all projections up to the head of the log, or to the position `until`; the position reached.

    Another projector at the same log does no harm. Raises ForeignLog, BrokenLog, UnknownTopic, Unreadable, Gap.
    """
    wanted = list(projections or chosen())
    with connected(where) as conn:
        ensure(conn, wanted)
        head = read_head(conn)
        target = head.position if until is None else min(until, head.position)
        while True:
            reached = step(conn, wanted, head, target, batch_events)
            if progress:
                progress(min(reached, target), target)
            if reached >= target:
                return reached


def step(
    conn: Connection[Any],
    wanted: Sequence[Projection],
    head: Head,
    target: int,
    batch_events: int = BATCH_EVENTS,
) -> int:
    """Apply one batch to the projections furthest behind, read and decoded once for all at the same position.

    Those that are nearly there get theirs first, so that nobody who answers waits for one that is being made.
    Answers the least position of all afterwards.
    """
    followed = checkpoints(conn, wanted, "live", "ready")
    if any(c.position > head.position for c in followed):
        head = read_head(conn)  # both moved on meanwhile: the log, and after it another projector
    for checkpoint in followed:
        refuse_foreign(checkpoint, head)
    behind = sorted((c for c in followed if c.position < target), key=lambda c: c.position)
    groups = [list(group) for _, group in groupby(behind, key=lambda c: c.position)]
    ends = [group[0].position for group in groups[1:]] + [target]
    for number, (group, end) in reversed(list(enumerate(zip(groups, ends, strict=False)))):
        if number == 0 or target - group[0].position <= batch_events:
            upto = min(group[0].position + batch_events, end)
            _apply_to(conn, wanted, group, upto)
            if upto == target:
                reached = {c.projection for c in group if c.state == "live"}
                show_reached(conn, [p for p in wanted if p.name in reached], head, target)
    return min((c.position for c in checkpoints(conn, wanted, "live", "ready")), default=target)


def _apply_to(
    conn: Connection[Any], wanted: Sequence[Projection], together: Sequence[Checkpoint], upto: int
) -> None:
    """One batch for projections that stand at the same position."""
    by_name, after = {p.name: p for p in wanted}, together[0].position
    began = time.perf_counter()
    batch = Batch(after, upto, read_window(conn, after, upto))
    for checkpoint in together:
        try:
            apply_batch(conn, by_name[checkpoint.projection], checkpoint, batch)
        except Moved:
            continue  # another projector was quicker: what it did counts, and the next step reads it
    BATCH_SECONDS.observe(time.perf_counter() - began)
    if tracing.is_on():
        tracing.projected(batch.events, [c.projection for c in together], began)
