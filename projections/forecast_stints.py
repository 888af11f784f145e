"""Whose forecasts somebody may not see for having worked on the deal: what `Sight` needs to know of its viewer."""

from collections.abc import Collection
from typing import Any

from psycopg import Connection, sql

from domain.forecast_sight import Stint
from projections.deal_teams import PROJECTION as DEAL_TEAMS
from projections.forecasts import PROJECTION as FORECASTS

_STINTS = sql.SQL("""
WITH worked AS (
  SELECT deal_id, occurred_at, known_at, next_occurred_at, next_known_at FROM {stints} WHERE person = ANY(%(people)s)
  UNION ALL
  SELECT deal_id, occurred_at, known_at, next_occurred_at, next_known_at FROM {ownerships}
  WHERE owner = ANY(%(people)s) AND next_occurred_at IS NOT NULL
), stood AS (
  SELECT deal_id, occurred_at, known_at, coalesce(next_occurred_at, {never}) AS until,
    coalesce(next_known_at, {never}) AS until_known
  FROM {forecasts} WHERE deal_id IN (SELECT deal_id FROM worked WHERE next_occurred_at IS NOT NULL)
)
SELECT w.deal_id, least(w.occurred_at, s.occurred_at),
  CASE WHEN w.next_occurred_at IS NOT NULL THEN greatest(w.next_occurred_at, s.until) END,
  least(w.known_at, s.known_at),
  CASE WHEN w.next_occurred_at IS NOT NULL THEN greatest(w.next_known_at, s.until_known) END
FROM worked w LEFT JOIN LATERAL (
  SELECT min(occurred_at) AS occurred_at, max(until) AS until, min(known_at) AS known_at, max(until_known) AS until_known
  FROM stood WHERE stood.deal_id = w.deal_id AND (
    (stood.occurred_at < w.next_occurred_at AND stood.until > w.occurred_at)
    OR (stood.known_at < w.next_known_at AND stood.until_known > w.known_at))
) s ON true
ORDER BY 1, 2""").format(
    stints=DEAL_TEAMS.view("team_stints"),
    ownerships=DEAL_TEAMS.view("ownerships"),
    forecasts=FORECASTS.view("set_forecasts"),
    never=sql.SQL("timestamptz '9999-12-31 00:00:00+00'"),
)


def stints_of(conn: Connection[Any], people: Collection[str]) -> tuple[Stint, ...]:
    """When these people owned or worked on which deals, each stint as long as the forecasts that stood during it.

    Without the deals that they own now, which every query knows by their owner.
    """
    return tuple(Stint(*row) for row in conn.execute(_STINTS, {"people": sorted(people)}).fetchall())


_WORKED = sql.SQL(
    "SELECT EXISTS (SELECT FROM {stints} WHERE person = ANY(%(people)s))"
    " OR EXISTS (SELECT FROM {ownerships} WHERE owner = ANY(%(people)s))"
).format(stints=DEAL_TEAMS.view("team_stints"), ownerships=DEAL_TEAMS.view("ownerships"))


def ever_worked_on_a_deal(conn: Connection[Any], people: Collection[str]) -> bool:
    """Whether any of these people owns a deal, or ever owned one or was on the team of one."""
    ((worked,),) = conn.execute(_WORKED, {"people": sorted(people)}).fetchall()
    return bool(worked)
