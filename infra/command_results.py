"""Forgetting the results of commands: a retry that comes so late is a new command."""

from typing import Any

from psycopg import Connection

KEPT_DAYS = 30
MOST_AT_ONCE = 5_000

_FORGET = """
DELETE FROM dealtrace.command_results r USING (
  SELECT actor_id, command_id FROM dealtrace.command_results
  WHERE recorded_at < clock_timestamp() - make_interval(days => %s) ORDER BY recorded_at LIMIT %s
) AS old
WHERE (r.actor_id, r.command_id) = (old.actor_id, old.command_id)"""


def forget_old_results(conn: Connection[Any], most: int = MOST_AT_ONCE) -> int:
    """Delete results older than 30 days, the oldest first and at most so many; how many went."""
    return conn.execute(_FORGET, [KEPT_DAYS, most]).rowcount
