"""Whether this release's projections can answer: each is there, misses no event, and keeps up with the log."""

from typing import Any

from psycopg import Connection

from projections.engine.adopting import foreign
from projections.engine.catalogue import catalogue
from projections.engine.preparing import waiting
from projections.engine.status import ProjectionStatus, status

MOST_LAG_SECONDS = 60.0
"""Beyond that a projection does not keep up."""


def not_ready(conn: Connection[Any]) -> list[str]:
    """What keeps projections of this release from answering, a sentence each; none when they can."""
    versions = {projection.name: projection.version for projection in catalogue().values()}
    others = [f.projection for f in foreign(conn) if f.version == versions.get(f.projection)]
    beside = waiting(conn)
    live = {
        s.projection: s for s in status(conn) if s.state == "live" and s.version == versions.get(s.projection)
    }
    faults = [_fault(name, live.get(name)) for name in versions if name not in beside]
    return [
        *(f"The projection {n} stands on another log: run dealtrace projections adopt-log." for n in others),
        *beside.values(),
        *filter(None, faults),
    ]


def _fault(name: str, live: ProjectionStatus | None) -> str | None:
    if live is None:
        return f"The projection {name} has not begun: is the projector running?"
    if not live.complete:
        return f"The projection {name} has skipped events: rebuild it."
    if live.lag_seconds > MOST_LAG_SECONDS:
        return f"The projection {name} lies {live.lag_seconds:.0f} s behind the log."
    return None
