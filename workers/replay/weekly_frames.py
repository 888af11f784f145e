"""The weekly frames of some deals: landmarks and forecast rows, ordered by deal and week over all funnels."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from projections.deal_states import DealState
from projections.forecasts import SetForecastRow
from workers.replay import forecast_rows, landmarks
from workers.replay.forecast_rows import forecast_rows_of
from workers.replay.landmarks import landmarks_of
from workers.replay.rules import RulesThen
from workers.replay.weekly import weekly_rows

SCHEMAS = {"landmarks": landmarks.SCHEMA, "forecast_rows": forecast_rows.SCHEMA}


def weekly_frames(
    states: Sequence[DealState], forecasts: Sequence[SetForecastRow], rules: RulesThen, cutoff: datetime
) -> dict[str, pa.RecordBatch]:
    """Both frames of all rows of deal_states and set_forecasts of some deals, the deals in order."""
    made: dict[str, list[pa.RecordBatch]] = {name: [] for name in SCHEMAS}
    for weekly in weekly_rows(states, rules, cutoff):
        made["landmarks"].append(landmarks_of(weekly, rules))
        made["forecast_rows"].append(forecast_rows_of(weekly, rules, forecasts))
    return {name: _in_order(batches, SCHEMAS[name]) for name, batches in made.items()}


def _in_order(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """One batch; the text of a deal's id sorts as the id does."""
    table = pa.Table.from_batches(batches, schema)
    if len(batches) > 1:
        table = table.sort_by([("deal_id", "ascending"), ("at", "ascending")])
    whole = table.combine_chunks().to_batches()
    return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=schema)
