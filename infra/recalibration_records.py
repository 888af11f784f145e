"""Where the records of recalibrations lie: added once, found by their id, never changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection


def add_record(
    conn: Connection[Any], record: UUID, digest: str, funnel: str, until: datetime, body: bytes
) -> None:
    """Keep a record; `body` is JSON, kept byte for byte."""
    conn.execute(
        "INSERT INTO dealtrace.recalibration_records (id, digest, funnel, until, body)"
        " VALUES (%s, %s, %s, %s, %s)",
        [record, digest, funnel, until, body.decode()],
    )


def find_record(conn: Connection[Any], record: UUID) -> bytes | None:
    """The body of a record, or None."""
    found = conn.execute(
        "SELECT body FROM dealtrace.recalibration_records WHERE id = %s", [record]
    ).fetchone()
    return None if found is None else str(found[0]).encode()
