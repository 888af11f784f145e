from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction
from random import Random
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.forecast import (
    EVENTUALLY,
    Accuracy,
    Figures,
    ForecastTable,
    ManagerForecast,
    OpenDeal,
    Snapshot,
    WonDeal,
    accuracy,
    accuracy_by_lead,
    forecast_table,
)

TODAY = date(2011, 11, 15)
MONTHS = ("2011-10", "2011-11", "2011-12", "2012-01", EVENTUALLY)
QUARTER = {"2011-10", "2011-11", "2011-12"}

amounts = st.decimals(0, 10**13, places=2)
names = st.none() | st.sampled_from(["ada", "bo", "cy"])
stages = st.sampled_from(["bidding", "negotiation"])


@st.composite
def open_deals(draw: st.DrawFn) -> OpenDeal:
    dated = draw(st.integers(0, 4)) > 0
    return OpenDeal(
        deal=UUID(int=draw(st.integers(0, 2**64))),
        owner=draw(names),
        team=draw(names),
        stage=draw(stages),
        amount=draw(st.none() | amounts),
        expected_close=draw(st.none() | st.dates(date(2011, 10, 1), date(2012, 1, 31))),
        forecast=draw(st.none() | st.builds(ManagerForecast, st.sampled_from(MONTHS), amounts)),
        stage_rate=draw(st.none() | st.decimals(0, 1, places=6)),
        dated=dated,
    )


won_deals = st.builds(
    WonDeal, st.uuids(), names, names, st.none() | stages, st.none() | amounts, st.sampled_from(MONTHS)
)
opens = st.lists(open_deals(), max_size=10, unique_by=lambda deal: deal.deal)
wons = st.lists(won_deals, max_size=6)
periods = st.sampled_from([{month} for month in MONTHS] + [QUARTER])


def expected_month(deal: OpenDeal) -> str | None:
    if not deal.dated:
        return "eventually"
    return deal.expected_close.isoformat()[:7] if deal.expected_close else None


def recomputed(months: set[str], opened: list[OpenDeal], won: list[WonDeal]) -> tuple[Fraction, ...]:
    """won, F1 and F2 of the open deals, number of those and their amount: one deal after the other."""
    done = f1 = f2 = count = pipeline = Fraction(0)
    for sale in won:
        if sale.month in months:
            done += Fraction(sale.amount or 0)
    for deal in opened:
        if expected_month(deal) not in months:
            continue
        count += 1
        pipeline += Fraction(deal.amount or 0)
        f2 += Fraction(deal.amount or 0) * Fraction(deal.stage_rate or 0)
        if deal.forecast is not None and deal.forecast.month == expected_month(deal):
            f1 += Fraction(deal.forecast.amount)
    return done, f1, f2, count, pipeline


@given(periods, opens, wons)
def test_the_figures_equal_a_slow_recomputation(
    months: set[str], opened: list[OpenDeal], won: list[WonDeal]
) -> None:
    done, f1, f2, count, pipeline = recomputed(months, opened, won)
    total = forecast_table(months, opened, won, TODAY).total
    assert (total.won, total.f1_open, total.open_deals, total.open_amount) == (done, f1, count, pipeline)
    assert total.f1_final == done + f1
    if total.f2_open is None:
        assert f2 == 0
        assert (total.f2_final, total.difference) == (None, None)
    else:
        assert (total.f2_open, total.f2_final, total.difference) == (f2, done + f2, f1 - f2)


@given(periods, opens, wons)
def test_every_grouping_adds_up_to_the_total(
    months: set[str], opened: list[OpenDeal], won: list[WonDeal]
) -> None:
    table = forecast_table(months, opened, won, TODAY)
    for groups in (table.by_stage, table.by_owner, table.by_team):
        keys = [group.key for group in groups]
        assert keys == sorted(keys, key=lambda key: (key is None, key))
        assert len(keys) == len(set(keys))
        for field in ("open_deals", "open_amount", "won_deals", "won", "f1_open", "f1_final", "f2_open"):
            parts = [Fraction(getattr(group.figures, field) or 0) for group in groups]
            assert sum(parts) == (getattr(table.total, field) or 0)


