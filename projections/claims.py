"""How many events behind an answer were known at K only by a source's claim: the same count for every answer."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection, sql

from domain import organisation, playbook
from projections.engine.knowledge import knowledge_of
from projections.timeline import PROJECTION

# Most deals are claimed by K as a whole or not at all: only the events of the others are looked at one by one.
_CLAIMED = sql.SQL("""
SELECT coalesce(sum(
  CASE WHEN c.last_known_at <= %(known_at)s AND c.first_recorded_at > %(known_at)s AND c.last_occurred_at <= %(as_of)s
       THEN c.claimed
       ELSE (SELECT count(*) FROM {timeline} t WHERE t.deal_id = c.deal_id AND t.claimed AND t.known_at <= %(known_at)s
             AND t.recorded_at > %(known_at)s AND t.occurred_at <= %(as_of)s) END), 0)::bigint, {position}
FROM {claims} c WHERE c.first_known_at <= %(known_at)s AND c.last_recorded_at > %(known_at)s""").format(
    timeline=PROJECTION.view("timeline"),
    claims=PROJECTION.view("timeline_claims"),
    position=PROJECTION.position,
)

_CLAIMED_OF_STREAMS = """
SELECT count(*) FROM (
  SELECT convert_from(state, 'UTF8')::json -> 'meta' AS meta FROM dealtrace.events
  WHERE originator_id = ANY(%(streams)s) AND notification_id <= %(upto)s AND recorded_at > %(known_at)s) e
WHERE (meta ->> 'source_recorded_at')::timestamptz <= %(known_at)s
  AND (meta ->> 'occurred_at')::timestamptz <= %(as_of)s"""
_BEHIND_ALL = [playbook.STREAM_ID, organisation.STREAM_ID]


def claimed_events(
    conn: Connection[Any],
    as_of: datetime,
    known_at: datetime | None,
    *,
    funnel: str | None = None,
    deal_id: UUID | None = None,
) -> int:
    """The events that (T, K) select, and that this log took in only after K: of a deal, of a funnel's deals or of all,
    and of the rules and the organisation that they are counted by.

    None by what was witnessed, and none without a K: whatever the log holds, it knows by now.
    """
    if known_at is None or knowledge_of(conn) == "witnessed":
        return 0
    query = _CLAIMED
    if deal_id is not None:
        query += sql.SQL(" AND c.deal_id = %(deal_id)s")
    elif funnel is not None:
        query += sql.SQL(" AND c.funnel = %(funnel)s")
    asked = {"as_of": as_of, "known_at": known_at, "deal_id": deal_id, "funnel": funnel}
    ((of_deals, upto),) = conn.execute(query, asked).fetchall()
    return int(of_deals) + claimed_of_streams(conn, as_of, known_at, _BEHIND_ALL, upto)


def claimed_of_streams(
    conn: Connection[Any], as_of: datetime, known_at: datetime | None, streams: list[UUID], upto: int
) -> int:
    """The same of these streams alone, up to a position."""
    if known_at is None or knowledge_of(conn) == "witnessed":
        return 0
    asked = {"as_of": as_of, "known_at": known_at, "streams": streams, "upto": upto}
    ((events,),) = conn.execute(_CLAIMED_OF_STREAMS, asked).fetchall()
    return int(events)
