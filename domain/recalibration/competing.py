"""`competing/1`: the chance to be won before being lost, by stage and age group, from rows of any state.

Aalen-Johansen: after its landmark a row is at risk until it is won, lost or hidden by the cut-off. The rate is
the cumulative incidence of winning, as a share of all that has come to an end by the longest follow-up.
Aalen and Johansen 1978; Putter, Fiocco and Geskus 2007.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Flags, Floats, Ints
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates, age_group
from domain.recalibration.sample import Sample
from domain.recalibration.shrinkage import PRIOR_DEALS, shrink


@dataclass(frozen=True)
class Competing:
    """Rates per stage and age group, shrunk to the stage, which shrinks to all rows."""

    m: float = PRIOR_DEALS
    name: str = "competing/1"

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable:
        """Estimate the incidence of winning and losing cell by cell."""
        rows, stages = sample.rows, len(sample.histories.stages)
        votes = np.ones(len(rows)) if weight is None else weight[rows.deal]
        waited = np.maximum(sample.decided_at - rows.at, 0)
        group = age_group(rows, by_age=True)

        def estimate(chosen: Flags) -> tuple[float, float]:
            share = share_won(waited[chosen], sample.label[chosen], votes[chosen])
            deals = np.unique(rows.deal[chosen & sample.resolved])
            return share, float(len(deals) if weight is None else weight[deals].sum())

        pooled, _ = estimate(np.ones(len(rows), dtype=np.bool_))
        rates = np.full((stages, 2), np.nan)
        for stage in range(stages):
            here = rows.stage == stage
            parent = float(shrink(*_column(estimate(here)), pooled, self.m)[0])
            for age in range(2):
                rates[stage, age] = shrink(*_column(estimate(here & (group == age))), parent, self.m)[0]
        return RateTable(Rates.rounded(rates))


def share_won(waited: Ints, label: Ints, votes: Floats) -> float:
    """Incidence of winning / incidence of winning or losing, at the longest wait; NaN if nothing ended.

    waited   time from the landmark to the end, or to the cut-off; ends come before censoring at the same time
    label    1, 0, or -1 while there is no end
    """
    times, where = np.unique(waited, return_inverse=True)
    ended = label >= 0
    at_risk = np.bincount(where, votes, minlength=len(times))[::-1].cumsum()[::-1]
    won = np.bincount(where, votes * (label == 1), minlength=len(times))
    over = np.bincount(where, votes * ended, minlength=len(times))
    hazard = np.divide(over, at_risk, out=np.zeros(len(times)), where=at_risk > 0)
    surviving = np.append(1.0, np.cumprod(1.0 - hazard)[:-1])
    of_ends = np.divide(won, over, out=np.zeros(len(times)), where=over > 0)
    ends = float((surviving * hazard).sum())
    return float((surviving * hazard * of_ends).sum()) / ends if ends > 0 else float("nan")


def _column(estimate: tuple[float, float]) -> tuple[Floats, Floats]:
    return np.array([estimate[0]]), np.array([estimate[1]])
