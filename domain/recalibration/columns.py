"""Names for the columns that everything in this package passes around: one-dimensional numpy arrays."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

DAY = 86_400_000_000
"""Microseconds of an elapsed day of 24 hours."""

FOREVER = 2**62
"""Later than any instant in microseconds."""


def ints(values: object) -> Ints:
    """`values` as a column of 64-bit integers."""
    return np.asarray(values, dtype=np.int64)


def add_up(places: Ints, values: NDArray[Any], size: int) -> Floats:
    """Sum of the values at each place from 0 to size - 1."""
    return np.asarray(np.bincount(places, values, minlength=size), dtype=np.float64)


def starts_of_runs(keys: Ints) -> Flags:
    """Where a value differs from the one before it; the first element starts a run."""
    starts = np.ones(len(keys), dtype=np.bool_)
    starts[1:] = keys[1:] != keys[:-1]
    return starts


def distinct_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints, Ints]:
    """The distinct pairs in ascending order, in two columns, and per element the index of its pair.

    The values of `second` lie close together (their spread times the number of elements is below 2^63).
    """
    firsts, place = np.unique(first, return_inverse=True)
    low = second.min(initial=FOREVER)
    spread = int(second.max(initial=low) - low) + 1
    pairs, index = np.unique(place * spread + (second - low), return_inverse=True)
    return firsts[pairs // spread], low + pairs % spread, ints(index)


def micros(rate: Floats) -> Ints:
    """Rates as whole millionths, half-even; an unknown rate (NaN) becomes -1."""
    return np.where(np.isnan(rate), -1, np.rint(np.nan_to_num(rate) * 1_000_000)).astype(np.int64)
