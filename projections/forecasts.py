"""Manager forecasts with their whole history: what was forecast for a deal at any moment, as known at any moment."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from psycopg import sql

from domain.event import Recorded
from domain.manager_forecast import ForecastSet
from projections.engine.description import Out, Projection, Table, topics_of
from projections.playbook import IN_FORCE, NEXT


class SetForecastRow(msgspec.Struct, frozen=True):
    """A manager forecast from when it was set until it was superseded or withdrawn.

    It is in force at (T, K) iff this row is, and the deal is open at (T, K) and had then been closed `closed_times`:
    so closing, voiding and merging let it lapse, and reopening does not revive it.
    """

    deal_id: UUID
    seq: int
    """The version of the forecast's stream that brought it."""
    month: str
    amount: Decimal
    closed_times: int
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class ForecastHead(msgspec.Struct, frozen=True):
    """The deal's last forecast; null once it was withdrawn."""

    deal_id: UUID
    seq: int | None


def fold(head: ForecastHead | None, e: Recorded, out: Out) -> ForecastHead:
    """Close the forecast that stood and insert the one that follows it."""
    deal, event, clocks = e.meta.partition_key, e.event, (e.meta.occurred_at, e.known_at)
    if head is not None and head.seq is not None:
        out.close(SetForecastRow, (deal, head.seq), clocks)
    if not isinstance(event, ForecastSet):
        return ForecastHead(deal, None)
    forecast = event.forecast
    out.insert(
        SetForecastRow(
            deal, e.version, forecast.month, forecast.amount.amount, event.seen.closed_times, *clocks
        )
    )
    return ForecastHead(deal, e.version)


PROJECTION = Projection(
    name="forecasts",
    version=1,
    topics=topics_of("forecast"),
    fold=fold,
    head=Table("forecast_heads", ForecastHead, key=("deal_id",)),
    histories=(
        Table("set_forecasts", SetForecastRow, key=("deal_id", "seq"), closing=NEXT, indexes=("(month)",)),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------

FORECASTS_THEN = sql.SQL(
    "SELECT deal_id, closed_times, month AS forecast_month, amount AS forecast_amount FROM {} WHERE {}"
).format(PROJECTION.view("set_forecasts"), IN_FORCE)
"""SQL for the last forecasts at (T, K); to be joined with deals that are open then, by `deal_id, closed_times`."""
