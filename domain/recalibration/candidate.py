"""What every way of estimating stage win rates has in common."""

from typing import Protocol

from domain.recalibration.columns import Floats
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.rates import Rates
from domain.recalibration.sample import Sample


class Fitted(Protocol):
    """An estimator after it has seen a sample."""

    @property
    def rates(self) -> Rates:
        """What could be adopted: a rate per stage, or per stage and age group."""

    def probability(self, rows: Landmarks) -> Floats:
        """The chance of each open deal to be won, on the target it was fitted for, rounded to 6 places;
        NaN where it is unknown."""


class Candidate(Protocol):
    """A deterministic, versioned way to estimate stage win rates."""

    @property
    def name(self) -> str:
        """Name and version, such as landmark/1. A change of what it computes is a new version."""

    def fit(self, sample: Sample, weight: Floats | None = None) -> Fitted | None:
        """Fit on a sample; `weight` counts each deal that many times (one element per deal of the
        histories). None where the candidate does not apply."""
