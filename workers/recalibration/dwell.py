"""How long visits of each stage last, and how old the open ones are: what the report marks."""

import msgspec
import numpy as np

from domain.recalibration.columns import DAY, Floats, Ints
from domain.recalibration.sample import Sample

MOST_AGES = 200
"""Ages kept of a stage's open visits; of more, so many that are spread evenly over them."""


class StageDwell(msgspec.Struct, frozen=True):
    """Visits of one stage as known at the cut-off; days.

    The percentiles are of completed and open visits together (Kaplan-Meier), null while more visits than that are
    estimated to outlast all completed ones. `ages` are those of open visits, ascending, thinned out above MOST_AGES.
    """

    stage: str
    completed: int
    open: int
    p25: float | None
    median: float | None
    p75: float | None
    p90: float | None
    ages: tuple[float, ...]


def dwell(sample: Sample) -> tuple[StageDwell, ...]:
    """The dwell in every stage."""
    visits = sample.visits
    days, completed = (visits.left_at - visits.entered_at) / DAY, visits.completed
    found = []
    for place, stage in enumerate(sample.histories.stages):
        here = visits.stage == place
        ages = np.sort(days[here & ~completed])
        p25, median, p75, p90 = percentiles(days[here], completed[here].astype(np.int64), (25, 50, 75, 90))
        kept = ages if len(ages) <= MOST_AGES else ages[np.linspace(0, len(ages) - 1, MOST_AGES).astype(int)]
        found.append(
            StageDwell(
                stage,
                int((here & completed).sum()),
                len(ages),
                p25,
                median,
                p75,
                p90,
                tuple(round(age, 3) for age in kept.tolist()),
            )
        )
    return tuple(found)


def percentiles(days: Floats, ended: Ints, percents: tuple[int, ...]) -> list[float | None]:
    """Kaplan-Meier percentiles of durations, of which those with `ended` 0 were only seen to last so long."""
    order = np.lexsort((1 - ended, days))
    days, ended = days[order], ended[order]
    at_risk = len(days) - np.arange(len(days))
    surviving = np.cumprod(1.0 - ended / at_risk)
    # The tolerance forgives what rounding leaves of a share that is exact, such as one half.
    reached = [np.flatnonzero(surviving <= 1.0 - percent / 100 + 1e-12) for percent in percents]
    return [round(float(days[where[0]]), 3) if len(where) else None for where in reached]
