from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import fiscal_year, parse_fiscal_year, parse_month
from domain.forecast import Figures
from domain.outlook import ClosedYear, Outlook, Past, outlook

DAY = 86_400_000_000
BERLIN = ZoneInfo("Europe/Berlin")
YEAR = parse_fiscal_year("FY2011", UTC, 1)


def this_year(won: Decimal, expected: Decimal | None) -> Figures:
    zero = Decimal(0)
    return Figures(0, zero, 0, won, zero, expected, won, None, None)


amounts = st.decimals(0, 10**10, places=2)
cycles = st.lists(st.integers(0, 400 * DAY), max_size=8)


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    won = draw(cycles)
    return Past(
        opened=draw(st.lists(st.none() | amounts, max_size=8)),
        won_cycles=won,
        closed_deals=len(won) + draw(st.integers(0, 10)),
        months=draw(st.integers(1, 12)),
    )


def microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def unborn(at: datetime, year_end: datetime, past: Past) -> Fraction | None:
    """W3 of a calendar year in UTC, unrounded, month by month as the definition says."""
    known = [Fraction(amount) for amount in past.opened if amount is not None]
    if not known or not past.won_cycles:
        return None
    total = Fraction(0)
    for number in range(at.month, 13):
        month = parse_month(f"{at.year}-{number:02}", UTC)
        begin = max(month.start, at)
        pro_rata = Fraction(microseconds(month.end - begin), microseconds(month.end - month.start))
        left = Fraction(microseconds(year_end - begin) + microseconds(year_end - month.end), 2)
        if left <= Fraction(sum(past.won_cycles), len(past.won_cycles)):
            continue
        win_share = Fraction(len(past.won_cycles), past.closed_deals)
        in_time = Fraction(sum(cycle <= left for cycle in past.won_cycles), len(past.won_cycles))
        new_deals = Fraction(len(past.opened), past.months) * pro_rata
        total += new_deals * (sum(known) / len(known)) * win_share * in_time
    return total


moments = st.timedeltas(timedelta(0), timedelta(days=364)).map(lambda passed: YEAR.start + passed)


@given(moments, pasts())
def test_w3_follows_the_definition_up_to_its_stated_rounding(at: datetime, past: Past) -> None:
    result = outlook(Decimal(0), at, YEAR, UTC, this_year(Decimal(0), None), past, None)
    exact = unborn(at, YEAR.end, past)
    if exact is None:
        assert result.w3 is None
        assert result.births == ()
        return
    # Each of at most twelve months has its probability rounded at 6 places and its amount at 2; no more than
    # eight deals are born in one.
    largest = max((Fraction(amount) for amount in past.opened if amount is not None), default=Fraction(0))
    assert result.w3 is not None
    assert abs(Fraction(result.w3) - exact) <= 12 * (8 * largest * Fraction(1, 2 * 10**6) + Fraction(1, 200))
    assert result.w3 == sum(month.amount for month in result.births)


@given(
    st.decimals(0, 10**12, places=2),
    amounts,
    st.none() | st.decimals(0, 10**10, places=8),
    moments,
    pasts(),
    st.none() | st.builds(ClosedYear, amounts, amounts),
    st.randoms(use_true_random=False),
)
def test_the_gaps_by_their_definition(
    target: Decimal,
    won: Decimal,
    expected: Decimal | None,
    at: datetime,
    past: Past,
    last: ClosedYear | None,
    order: Random,
) -> None:
    def look() -> Outlook:
        return outlook(target, at, YEAR, UTC, this_year(won, expected), past, last)

    result = look()
    assert (result.w1, result.w2) == (won, expected)
    gap = Fraction(target) - Fraction(won) - Fraction(expected or 0) - Fraction(result.w3 or 0)
    assert result.gap1 == max(Fraction(0), gap)
    assert result.gap2 == 3 * Fraction(result.gap1)
    if last is None or last.opened == 0 or round(Fraction(last.won) / Fraction(last.opened) * 10**6) == 0:
        assert (result.own_conversion, result.gap2_own) == (None, None)
    else:
        own = Fraction(round(Fraction(last.won) / Fraction(last.opened) * 10**6), 10**6)
        assert result.own_conversion == own
        assert result.gap2_own == Fraction(round(Fraction(result.gap1) / own * 100), 100)
    for rows in (past.opened, past.won_cycles):
        order.shuffle(rows)  # type: ignore[arg-type]
    assert msgspec.json.encode(look()) == msgspec.json.encode(result)


