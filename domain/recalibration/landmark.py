"""`landmark/1` and `landmark_age/1`: won / resolved among landmark rows, complete cases only.

Rows without a label are left out, which favours the quick: wherever many are unresolved the rate is off, and
its unresolved share says so.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Flags, Floats
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates, age_group
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
        votes = np.ones(len(sample.rows)) if weight is None else weight[sample.rows.deal]
        return RateTable(Rates.rounded(rates_of_rows(sample, votes, weight, self.by_age, self.m, self.monotone)))


def rates_of_rows(
    sample: Sample,
    votes: Floats,
    weight: Floats | None,
    by_age: bool,
    m: float | None = PRIOR_DEALS,
    monotone: bool = False,
) -> Floats:
    """Weighted share of wins of the resolved rows per cell, shrunk on deals; shape (stages, 1 or 2).

    votes    weight of each row
    weight   how many times each deal counts, for the size of a sample
    """
    used = sample.resolved & (votes > 0)
    won = (sample.label == 1).astype(np.float64)
    total = float(votes[used].sum())
    pooled = float((votes * won)[used].sum() / total) if total > 0 else np.nan
    share, deals = _cells(sample, votes, weight, used, by_age=False)
    stage = shrink(share, deals, pooled, _prior(m, share, deals))
    if monotone:
        stage = isotonic(stage[:, 0], deals[:, 0])[:, None]
    if not by_age:
        return stage
    share, deals = _cells(sample, votes, weight, used, by_age=True)
    return shrink(share, deals, np.broadcast_to(stage, share.shape), _prior(m, share, deals))


def _cells(
    sample: Sample, votes: Floats, weight: Floats | None, used: Flags, *, by_age: bool
) -> tuple[Floats, Floats]:
    """Per cell the share of wins and the number of deals behind it."""
    shape = (len(sample.histories.stages), 2 if by_age else 1)
    size = shape[0] * shape[1]
    cell = (sample.rows.stage * shape[1] + age_group(sample.rows, by_age))[used]
    total = np.bincount(cell, votes[used], minlength=size)
    wins = np.bincount(cell, votes[used] * (sample.label[used] == 1), minlength=size)
    pairs = np.unique(cell * sample.histories.deals + sample.rows.deal[used])
    times = None if weight is None else weight[pairs % sample.histories.deals]
    deals = np.bincount(pairs // max(sample.histories.deals, 1), times, minlength=size).astype(np.float64)
    share = np.divide(wins, total, out=np.full(size, np.nan), where=total > 0)
    return share.reshape(shape), deals.reshape(shape)


def _prior(m: float | None, share: Floats, deals: Floats) -> float:
    if m is not None:
        return m
    return estimated_m((np.nan_to_num(share) * deals).ravel(), deals.ravel())
