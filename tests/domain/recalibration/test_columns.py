"""Columns: helpers that everything else relies on, beside the plain way to say the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.recalibration.columns import distinct_pairs, ints

pairs = st.lists(st.tuples(st.integers(-(2**62), 2**62), st.integers(-50, 30_000)), max_size=60)


@given(found=pairs, again=st.integers(1, 3))
def test_distinct_pairs_are_in_order_and_every_element_finds_its_own(
    found: list[tuple[int, int]], again: int
) -> None:
    elements = found * again
    first, second = (ints([pair[column] for pair in elements]) for column in (0, 1))
    firsts, seconds, index = distinct_pairs(first, second)
    assert list(zip(firsts.tolist(), seconds.tolist(), strict=True)) == sorted(set(found))
    assert np.array_equal(firsts[index], first)
    assert np.array_equal(seconds[index], second)
