"""Cohort conversion week by week or month by month, against a baseline that is kept (B4)."""

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal

import msgspec
from psycopg import Connection

from domain.calendar import Period, month_of, week_of
from projections.cohorts import CohortConversion, cohort
from projections.filters import NO_FILTERS, Filters
from projections.rules import zone_at

Every = Literal["week", "month"]
_HOLDING = {"week": week_of, "month": month_of}
_INSTANT = timedelta(microseconds=1)


class StageInSeries(msgspec.Struct, frozen=True):
    """How many of the cohort came to a stage or past it, and as a share of all, here and in the baseline."""

    stage: str
    reached: int
    share: Decimal | None
    baseline_share: Decimal | None


class CohortPoint(msgspec.Struct, frozen=True):
    """The cohort whose window ends with a week or a month, as far as it had come by then; or at T in the last one."""

    period: str
    end: datetime
    window_weeks: int
    deals: int
    won: int
    won_share: Decimal | None
    baseline_won_share: Decimal | None
    stages: list[StageInSeries]


class CohortSeries(msgspec.Struct, frozen=True):
    """How cohorts converted, one after the other, as known at K. Each is as young as the others at its own end.

    The baseline is the cohort whose window ended at `baseline`, as it was shown then, so that it stays what it was.
    """

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    every: Every
    baseline: datetime
    baseline_deals: int
    points: list[CohortPoint]


def cohort_series(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
    every: Every = "week",
    points: int = 13,
    baseline: datetime | None = None,
) -> CohortSeries:
    """The last `points` weeks or months up to the one that holds T, beside the baseline.

    By default that is the cohort at the end of the period before the first one. Raises UnknownFunnel.
    """
    periods = _last(as_of, zone_at(conn, as_of, known_at), every, points)
    at = baseline or periods[0].start - _INSTANT
    kept = cohort(conn, funnel, as_of=at, known_at=min(at, known_at or at), filters=filters)
    ends = [*(period.as_of for period in periods[:-1]), as_of]
    found = [cohort(conn, funnel, as_of=end, known_at=known_at, filters=filters) for end in ends]
    return CohortSeries(
        funnel,
        as_of,
        known_at,
        found[-1].position,
        kept.formula,
        every,
        at,
        kept.current.deals,
        [_point(period, then, kept) for period, then in zip(periods, found, strict=True)],
    )


def _last(as_of: datetime, zone: tzinfo, every: Every, count: int) -> list[Period]:
    holding = _HOLDING[every]
    found = [holding(as_of, zone)]
    while len(found) < count:
        found.append(holding(found[-1].start - _INSTANT, zone))
    return found[::-1]


def _point(period: Period, then: CohortConversion, kept: CohortConversion) -> CohortPoint:
    shares = {stage.stage: stage.share for stage in kept.stages}
    return CohortPoint(
        period.label,
        then.as_of,
        then.window_weeks,
        then.current.deals,
        then.current.won,
        then.current.won_share,
        kept.current.won_share,
        [StageInSeries(s.stage, s.reached, s.share, shares.get(s.stage)) for s in then.stages],
    )
