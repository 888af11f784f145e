"""Cohort conversion of a funnel (B4): how far the deals opened within about a cycle have come."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from psycopg import Connection, sql

from domain.pipeline import Cohort, CohortDeal, conversion
from projections.clocks import happened, in_force, position_of
from projections.filters import NO_FILTERS, Filters
from projections.funnel import PROJECTION as FUNNEL
from projections.playbook import stages_at
from projections.rules import playbook_at, zone_at
from projections.visits import PROJECTION as VISITS


class CohortFigures(msgspec.Struct, frozen=True):
    """The deals opened after `start` and up to `end`. Shares in 4 places, null of nothing.

    `immature`: some of its deals have not had the time of a usual cycle. `won_share` is of all its deals,
    `won_step` of those that reached the last stage.
    """

    start: datetime
    end: datetime
    immature: bool
    deals: int
    open_deals: int
    won: int
    won_share: Decimal | None
    won_step: Decimal | None


class CohortStage(msgspec.Struct, frozen=True):
    """How many of the cohort came to a stage or past it, as a share of all and of those in the stage before.

    `skipped` of them only passed it over. The figures of the previous cohort stand beside.
    """

    stage: str
    reached: int
    share: Decimal | None
    step: Decimal | None
    skipped: int
    previous_reached: int
    previous_share: Decimal | None
    previous_step: Decimal | None
    previous_skipped: int


class CohortConversion(msgspec.Struct, frozen=True):
    """The cohort of the window that ends at T, and the one before it, which is mature.

    The window is 1.2 median cycles of the `wins` deals won within twelve months, or a configured default.
    """

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    window_weeks: int
    window_source: Literal["median_cycle", "default"]
    wins: int
    current: CohortFigures
    previous: CohortFigures
    stages: list[CohortStage]


def cohort(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
) -> CohortConversion:
    """Cohort conversion of a funnel at (T, K), of the deals that pass the filters then. Raises UnknownFunnel."""
    stages = [s.key for s in stages_at(conn, funnel, as_of, known_at).defined]
    query = sql.SQL(
        "SELECT {position}, found.* FROM (SELECT 1) one LEFT JOIN (SELECT s.status, s.closed_at,"
        " min(v.entered_at) AS opened_at, array_agg(DISTINCT v.stage) AS entered FROM {states} s"
        " JOIN {visits} v ON v.deal_id = s.deal_id AND {entered}"
        " WHERE s.funnel = %(funnel)s AND {then}{filters} GROUP BY s.deal_id, s.status, s.closed_at) found ON true"
    ).format(
        position=position_of(FUNNEL, VISITS),
        states=FUNNEL.view("deal_states"),
        visits=VISITS.view("stage_visits"),
        entered=happened("v", known_at, "entered_at", "entered_known_at"),
        then=in_force("s", known_at),
        filters=filters.where("s"),
    )
    parameters = {**filters.parameters(), "funnel": funnel, "as_of": as_of, "known_at": known_at}
    rows = conn.execute(query, parameters).fetchall()
    found = conversion(
        [
            CohortDeal(opened_at, entered, closed_at if status == "won" else None, status == "open")
            for _, status, closed_at, opened_at, entered in rows
            if status is not None
        ],
        stages,
        as_of,
        zone_at(conn, as_of, known_at),
        playbook_at(conn, as_of, known_at).cohort_window_weeks,
    )
    return CohortConversion(
        funnel,
        as_of,
        known_at,
        rows[0][0],
        found.formula,
        found.window.weeks,
        found.window.source,
        found.window.wins,
        _figures(found.current),
        _figures(found.previous),
        [
            CohortStage(
                now.stage,
                now.reached,
                now.share,
                now.step,
                now.skipped,
                before.reached,
                before.share,
                before.step,
                before.skipped,
            )
            for now, before in zip(found.current.stages, found.previous.stages, strict=True)
        ],
    )


def _figures(c: Cohort) -> CohortFigures:
    return CohortFigures(c.start, c.end, c.immature, c.deals, c.open_deals, c.won, c.won_share, c.won_step)
