"""Chance, from a generator that is passed in: bootstrap weights of deals, and uniform numbers.

The generator is the standard library's, whose bytes are the same on every machine and in every release; only
the arithmetic on them is numpy's.
"""

from collections.abc import Iterator
from math import exp, factorial
from random import Random

import numpy as np

from domain.recalibration.columns import Floats

_COUNTS = np.cumsum([exp(-1) / factorial(count) for count in range(12)])


def uniforms(rng: Random, size: int) -> Floats:
    """So many numbers, uniform between 0 and 1, both excluded."""
    return (np.frombuffer(rng.randbytes(4 * size), dtype="<u4") + 0.5) / 2.0**32


def bootstrap_weights(rng: Random, deals: int, replicates: int) -> Iterator[Floats]:
    """Per replicate, how often each deal is drawn: independent Poisson counts of mean 1.

    The Poisson bootstrap (Hanley and MacGibbon 2006): no row is copied, and a deal counts with all its rows.
    """
    for _ in range(replicates):
        yield np.searchsorted(_COUNTS, uniforms(rng, deals)).astype(np.float64)


def interval(draws: Floats, coverage: float = 0.9) -> tuple[Floats, Floats]:
    """Lower and upper percentile along the first axis, unknown draws (NaN) left out."""
    tail = 100.0 * (1.0 - coverage) / 2.0
    known = ~np.isnan(draws).all(axis=0)
    low, high = np.full(draws.shape[1:], np.nan), np.full(draws.shape[1:], np.nan)
    if known.any():
        low[known], high[known] = np.nanpercentile(draws[:, known], [tail, 100.0 - tail], axis=0)
    return low, high
