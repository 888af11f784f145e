"""Which streams a fold sees together, and which slice they belong to. The one place that knows."""

from collections.abc import Callable
from uuid import UUID

from domain.manager_forecast import forecast_stream

COMPANIONS: tuple[Callable[[UUID], UUID], ...] = (forecast_stream,)
"""From a partition key to the ids of the further streams that share it.

A deal's own stream (and the playbook's) has the partition key as its id. A stream whose id is derived from the deal's
is added here, as the function that derives it, and by nothing else: live, rebuilt and replayed then see both.
"""


def companions_of(keys: list[UUID]) -> list[UUID]:
    """The further streams of some partition keys."""
    return [companion(key) for companion in COMPANIONS for key in keys]


def slice_of(key: UUID, slices: int) -> int:
    """The slice of a partition key: Fibonacci hashing of its low 64 bits, the same on every machine for ever."""
    return 0 if slices == 1 else ((key.int & _MASK) * 0x9E3779B97F4A7C15 & _MASK) * slices >> 64


_MASK = (1 << 64) - 1
