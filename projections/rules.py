"""The whole playbook as it was at any moment: checklists, grades, rules about people, numbers of formulas."""

from datetime import datetime, tzinfo
from typing import Any

from psycopg import Connection

from domain.calendar import time_zone
from domain.playbook import EMPTY, STREAM_ID, Playbook, evolve
from infra.mapper import decode
from projections.engine.knowledge import as_witnessed, knowledge_of
from projections.playbook import settings_at

_EVENTS = """
SELECT notification_id, originator_id, originator_version, topic, recorded_at, state
FROM dealtrace.events WHERE originator_id = %b ORDER BY originator_version"""


def playbook_at(
    conn: Connection[Any], as_of: datetime | None = None, known_at: datetime | None = None
) -> Playbook:
    """The playbook at (T, K), folded from its own stream; what was not set by then is at its default.

    A stage that asked for nothing yet asks for nothing, also in imported history older than its checklist.
    """
    book, by_source = EMPTY, knowledge_of(conn) == "source"
    with conn.cursor(binary=True) as cursor:
        for row in cursor.execute(_EVENTS, [STREAM_ID]):
            e = decode(*row) if by_source else as_witnessed(decode(*row))
            too_late = as_of is not None and e.meta.occurred_at > as_of
            unknown = known_at is not None and e.known_at > known_at
            if not (too_late or unknown):
                book = evolve(book, e.event)
    return book


def zone_at(conn: Connection[Any], as_of: datetime, known_at: datetime | None = None) -> tzinfo:
    """The time zone of weeks and periods at (T, K)."""
    settings = settings_at(conn, as_of, known_at)
    return time_zone(settings.time_zone if settings else "UTC")
