"""`landmark/1` and `landmark_age/1`: won / resolved among landmark rows, complete cases only.

Rows without a label are left out, which favours the quick: wherever many are unresolved the rate is off, and
its unresolved share says so.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates
from domain.recalibration.sample import Sample
from domain.recalibration.shrinkage import PRIOR_DEALS, estimated_m, isotonic, shrink


@dataclass(frozen=True)
class Landmark:
    """Rates per stage, or per stage and age group, from the share of resolved rows that were won.

    m           deals below which a cell shrinks (a stage to all rows, an age group to its stage); None
                estimates it from the spread between the cells
    monotone    make the rates rise along the stages
    """

    by_age: bool = False
    m: float | None = PRIOR_DEALS
    monotone: bool = False

    @property
    def name(self) -> str:
        """Name and version."""
        return ("landmark_age/1" if self.by_age else "landmark/1") + ("+isotonic" if self.monotone else "")

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable:
        """Count the resolved rows."""
        votes = np.ones(sample.histories.deals) if weight is None else weight
        rows, wins, deals = sample.by_stage.sums(votes)
        pooled = float(wins.sum() / rows.sum()) if rows.sum() > 0 else np.nan
        stage = self._shrunk(rows, wins, deals, np.full(rows.shape, pooled))
        if self.monotone:
            stage = isotonic(stage[:, 0], deals[:, 0])[:, None]
        if self.by_age:
            rows, wins, deals = sample.by_stage_and_age.sums(votes)
            stage = self._shrunk(rows, wins, deals, np.broadcast_to(stage, rows.shape))
        return RateTable(Rates.rounded(stage))

    def _shrunk(self, rows: Floats, wins: Floats, deals: Floats, parent: Floats) -> Floats:
        share = np.divide(wins, rows, out=np.full(rows.shape, np.nan), where=rows > 0)
        m = estimated_m((np.nan_to_num(share) * deals).ravel(), deals.ravel()) if self.m is None else self.m
        return shrink(share, deals, parent, m)