@given(opens, wons)
def test_a_quarter_is_the_sum_of_its_months(opened: list[OpenDeal], won: list[WonDeal]) -> None:
    quarter = forecast_table(QUARTER, opened, won, TODAY).total
    months = [forecast_table({month}, opened, won, TODAY).total for month in QUARTER]
    for field in ("open_deals", "open_amount", "won", "f1_open", "f1_final", "f2_open"):
        assert sum(Fraction(getattr(month, field) or 0) for month in months) == (getattr(quarter, field) or 0)


@given(periods, opens, wons, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(
    months: set[str], opened: list[OpenDeal], won: list[WonDeal], order: Random
) -> None:
    def table() -> bytes:
        return msgspec.json.encode(forecast_table(months, opened, won, TODAY))

    before = table()
    order.shuffle(opened)
    order.shuffle(won)
    assert table() == before


@given(periods, opens)
def test_the_lists_hold_what_their_names_say(months: set[str], opened: list[OpenDeal]) -> None:
    def where(condition: str) -> tuple[UUID, ...]:
        named = {
            "expected": lambda d: expected_month(d) in months,
            "moved": lambda d: (
                d.forecast is not None
                and d.forecast.month != expected_month(d)
                and (d.forecast.month in months or expected_month(d) in months)
            ),
            "undated": lambda d: d.dated and d.expected_close is None,
            "overdue": lambda d: d.dated and d.expected_close is not None and d.expected_close < TODAY,
            "no forecast": lambda d: d.forecast is None,
            "no rate": lambda d: d.stage_rate is None,
            "no amount": lambda d: d.amount is None,
        }
        wanted = [named[name] for name in condition.split(" and ")]
        return tuple(sorted(d.deal for d in opened if all(check(d) for check in wanted)))

    lists = forecast_table(months, opened, [], TODAY).lists
    assert lists.without_forecast == where("expected and no forecast")
    assert lists.month_moved == where("moved")
    assert lists.undated == where("undated")
    assert lists.overdue == where("overdue")
    assert lists.without_rate == where("expected and no rate")
    assert lists.without_amount == where("expected and no amount")


def a_deal(
    number: int, amount: str | None = "1000", close: date | None = date(2011, 11, 30), **more
) -> OpenDeal:
    return OpenDeal(
        deal=UUID(int=number),
        owner="ada",
        team="north",
        stage="bidding",
        amount=None if amount is None else Decimal(amount),
        expected_close=close,
        **more,
    )


def november(*opened: OpenDeal, won: tuple[WonDeal, ...] = ()) -> ForecastTable:
    return forecast_table({"2011-11"}, opened, won, TODAY)


def test_a_month_with_everything_in_it() -> None:
    half = Decimal("0.5")
    sold = WonDeal(UUID(int=9), "bo", "south", "negotiation", Decimal(400), "2011-11")
    table = november(
        a_deal(1, forecast=ManagerForecast("2011-11", Decimal(900)), stage_rate=half),
        a_deal(2, stage_rate=half),
        won=(sold,),
    )
    assert table.total == Figures(
        open_deals=2,
        open_amount=Decimal(2000),
        won_deals=1,
        won=Decimal(400),
        f1_open=Decimal(900),
        f2_open=Decimal(1000),
        f1_final=Decimal(1300),
        f2_final=Decimal(1400),
        difference=Decimal(-100),
    )
    assert table.lists.without_forecast == (UUID(int=2),)
    assert [(group.key, group.figures.difference) for group in table.by_team] == [
        ("north", -100),
        ("south", 0),
    ]


def test_a_forecast_leaves_f1_when_the_deal_slips_and_counts_again_when_it_comes_back() -> None:
    forecast = ManagerForecast("2011-11", Decimal(900))
    assert november(a_deal(1, forecast=forecast)).total.f1_open == 900
    slipped = a_deal(1, close=date(2011, 12, 1), forecast=forecast)
    for month in ("2011-11", "2011-12"):
        table = forecast_table({month}, [slipped], [], TODAY)
        assert table.total.f1_open == 0
        assert table.lists.month_moved == (UUID(int=1),)
    assert forecast_table({"2012-01"}, [slipped], [], TODAY).lists.month_moved == ()


def test_a_deal_whose_date_was_cleared_takes_its_forecast_out() -> None:
    cleared = a_deal(1, close=None, forecast=ManagerForecast("2011-11", Decimal(900)))
    table = november(cleared)
    assert (table.total.f1_open, table.lists.month_moved, table.lists.undated) == (
        0,
        (UUID(int=1),),
        (UUID(int=1),),
    )


def test_a_slip_within_the_quarter_is_out_of_the_quarter_too() -> None:
    slipped = a_deal(1, close=date(2011, 12, 1), forecast=ManagerForecast("2011-11", Decimal(900)))
    table = forecast_table(QUARTER, [slipped], [], TODAY)
    assert (table.total.f1_open, table.lists.month_moved) == (0, (UUID(int=1),))


def test_a_deal_expected_today_is_not_overdue() -> None:
    assert november(a_deal(1, close=TODAY)).lists.overdue == ()
    assert november(a_deal(1, close=date(2011, 11, 14))).lists.overdue == (UUID(int=1),)


def test_without_any_rate_f2_is_not_computed_and_not_zero() -> None:
    table = november(a_deal(1), a_deal(2))
    assert (table.total.f2_open, table.total.f2_final, table.total.difference) == (None, None, None)
    assert november(a_deal(1), a_deal(2, stage_rate=Decimal(0))).total.f2_open == 0
    assert november(a_deal(1, amount=None, stage_rate=Decimal(1))).total.f2_open is None
    assert november().total.f2_open == 0


def test_an_undated_funnel_has_one_horizon() -> None:
    deal = a_deal(
        1,
        close=None,
        dated=False,
        stage_rate=Decimal("0.25"),
        forecast=ManagerForecast(EVENTUALLY, Decimal(700)),
    )
    table = forecast_table({EVENTUALLY}, [deal], [], TODAY)
    assert (table.total.f1_open, table.total.f2_open) == (700, 250)
    assert table.lists.undated == ()
    assert november(deal).total.open_deals == 0


def test_sums_are_exact_whatever_the_ambient_precision() -> None:
    deals = [a_deal(n, amount="9999999999999.99", stage_rate=Decimal("0.333333")) for n in range(1000)]
    with localcontext(prec=5):
        total = november(*deals).total
    assert total.f2_open == Fraction("9999999999999.99") * Fraction("0.333333") * 1000


snapshots = st.lists(
    st.builds(Snapshot, st.integers(0, 5), amounts, st.just(Decimal(0)) | amounts), max_size=12
)


def four_places(value: Fraction) -> Decimal:
    return Decimal(round(value * 10**4)).scaleb(-4)


@given(snapshots)
def test_bias_and_wape_by_their_formulas(rows: list[Snapshot]) -> None:
    actual = sum(Fraction(row.actual) for row in rows)
    errors = [Fraction(row.forecast) - Fraction(row.actual) for row in rows]
    found = accuracy(rows)
    assert found.snapshots == len(rows)
    if actual == 0:
        assert (found.bias, found.wape) == (None, None)
    else:
        assert found.bias == four_places(sum(errors) / actual)
        assert found.wape == four_places(sum(abs(error) for error in errors) / actual)
        assert found.wape >= abs(found.bias)


@given(snapshots, st.randoms(use_true_random=False))
def test_accuracy_is_grouped_by_weeks_before_close_in_any_order(rows: list[Snapshot], order: Random) -> None:
    groups = accuracy_by_lead(rows)
    assert [group.weeks_before_close for group in groups] == sorted(
        {r.weeks_before_close for r in rows}, reverse=True
    )
    for group in groups:
        assert group.accuracy == accuracy(
            [r for r in rows if r.weeks_before_close == group.weeks_before_close]
        )
    order.shuffle(rows)
    assert accuracy_by_lead(rows) == groups


def test_a_manager_who_always_says_a_tenth_too_much() -> None:
    rows = [Snapshot(2, Decimal(110), Decimal(100)), Snapshot(2, Decimal(220), Decimal(200))]
    assert accuracy(rows) == Accuracy(2, Decimal("0.1"), Decimal("0.1"))
    evens_out = [Snapshot(2, Decimal(150), Decimal(100)), Snapshot(2, Decimal(50), Decimal(100))]
    assert accuracy(evens_out) == Accuracy(2, Decimal(0), Decimal("0.5"))
    assert accuracy([Snapshot(2, Decimal(150), Decimal(0))]) == Accuracy(1, None, None)
