"""How far the rebuilds under way have come."""

from typing import Any

import msgspec
from psycopg import Connection

_PROGRESS = """
SELECT t.key, (t.value ->> 'version')::int, (t.value ->> 'generation')::int, r.position,
       (SELECT coalesce(sum(g.events), 0)::bigint FROM projection.rebuild_ranges g
        WHERE g.rebuild = r.id AND g.counts IS NOT NULL)
FROM projection.rebuilds r CROSS JOIN json_each(r.targets) t
ORDER BY 1, 2, 3"""


class RebuildProgress(msgspec.Struct, frozen=True):
    """A new generation of a projection being made: how many events of how many are in it, besides the newest."""

    projection: str
    version: int
    generation: int
    events: int
    done: int


def rebuild_progress(conn: Connection[Any]) -> list[RebuildProgress]:
    """Every rebuild that was begun and has not come to its end."""
    return [RebuildProgress(*row) for row in conn.execute(_PROGRESS).fetchall()]
