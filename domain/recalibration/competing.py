"""`competing/1`: the chance to be won before being lost, by stage and age group, from rows of any state.

Aalen-Johansen: after its landmark a row is at risk until it is won, lost or hidden by the cut-off. The rate is
the cumulative incidence of winning, as a share of all that has come to an end by the longest follow-up.
Aalen and Johansen 1978; Putter, Fiocco and Geskus 2007. Waits are counted in whole days.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import DAY, Floats
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates
from domain.recalibration.sample import Sample
from domain.recalibration.shrinkage import PRIOR_DEALS, shrink


@dataclass(frozen=True)
class Competing:
    """Rates per stage and age group, shrunk to the stage, which shrinks to all rows."""

    m: float = PRIOR_DEALS
    name: str = "competing/1"

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable:
        """Estimate the incidence of winning and losing in every cell."""
        times = np.ones(sample.histories.deals) if weight is None else weight
        stages, votes = len(sample.histories.stages), times[sample.rows.deal]
        waited = np.maximum(sample.decided_at - sample.rows.at, 0) // DAY
        days = int(waited.max(initial=0)) + 1
        place = (sample.rows.stage * 2 + sample.rows.stalled) * days + waited

        def table(votes: Floats) -> Floats:
            return (
                np.bincount(place, votes, minlength=stages * 2 * days)
                .reshape(stages, 2, days)
                .astype(np.float64)
            )

        left, ended, won = table(votes), table(votes * sample.resolved), table(votes * (sample.label == 1))
        pooled = share_won(left.sum(axis=(0, 1)), ended.sum(axis=(0, 1)), won.sum(axis=(0, 1)))
        of_stage = share_won(left.sum(axis=1), ended.sum(axis=1), won.sum(axis=1))
        parent = shrink(of_stage[:, None], sample.by_stage.sums(times)[2], pooled, self.m)
        deals = sample.by_stage_and_age.sums(times)[2]
        rates = shrink(share_won(left, ended, won), deals, np.broadcast_to(parent, deals.shape), self.m)
        return RateTable(Rates.rounded(rates))


def share_won(left: Floats, ended: Floats, won: Floats) -> Floats:
    """Incidence of winning / incidence of any end, at the longest wait; NaN where nothing ended.

    left    rows whose wait was so many days, along the last axis, whether they ended or were hidden
    ended   those that ended, which on the same day comes before being hidden; won: those that were won
    """
    at_risk = left[..., ::-1].cumsum(axis=-1)[..., ::-1]
    hazard = np.divide(ended, at_risk, out=np.zeros_like(left), where=at_risk > 0)
    surviving = np.cumprod(1.0 - hazard, axis=-1)
    before = np.concatenate([np.ones((*left.shape[:-1], 1)), surviving[..., :-1]], axis=-1)
    winning = np.divide(won, at_risk, out=np.zeros_like(left), where=at_risk > 0)
    ends, wins = (before * hazard).sum(axis=-1), (before * winning).sum(axis=-1)
    return np.divide(wins, ends, out=np.full(np.shape(ends), np.nan), where=ends > 0)
