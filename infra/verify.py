"""Proof that the log is whole: dense positions, gapless streams, readable bytes, and the root over all leaves."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Recorded
from domain.log_root import LogRoot, leaf_hash, leaf_text
from infra.event_store import Head, read_head
from infra.mapper import UnknownTopic, Unreadable, decode
from infra.verify_contents import changed_texts, ids_used_twice, misplaced

SHOWN = 20
"""At most so many problems of one kind are named."""
_WINDOW = 1_000
"""So few that they are still in the processor's caches when they are looked at."""
_EVENTS = """
SELECT notification_id, originator_id, originator_version, topic, recorded_at, state
FROM dealtrace.events WHERE notification_id > %b AND notification_id <= %b
ORDER BY notification_id LIMIT %b"""
_WRONG_VERSIONS = f"""
SELECT notification_id, originator_id, originator_version, number FROM (
    SELECT notification_id, originator_id, originator_version,
           row_number() OVER (PARTITION BY originator_id ORDER BY notification_id) AS number
    FROM dealtrace.events WHERE notification_id <= %s) e
WHERE originator_version <> number ORDER BY notification_id LIMIT {SHOWN}"""  # noqa: S608 -- a constant
_BEYOND = "SELECT count(*), min(notification_id) FROM dealtrace.events WHERE notification_id > %s"

Progress = Callable[[int], None]
"""Called with the position reached."""


class Expected(NamedTuple):
    """A log root (hex) that somebody noted earlier, and the position it was noted at."""

    root: str
    position: int


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
    expected: Sequence[Expected] = (),
    progress: Progress = lambda _position: None,
) -> Verification:
    """Read the log from its first event to `until` (default: its head) and compute its root.

    Reports as problems a gap in positions, `recorded_at` running backwards, bytes that can not be read, a partition
    key that is not the stream's, a text in the vault that is not the sealed one, and a root other than the one that
    was expected at its position.
    """
    head = read_head(conn)
    until = head.position if until is None else until
    epoch_of = _epoch_of(conn)
    wanted: dict[int, set[str]] = {}
    for one in expected:
        wanted.setdefault(one.position, set()).add(one.root)
    problems: list[str] = []
    root, position, last_recorded_at = LogRoot(), 0, None
    _compare(root, wanted.pop(0, set()), 0, problems)
    with conn.cursor(binary=True) as cursor:
        while rows := cursor.execute(_EVENTS, [position, until, _WINDOW]).fetchall():
            events: list[Recorded] = []
            for row in rows:
                found, stream_id, version, topic, recorded_at, state = row
                if found != position + 1:
                    problems.append(f"positions {position + 1} to {found - 1} are missing")
                if last_recorded_at is not None and recorded_at < last_recorded_at:
                    problems.append(f"recorded_at runs backwards at position {found}")
                try:
                    events.append(decode(*row))
                except (UnknownTopic, Unreadable) as error:
                    problems.append(str(error))
                position, last_recorded_at = found, recorded_at
                leaf = leaf_text(
                    log_id=head.log_id,
                    epoch=epoch_of(position),
                    position=position,
                    stream_id=stream_id,
                    stream_version=version,
                    topic=topic,
                    recorded_at=recorded_at,
                    state=state,
                )
                root.append(leaf_hash(leaf))
                if position in wanted:
                    _compare(root, wanted.pop(position), position, problems)
            problems.extend(filter(None, map(misplaced, events)))
            problems.extend(changed_texts(conn, events))
            progress(position)
    if position != until:
        problems.append(f"the log ends at position {position}, not at {until}")
    problems.extend(f"there is no position {p} to compare a root at" for p in sorted(wanted))
    return Verification(head.log_id, head.epoch, position, root.root().hex(), tuple(problems))


def verify_log(
    conn: Connection[Any],
    until: int | None = None,
    *,
    expected: Sequence[Expected] = (),
    progress: Progress = lambda _position: None,
) -> Verification:
    """`log_root`, and that each stream's versions run from 1 in the order of positions, that nothing stands beyond the
    head, that the epochs fit, and that no event id is used twice. To be called in one snapshot.
    """
    found = log_root(conn, until, expected=expected, progress=progress)
    problems = [
        f"position {position} has version {version} of stream {stream}, of which it is event {number}"
        for position, stream, version, number in conn.execute(_WRONG_VERSIONS, [found.position]).fetchall()
    ]
    problems += _around_the_head(conn, read_head(conn))
    if not found.problems:
        problems += ids_used_twice(conn, found.position, SHOWN)
    return msgspec.structs.replace(found, problems=(*found.problems, *problems))


def _epoch_of(conn: Connection[Any]) -> Callable[[int], int]:
    """From a position to the epoch in which it was appended; 0 before all of them."""
    epochs = conn.execute("SELECT after_position, epoch FROM dealtrace.epochs ORDER BY 1").fetchall()
    begins, highest = [after for after, _ in epochs], [0, *accumulate((epoch for _, epoch in epochs), max)]
    return lambda position: highest[bisect_left(begins, position)]


def _compare(root: LogRoot, expected: set[str], position: int, problems: list[str]) -> None:
    now = root.root().hex() if expected else ""
    problems.extend(
        f"the root at position {position} is {now}, and {other} was expected" for other in expected - {now}
    )


def _around_the_head(conn: Connection[Any], head: Head) -> list[str]:
    """What is wrong about the head and the epochs."""
    problems = []
    beyond, first = conn.execute(_BEYOND, [head.position]).fetchone() or (0, None)
    if beyond:
        problems.append(
            f"{beyond} events stand beyond the head, which is at {head.position}: from {first} on"
        )
    last = conn.execute(
        "SELECT recorded_at FROM dealtrace.events WHERE notification_id = %s", [head.position]
    ).fetchone()
    if last is not None and last[0] > head.recorded_at:
        problems.append("the head was recorded before the event that it points at")
    epochs = conn.execute("SELECT epoch, after_position FROM dealtrace.epochs ORDER BY epoch").fetchall()
    begins = [after for _, after in epochs]
    if not epochs or epochs[-1][0] != head.epoch or begins[0] != 0:
        problems.append(
            f"the epochs {[epoch for epoch, _ in epochs]} are not those of a log in epoch {head.epoch}"
        )
    elif begins != sorted(begins) or begins[-1] > head.position:
        problems.append(f"the epochs begin after the positions {begins}, which is no order of time")
    return problems
