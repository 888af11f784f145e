"""Decimal sums and rounding without a hidden error, so that no figure depends on the order of its rows."""

from collections.abc import Iterable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from functools import reduce

# A thousand digits hold any sum of amounts times rates; should one ever need more, it raises.
_EXACT = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation, Overflow])


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum, in any order; 0 of nothing."""
    return reduce(_EXACT.add, values, Decimal(0))


def weighted_total(pairs: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """The exact sum of products such as amount times rate; 0 of nothing."""
    return total(_EXACT.multiply(amount, weight) for amount, weight in pairs)


def rounded(value: Fraction, places: int) -> Decimal:
    """The exact value rounded once, half-even, to `places` decimal places, all of them shown."""
    return Decimal(f"{round(value * 10**places)}e-{places}")
