"""F2 of an open pipeline: what its deals are expected to bring in, in total, per stage and per deal."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats, Ints
from domain.recalibration.landmarks import Landmarks


@dataclass(frozen=True)
class Forecast:
    """Exact sums in millionths of the minor unit; divide by 10^6 where a figure is shown.

    per_deal   amount x rate of each row; 0 where the rate is unknown
    per_stage  their sums by stage
    total      their sum
    unrated    rows whose stage has no rate
    """

    per_deal: Ints
    per_stage: tuple[int, ...]
    total: int
    unrated: int


def forecast(rows: Landmarks, chance: Floats, stages: int) -> Forecast:
    """Amount times chance, with the chance rounded half-even to 6 places first.

    Raises OverflowError for an amount above 9.2 x 10^12 minor units, whose product would not be exact.
    """
    if len(rows) and int(rows.amount.max()) > 2**63 // 1_000_000:
        raise OverflowError("an amount is too large for an exact forecast")
    rate = np.where(np.isnan(chance), 0, np.rint(np.nan_to_num(chance) * 1_000_000)).astype(np.int64)
    each = rows.amount * rate
    # Sums of whole numbers of any size: their order can not matter.
    per_stage = tuple(sum(each[rows.stage == stage].tolist()) for stage in range(stages))
    return Forecast(each, per_stage, sum(per_stage), int(np.isnan(chance).sum()))
