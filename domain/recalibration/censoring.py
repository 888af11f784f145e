"""`ipcw/1`: landmark rates where resolved rows speak for those that the cut-off hides.

A row can be seen resolved t after its landmark only if the cut-off lies that far off. Each resolved row counts
1 / G(t), where G(t) is the share of its stage's rows that were followed for t or longer (inverse probability of
censoring weights, Robins and Rotnitzky 1992; every row's possible follow-up is known, so G needs no model).
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates
from domain.recalibration.sample import Sample
from domain.recalibration.shrinkage import PRIOR_DEALS, shrink

LARGEST_WEIGHT = 20.0
"""A weight is capped, since one late row may not speak for a whole stage."""


@dataclass(frozen=True)
class Weighted:
    """Rates per stage, shrunk to the rate of all rows."""

    m: float = PRIOR_DEALS
    name: str = "ipcw/1"

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable:
        """Weigh the resolved rows."""
        stages, stage = len(sample.histories.stages), sample.rows.stage
        times = np.ones(sample.histories.deals) if weight is None else weight
        votes = times[sample.rows.deal] * np.minimum(censoring_weights(sample, times), LARGEST_WEIGHT)
        rows = np.bincount(stage, votes, minlength=stages)
        wins = np.bincount(stage, votes * (sample.label == 1), minlength=stages)
        deals = sample.by_stage.sums(times)[2][:, 0]
        share = np.divide(wins, rows, out=np.full(stages, np.nan), where=rows > 0)
        pooled = float(wins.sum() / rows.sum()) if rows.sum() > 0 else np.nan
        return RateTable(Rates.rounded(shrink(share, deals, pooled, self.m)[:, None]))


def censoring_weights(sample: Sample, times: Floats) -> Floats:
    """1 / G(t) per row, 0 for unresolved ones; `times` is how often each deal counts in G.

    Rows of a week have the same possible follow-up, so that G falls in one step per week.
    """
    stages, weeks = len(sample.histories.stages), len(sample.weeks)
    stage = sample.rows.stage
    if not weeks:
        return np.zeros(len(stage))  # before the first week's end there are no rows
    held = np.bincount(stage * weeks + sample.week, times[sample.rows.deal], minlength=stages * weeks)
    # Followed for t or longer: the rows of all weeks not later than cut-off - t.
    followed = held.reshape(stages, weeks).cumsum(axis=1)
    speaking = followed[stage, np.maximum(sample.latest_to_see, 0)] * sample.resolved
    share: Floats = np.divide(followed[stage, -1], speaking, out=np.zeros(len(stage)), where=speaking > 0)
    return share
