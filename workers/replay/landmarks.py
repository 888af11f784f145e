"""The frame of landmarks: what recalibration learns from. Definition: "Recalibration" of the methods."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from domain.recalibration.columns import Ints
from domain.recalibration.labels import UNRESOLVED, won_eventually, won_in_period
from domain.recalibration.landmarks import microseconds
from workers.replay.columns import TIME
from workers.replay.rules import RulesThen
from workers.replay.weekly import COLUMNS, Weekly

SCHEMA = pa.schema(
    [
        *COLUMNS,
        pa.field("grade", pa.string()),
        pa.field("entered_at", TIME, False),
        pa.field("age_us", pa.int64(), False),
        pa.field("repeat", pa.bool_(), False),
        pa.field("stalled", pa.bool_(), False),
        pa.field("won_eventually", pa.bool_()),
        pa.field("won_in_period", pa.bool_()),
    ]
)
"""`repeat`: the deal had left the stage before; labels are null while unresolved, as known at the cut-off."""


def landmarks_of(weekly: Weekly, rules: RulesThen) -> pa.RecordBatch:
    """The landmark rows; a deal that was voided or merged by the cut-off has none, at any week."""
    kept = weekly.where(~weekly.gone[weekly.version])
    rows, cutoff = kept.rows, microseconds(kept.cutoff)
    # What is known at the cut is in the histories already, whenever it became known.
    histories = replace(kept.histories, known_at=np.minimum(kept.histories.known_at, cutoff))
    eventually = won_eventually(rows, histories, cutoff)
    in_period = np.full(len(rows), UNRESOLVED, dtype=np.int64)
    if rules.funnel(kept.funnel, kept.cutoff).dated:
        in_period = won_in_period(rows, histories, cutoff, rules.zone(kept.cutoff))
    return pa.RecordBatch.from_arrays(
        [
            *kept.common(),
            kept.taken([v.grade for v in kept.versions], pa.string()),
            pa.array(rows.entered_at, TIME),
            pa.array(rows.age, pa.int64()),
            pa.array(rows.repeat, pa.bool_()),
            pa.array(rows.stalled, pa.bool_()),
            _label(eventually),
            _label(in_period),
        ],
        schema=SCHEMA,
    )


def _label(label: Ints) -> pa.Array:
    return pa.array(label == 1, pa.bool_(), mask=label == UNRESOLVED)
