"""What an answer lacks because folds failed: events that wait, of the keys that the answer is about."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain import organisation, playbook
from domain.manager_forecast import ForecastSet
from projections.engine.catalogue import catalogue

_ANY = "SELECT EXISTS (SELECT FROM projection.parked)"
_WAITING = """
SELECT k.projection, count(DISTINCT k.partition_key), count(*)
FROM projection.parked k
WHERE EXISTS (SELECT FROM projection.checkpoints c WHERE c.state = 'live'
                AND (c.projection, c.version, c.generation) = (k.projection, k.version, k.generation))
  AND (k.projection, k.version) IN (SELECT * FROM unnest(%s::text[], %s::int[]))
  AND (%s::uuid[] IS NULL OR k.partition_key = ANY(%s))
GROUP BY k.projection ORDER BY k.projection"""
_RULES = [playbook.STREAM_ID, organisation.STREAM_ID]
"""Keys that every answer stands on."""


class Waiting(msgspec.Struct, frozen=True):
    """A projection in which so many `events`, of so many `keys` (a deal, mostly), wait because a fold failed: what it says
    of these keys is as it was before them.
    """

    projection: str
    keys: int
    events: int


def waiting_events(
    conn: Connection[Any], keys: Sequence[UUID] | None = None, *, with_forecasts: bool
) -> list[Waiting]:
    """What waits in this release's projections that answer: of these keys and the rules, or, without keys, of all.

    Without forecasts, those projections are left out of which a reader could learn that somebody set a forecast.
    """
    if conn.execute(_ANY).fetchone() == (False,):
        return []
    told = [p for p in catalogue().values() if with_forecasts or ForecastSet.TOPIC not in p.topics]
    of_these = None if keys is None else [*keys, *_RULES]
    asked = [[p.name for p in told], [p.version for p in told], of_these, of_these]
    return [Waiting(*row) for row in conn.execute(_WAITING, asked).fetchall()]
