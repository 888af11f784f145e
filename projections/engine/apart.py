"""Writing what can be written, when the rows of some key can not: its events park from the first that is to blame."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection

from domain.event import Recorded
from projections.engine.folding import Folded

Late = list[tuple[Recorded, str | None]]
"""Events that park, each with its error, or None when it only stands behind another."""

_OF_THE_ROWS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)


def is_of_the_rows(error: Exception) -> bool:
    """Whether the error is about what was written, and not about the database or the connection."""
    return isinstance(error, _OF_THE_ROWS) or not isinstance(error, psycopg.Error)


def late_of(folded: Folded) -> Late:
    """What parks because the fold of the key raised."""
    return [(event, None if i else folded.error) for i, event in enumerate(folded.parked)]


def write_apart(
    conn: Connection[Any],
    folded: dict[UUID, Folded],
    events: Mapping[UUID, Sequence[Recorded]],
    refold: Callable[[UUID, Sequence[Recorded]], Folded],
    write: Callable[[dict[UUID, Folded]], None],
) -> Late:
    """Write the folds of some keys, by halves where that fails; what parks in the end.

    `events` are what each key's fold was made of, and `refold` folds less of them. A key whose rows can not be written
    has as many of its events applied as can be.
    """
    if not folded:
        return []
    failed = _try(conn, write, folded)
    if failed is None:
        return [late for one in folded.values() for late in late_of(one)]
    if len(folded) > 1:
        keys = list(folded)
        halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        parts = ({key: folded[key] for key in half} for half in halves)
        return [late for part in parts for late in write_apart(conn, part, events, refold, write)]
    ((key, own),) = ((key, events[key]) for key in folded)
    for fewer in range(len(own) - 1, -1, -1):
        earlier = _try(conn, write, {key: refold(key, own[:fewer])}) if fewer else None
        if earlier is None:
            return [(event, None if i else failed) for i, event in enumerate(own[fewer:])]
        failed = earlier
    raise AssertionError("no events can always be written")


def _try(
    conn: Connection[Any], write: Callable[[dict[UUID, Folded]], None], folded: dict[UUID, Folded]
) -> str | None:
    """Write in a savepoint; the error if that fails because of the rows."""
    try:
        with conn.transaction():
            write(folded)
    except Exception as error:
        if not is_of_the_rows(error):
            raise
        return f"{type(error).__name__}: {error}"
    return None
