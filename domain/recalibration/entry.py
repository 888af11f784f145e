"""`entry/1`, the textbook rate: won / closed among the deals that ever entered the stage.

It counts every deal once, however long it stayed, while a deal that one finds in a stage is likely to be a
slow one: applied to an open pipeline it forecasts too much. Kept as the figure that everybody knows.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats
from domain.recalibration.histories import ABANDONED, LOST, WON
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates
from domain.recalibration.sample import Sample
from domain.recalibration.shrinkage import PRIOR_DEALS, shrink


@dataclass(frozen=True)
class Entry:
    """Rates per stage; samples of fewer than `m` deals shrink to the share won of all closed deals."""

    m: float = PRIOR_DEALS
    name: str = "entry/1"

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable:
        """Count the deals closed by the cut-off."""
        stages = len(sample.histories.stages)
        outcome, _ = sample.outcome
        closed = np.isin(outcome, (WON, LOST, ABANDONED))
        votes = np.ones(sample.histories.deals) if weight is None else weight
        deal, stage = sample.entered
        deal, stage = deal[closed[deal]], stage[closed[deal]]
        total = np.bincount(stage, votes[deal], minlength=stages).astype(np.float64)
        wins = np.bincount(stage, votes[deal] * (outcome[deal] == WON), minlength=stages)
        pooled = (votes * (outcome == WON)).sum() / votes[closed].sum() if votes[closed].sum() > 0 else np.nan
        share = np.divide(wins, total, out=np.full(stages, np.nan), where=total > 0)
        return RateTable(Rates.rounded(shrink(share, total, pooled, self.m)[:, None]))