def test_a_year_at_half_time() -> None:
    # One deal of 1,000 a month, half of the closed ones won, each after 60 days.
    past = Past(opened=[Decimal(1000)] * 12, won_cycles=[60 * DAY] * 6, closed_deals=12)
    at = datetime(2011, 7, 1, tzinfo=UTC)
    last = ClosedYear(won=Decimal(3000), opened=Decimal(12000))
    result = outlook(Decimal(20000), at, YEAR, UTC, this_year(Decimal(4000), Decimal(5000)), past, last)
    # Born in July to October they come in; from mid-November on less than the mean cycle is left.
    assert [(birth.month, birth.counted, birth.amount) for birth in result.births] == [
        ("2011-07", True, 500),
        ("2011-08", True, 500),
        ("2011-09", True, 500),
        ("2011-10", True, 500),
        ("2011-11", False, 0),
        ("2011-12", False, 0),
    ]
    assert (result.w1, result.w2, result.w3) == (4000, 5000, 2000)
    assert (result.gap1, result.gap2) == (9000, 27000)
    assert (result.own_conversion, result.gap2_own) == (Decimal("0.25"), 36000)


def test_the_current_month_counts_pro_rata() -> None:
    past = Past(opened=[Decimal(1000)] * 12, won_cycles=[0], closed_deals=1)
    at = datetime(2011, 4, 16, tzinfo=UTC)
    births = outlook(Decimal(0), at, YEAR, UTC, this_year(Decimal(0), None), past, None).births
    assert [(birth.month, birth.new_deals) for birth in births[:2]] == [
        ("2011-04", Decimal("0.5")),
        ("2011-05", 1),
    ]


def test_slow_wins_that_do_not_fit_into_the_year_count_for_nothing() -> None:
    # Mean cycle 100 days: those of 190 days, won half of the time, do not make it from mid-July.
    past = Past(opened=[Decimal(1200)] * 12, won_cycles=[10 * DAY, 190 * DAY], closed_deals=2)
    at = datetime(2011, 7, 1, tzinfo=UTC)
    births = outlook(Decimal(0), at, YEAR, UTC, this_year(Decimal(0), None), past, None).births
    assert births[0].win_probability == Decimal("0.5")
    assert births[0].amount == 600
    assert not births[-1].counted


def test_the_time_left_must_exceed_the_mean_cycle() -> None:
    at = datetime(2011, 12, 1, tzinfo=UTC)  # from the middle of December 15.5 days are left
    for mean_cycle, counted in ((31 * DAY // 2, False), (31 * DAY // 2 - 1, True)):
        past = Past(opened=[Decimal(1000)] * 12, won_cycles=[mean_cycle], closed_deals=1)
        births = outlook(Decimal(0), at, YEAR, UTC, this_year(Decimal(0), None), past, None).births
        assert [birth.counted for birth in births] == [counted]


def test_a_young_history_is_spread_over_the_months_it_has() -> None:
    past = Past(opened=[Decimal(1000)] * 6, won_cycles=[0], closed_deals=1, months=3)
    at = datetime(2011, 4, 1, tzinfo=UTC)
    births = outlook(Decimal(0), at, YEAR, UTC, this_year(Decimal(0), None), past, None).births
    assert births[0].new_deals == 2


def test_a_target_that_is_reached_leaves_no_gap() -> None:
    nothing = Past([], [], 0)
    at = datetime(2011, 7, 1, tzinfo=UTC)
    result = outlook(Decimal(100), at, YEAR, UTC, this_year(Decimal(150), None), nothing, None)
    assert (result.w2, result.w3, result.gap1, result.gap2, result.gap2_own) == (None, None, 0, 0, None)


def test_a_fiscal_year_ends_by_the_local_clock() -> None:
    at = datetime(2011, 11, 20, 12, tzinfo=UTC)
    year = fiscal_year(at, BERLIN, 10)
    past = Past(opened=[Decimal(1000)] * 12, won_cycles=[0], closed_deals=1)
    births = outlook(Decimal(0), at, year, BERLIN, this_year(Decimal(0), None), past, None).births
    assert [birth.month for birth in births] == [
        *("2011-11", "2011-12"),
        *(f"2012-{month:02}" for month in range(1, 10)),
    ]


@pytest.mark.parametrize(
    ("at", "past", "message"),
    [
        (datetime(2012, 1, 1, tzinfo=UTC), Past([], [], 0), "does not lie in FY2011"),
        (datetime(2011, 7, 1, tzinfo=UTC), Past([], [], 0, months=0), "at least one month"),
        (datetime(2011, 7, 1, tzinfo=UTC), Past([], [1, 2], 1), "won ones"),
    ],
)
def test_what_makes_no_sense_is_refused(at: datetime, past: Past, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        outlook(Decimal(0), at, YEAR, UTC, this_year(Decimal(0), None), past, None)
