"""`ipcw/1`: landmark rates where resolved rows speak for those that the cut-off hides.

A row can be seen resolved t after its landmark only if the cut-off lies that far off. Each resolved row counts
1 / G(t), where G(t) is the share of its stage's rows that were followed for t or longer (inverse probability of
censoring weights, Robins and Rotnitzky 1992; every row's possible follow-up is known, so G needs no model).
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats
from domain.recalibration.landmark import rates_of_rows
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates
from domain.recalibration.sample import Sample
from domain.recalibration.shrinkage import PRIOR_DEALS


@dataclass(frozen=True)
class Weighted:
    """Rates per stage. A weight is capped, since one late row may not speak for a whole stage."""

    m: float = PRIOR_DEALS
    largest_weight: float = 20.0
    name: str = "ipcw/1"

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable:
        """Weigh the resolved rows."""
        votes = np.ones(len(sample.rows)) if weight is None else weight[sample.rows.deal]
        votes = votes * np.minimum(censoring_weights(sample, votes), self.largest_weight)
        return RateTable(Rates.rounded(rates_of_rows(sample, votes, weight, by_age=False, m=self.m)))


def censoring_weights(sample: Sample, votes: Floats) -> Floats:
    """1 / G(t) per row, 0 for unresolved ones; `votes` is how much each row counts in G."""
    result = np.zeros(len(sample.rows))
    follow_up = sample.cutoff - sample.rows.at
    waited = np.maximum(sample.decided_at - sample.rows.at, 0)
    for stage in range(len(sample.histories.stages)):
        here = sample.rows.stage == stage
        order = np.argsort(follow_up[here], kind="stable")
        possible = follow_up[here][order]
        heavier = np.append(np.cumsum(votes[here][order][::-1])[::-1], 0.0)
        resolved = here & sample.resolved
        followed = heavier[np.searchsorted(possible, np.minimum(waited, follow_up)[resolved])]
        result[resolved] = np.divide(heavier[0], followed, out=np.zeros(len(followed)), where=followed > 0)
    return result
