"""A fitted estimator that is nothing but its rates."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.rates import Rates


@dataclass(frozen=True)
class RateTable:
    """Every deal has the rate of its stage, or of its stage and age group."""

    rates: Rates

    def probability(self, rows: Landmarks) -> Floats:
        """The rate of each row as a number from 0 to 1, NaN where there is none."""
        rate = self.rates.of(rows)
        return np.where(rate < 0, np.nan, rate / 1_000_000)


@dataclass(frozen=True)
class Current:
    """`current`: the rate set in force, which is not fitted at all."""

    rates: Rates
    name: str = "current"

    def fit(self, sample: object, weight: Floats | None = None) -> RateTable:  # noqa: ARG002
        """The rates as they are."""
        return RateTable(self.rates)
