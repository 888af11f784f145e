"""Annual outlook (S8): won, expected from open deals, expected from deals not yet born, and the gap left."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction

import msgspec

from domain.calendar import Period, month_of
from domain.exact import rounded, total
from domain.forecast import Figures

_MICROSECOND = timedelta(microseconds=1)
GAP_FACTOR = 3
RATE_PLACES = 6
COUNT_PLACES = 4


class Past(msgspec.Struct, frozen=True):
    """What the 12 months up to the moment asked about say of deals to come.

    `opened` are the amounts of the deals opened in them (None: unknown); `won_cycles` the times in
    microseconds from opened to won of the deals won in them; `closed_deals` counts those won, lost or
    abandoned in them. `months` is 12, or less where the history is younger.
    """

    opened: Sequence[Decimal | None]
    won_cycles: Sequence[int]
    closed_deals: int
    months: int = 12


class ClosedYear(msgspec.Struct, frozen=True):
    """The last closed year: amount won in it and amount of the deals opened in it."""

    won: Decimal
    opened: Decimal


class Births(msgspec.Struct, frozen=True):
    """What deals born in a month, or in the rest of the current one, are expected to bring in by year end.

    `new_deals` is shown in 4 places and used exactly; `win_probability` before year end is rounded to 6 before
    it is used, as every rate is.
    `counted` is false where the time left does not exceed the mean cycle; the amount is 0 then.
    """

    month: str
    new_deals: Decimal
    win_probability: Decimal
    counted: bool
    amount: Decimal


class Outlook(msgspec.Struct, frozen=True):
    """The year: target, three sources of wins, the gap, and the new pipeline it takes to close it.

    `w2` is None where no deal has a rate and `w3` where the past says nothing (no amount of an opened deal,
    nothing won); the gap takes such a one for 0. `gap2` is 3 times `gap1`; `gap2_own` divides by our own
    `own_conversion` instead (6 places), both None where the last closed year shows none.
    """

    target: Decimal
    w1: Decimal
    w2: Decimal | None
    w3: Decimal | None
    gap1: Decimal
    gap2: Decimal
    gap2_own: Decimal | None
    own_conversion: Decimal | None
    births: tuple[Births, ...]
    formula: str = "outlook/1"


def outlook(
    target: Decimal,
    at: datetime,
    year: Period,
    tz: tzinfo,
    this_year: Figures,
    past: Past,
    last_year: ClosedYear | None,
    places: int = 2,
) -> Outlook:
    """The outlook at `at` for the fiscal year that holds it.

    `this_year` are the figures of the year's months: W1 is what they hold as won, W2 their F2 of open deals,
    those overdue since earlier in the year included. `places` are the decimal places of the currency; W3 and
    `gap2_own` are rounded to them, the rest is exact.

    Where the source is silent (ours): deals of a month are born at its middle, the current month at the middle
    of what is left of it; the win share is won among closed in the past 12 months; the cycle distribution is
    the plain one of the deals won in them, a cycle that ends just at year end included.

    Raises ValueError if `at` does not lie in `year`, or the past has less than a month or more wins than closed deals.
    """
    if not year.start <= at < year.end:
        raise ValueError(f"{at.isoformat()} does not lie in {year.label}")
    if past.months < 1:
        raise ValueError("the past must hold at least one month")
    if past.closed_deals < len(past.won_cycles):
        raise ValueError("closed_deals must count the won ones, too")
    births = _births(at, year, tz, past, places)
    w3 = total(month.amount for month in births) if births else None
    missing = total(
        (target, *(w.copy_negate() for w in (this_year.won, this_year.f2_open, w3) if w is not None))
    )
    gap1 = max(Decimal(0), missing)
    own = _own_conversion(last_year)
    return Outlook(
        target=target,
        w1=this_year.won,
        w2=this_year.f2_open,
        w3=w3,
        gap1=gap1,
        gap2=total([gap1] * GAP_FACTOR),
        gap2_own=rounded(Fraction(gap1) / Fraction(own), places) if own is not None else None,
        own_conversion=own,
        births=births,
    )


def _births(at: datetime, year: Period, tz: tzinfo, past: Past, places: int) -> tuple[Births, ...]:
    known = [amount for amount in past.opened if amount is not None]
    wins = len(past.won_cycles)
    if not known or not wins:
        return ()
    mean_amount = Fraction(total(known)) / len(known)
    mean_cycle = Fraction(sum(past.won_cycles), wins)
    births = []
    for month in _months_left(at, year, tz):
        begin = max(at, month.start)
        part = Fraction((month.end - begin) // _MICROSECOND, (month.end - month.start) // _MICROSECOND)
        new_deals = Fraction(len(past.opened), past.months) * part
        left = Fraction((year.end - begin + (year.end - month.end)) // _MICROSECOND, 2)
        in_time = sum(cycle <= left for cycle in past.won_cycles)
        # Win share (won / closed) times the share of wins whose cycle fits in the time left (in time / won).
        probability = rounded(Fraction(in_time, past.closed_deals), RATE_PLACES)
        counted = left > mean_cycle
        amount = new_deals * mean_amount * Fraction(probability) if counted else Fraction(0)
        shown = rounded(new_deals, COUNT_PLACES)
        births.append(Births(month.label, shown, probability, counted, rounded(amount, places)))
    return tuple(births)


def _months_left(at: datetime, year: Period, tz: tzinfo) -> list[Period]:
    months = [month_of(at, tz)]
    while months[-1].end < year.end:
        months.append(month_of(months[-1].end, tz))
    return months


def _own_conversion(last_year: ClosedYear | None) -> Decimal | None:
    if last_year is None or not last_year.opened:
        return None
    return rounded(Fraction(last_year.won) / Fraction(last_year.opened), RATE_PLACES) or None
