"""The frame of forecast rows: F1 and F2 of every open deal at the end of every week, as they were shown then."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.forecast import EVENTUALLY
from domain.recalibration.columns import DAY, Flags, Ints, ints
from domain.recalibration.landmarks import EPOCH
from projections.forecasts import SetForecastRow
from workers.replay.columns import MONEY, RATE
from workers.replay.rules import RulesThen
from workers.replay.weekly import COLUMNS, Weekly

SCHEMA = pa.schema(
    [
        *COLUMNS,
        pa.field("month", pa.string()),
        pa.field("forecast_month", pa.string()),
        pa.field("forecast_amount", MONEY),
        pa.field("f1", MONEY),
        pa.field("rate_set", pa.int64()),
        pa.field("rate", RATE),
        pa.field("f2", pa.decimal128(27, 10)),
    ]
)
"""`month` is that of the expected close, `eventually` in an undated funnel; `forecast_*` the manager forecast in force,
which is `f1` while its month is that month; `f2` = amount x rate of the rate set in force, null where one is unknown."""


def forecast_rows_of(weekly: Weekly, rules: RulesThen, forecasts: Iterable[SetForecastRow]) -> pa.RecordBatch:
    """The forecast rows; a deal that was voided or merged later was shown before, and is here.

    `forecasts` are all rows of set_forecasts of those deals, each deal's in stream order.
    """
    sets, rates, months = _by_rules(weekly, rules)
    forecast_month, forecast_amount = _forecasts(weekly, forecasts)
    common = weekly.common()
    amount = common[[field.name for field in COLUMNS].index("amount")]
    f1 = [a if m is not None and m == month else None for m, a, month in zip(
        forecast_month, forecast_amount, months, strict=True)]  # fmt: skip
    rate = pa.array(rates, RATE)
    return pa.RecordBatch.from_arrays(
        [
            *common,
            pa.array(months, pa.string()),
            pa.array(forecast_month, pa.string()),
            pa.array(forecast_amount, MONEY),
            pa.array(f1, MONEY),
            pa.array(sets, pa.int64()),
            rate,
            pc.multiply(amount, rate),
        ],
        schema=SCHEMA,
    )


def _by_rules(
    weekly: Weekly, rules: RulesThen
) -> tuple[list[int | None], list[Decimal | None], list[str | None]]:
    """Per row the number of the rate set in force, the rate it gives, and the month the deal is expected in."""
    rows = weekly.rows
    sets: list[int | None] = [None] * len(rows)
    rates: list[Decimal | None] = [None] * len(rows)
    months: list[str | None] = [None] * len(rows)
    labels = [None if m < 0 else f"{m // 12:04}-{m % 12 + 1:02}" for m in rows.close_month.tolist()]
    for at in np.unique(rows.at).tolist():
        moment = EPOCH + timedelta(microseconds=at)
        then = rules.funnel(weekly.funnel, moment)
        here = np.flatnonzero(rows.at == at)
        thresholds = ints(
            [then.stall_after_days.get(key, 2**62 // DAY) * DAY for key in weekly.histories.stages]
        )
        stage, entered = rows.stage[here], rows.entered_at[here]
        stalled = at - entered > thresholds[stage]
        rate = _rates(then.rates.of, weekly.histories.stages, stage, stalled, entered, moment)
        number = then.rate_set.number if then.rate_set else None
        for place, value in zip(here.tolist(), rate, strict=True):
            sets[place], rates[place] = number, value
            months[place] = labels[place] if then.dated else EVENTUALLY
    return sets, rates, months


def _rates(
    rate_of: Any, stages: Sequence[str], stage: Ints, stalled: Flags, entered: Ints, at: datetime
) -> list[Decimal | None]:
    """Per row its rate, asked once for each stage and age group."""
    cell, first, which = np.unique(stage * 2 + stalled, return_index=True, return_inverse=True)
    found = [
        rate_of(stages[key // 2], EPOCH + timedelta(microseconds=since), at)
        for key, since in zip(cell.tolist(), entered[first].tolist(), strict=True)
    ]
    return [found[place] for place in which.tolist()]


def _forecasts(
    weekly: Weekly, forecasts: Iterable[SetForecastRow]
) -> tuple[list[str | None], list[Decimal | None]]:
    """Per row the month and amount of the manager forecast in force; closing the deal lapsed it."""
    by_deal: dict[UUID, list[SetForecastRow]] = {}
    for forecast in forecasts:
        by_deal.setdefault(forecast.deal_id, []).append(forecast)
    size = len(weekly.rows)
    months: list[str | None] = [None] * size
    amounts: list[Decimal | None] = [None] * size
    wanted = np.flatnonzero(
        np.array([v.deal_id in by_deal for v in weekly.versions], dtype=np.bool_)[weekly.version]
    )
    for place in wanted.tolist():
        version = weekly.versions[weekly.version[place]]
        at = EPOCH + timedelta(microseconds=int(weekly.rows.at[place]))
        for forecast in by_deal[version.deal_id]:
            if forecast.closed_times == version.closed_times and _stood(forecast, at):
                months[place], amounts[place] = forecast.month, forecast.amount
                break
    return months, amounts


def _stood(forecast: SetForecastRow, at: datetime) -> bool:
    over, known = forecast.next_occurred_at, forecast.next_known_at
    return max(forecast.occurred_at, forecast.known_at) <= at and not (
        over is not None and known is not None and max(over, known) <= at
    )
