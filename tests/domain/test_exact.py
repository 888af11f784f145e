from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.exact import rounded, total, weighted_total

decimals = st.decimals(-(10**15), 10**15, places=6)


@given(st.lists(st.tuples(decimals, decimals)), st.integers(1, 40))
def test_sums_have_no_error_whatever_the_ambient_precision(
    pairs: list[tuple[Decimal, Decimal]], precision: int
) -> None:
    with localcontext(prec=precision):
        plain, weighted = total(left for left, _ in pairs), weighted_total(pairs)
    assert Fraction(plain) == sum(Fraction(left) for left, _ in pairs)
    assert Fraction(weighted) == sum(Fraction(left) * Fraction(right) for left, right in pairs)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (Fraction(1, 8), 2, "0.12"),
        (Fraction(3, 8), 2, "0.38"),
        (Fraction(2, 3), 4, "0.6667"),
        (Fraction(-1, 8), 2, "-0.12"),
        (Fraction(1), 4, "1.0000"),
        (Fraction(5, 2), 0, "2"),
        (Fraction(0), 4, "0.0000"),
    ],
)
def test_rounding_is_half_even_and_shows_its_places(value: Fraction, places: int, text: str) -> None:
    assert str(rounded(value, places)) == text
