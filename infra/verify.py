"""Proof that the log is whole: dense positions, gapless streams, readable bytes, and the root over all leaves."""

from collections.abc import Callable
from datetime import UTC
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.log_root import LogRoot, leaf_hash, leaf_text
from infra.event_store import read_head
from infra.mapper import UnknownTopic, Unreadable, decode

_WINDOW = 10_000
_EVENTS = """
SELECT notification_id, originator_id, originator_version, topic, recorded_at, state
FROM dealtrace.events WHERE notification_id > %b AND notification_id <= %b
ORDER BY notification_id LIMIT %b"""
_STREAMS_WITH_GAPS = """
SELECT originator_id, count(*), max(originator_version) FROM dealtrace.events
WHERE notification_id <= %s GROUP BY 1 HAVING count(*) <> max(originator_version) ORDER BY 1 LIMIT 20"""


class Verification(msgspec.Struct, frozen=True):
    """What was found. `root` is the RFC 6962 tree head (hex) over the leaves of positions 1..`position`."""

    log_id: UUID
    epoch: int
    position: int
    root: str
    problems: tuple[str, ...] = ()


def log_root(
    conn: Connection[Any],
    until: int | None = None,
    *,
    progress: Callable[[int], None] = lambda _position: None,
) -> Verification:
    """Read the log from its first event to `until` (default: its head) and compute its root.

    Reports a gap in positions, `recorded_at` running backwards, and bytes that can not be read as problems.
    """
    head = read_head(conn)
    until = head.position if until is None else until
    epochs = conn.execute("SELECT epoch, after_position FROM dealtrace.epochs ORDER BY epoch").fetchall()
    root, problems, position, last_recorded_at = LogRoot(), [], 0, None
    with conn.cursor(binary=True) as cursor:
        while rows := cursor.execute(_EVENTS, [position, until, _WINDOW]).fetchall():
            for row in rows:
                found, stream_id, version, topic, recorded_at, state = row
                if found != position + 1:
                    problems.append(f"positions {position + 1} to {found - 1} are missing")
                if last_recorded_at is not None and recorded_at < last_recorded_at:
                    problems.append(f"recorded_at runs backwards at position {found}")
                try:
                    decode(*row)
                except (UnknownTopic, Unreadable) as error:
                    problems.append(str(error))
                position, last_recorded_at = found, recorded_at
                root.append(
                    leaf_hash(
                        leaf_text(
                            log_id=head.log_id,
                            epoch=max(e for e, after in epochs if after < position),
                            position=position,
                            stream_id=stream_id,
                            stream_version=version,
                            topic=topic,
                            recorded_at=recorded_at.astimezone(UTC),
                            state=state,
                        )
                    )
                )
            progress(position)
    if position != until:
        problems.append(f"the log ends at position {position}, not at {until}")
    return Verification(head.log_id, head.epoch, position, root.root().hex(), tuple(problems))


def verify_log(
    conn: Connection[Any], *, progress: Callable[[int], None] = lambda _position: None
) -> Verification:
    """`log_root` of the whole log, and that each stream's versions run from 1 without a gap."""
    found = log_root(conn, progress=progress)
    gaps = conn.execute(_STREAMS_WITH_GAPS, [found.position]).fetchall()
    problems = tuple(f"stream {s} has {n} events up to version {version}" for s, n, version in gaps)
    return msgspec.structs.replace(found, problems=found.problems + problems)
