from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.win_rate import (
    Assessment,
    Change,
    Comparison,
    Competitor,
    Drop,
    RatedDeal,
    Rival,
    RollUp,
    drop,
    roll_up,
    win_rate,
)

# Few distinct scores make ties, zeros and changes of rank common; fine ones exercise the rounding.
scores = st.sampled_from([Decimal(n) for n in range(0, 11, 2)]) | st.decimals(0, 10, places=2)
known = st.builds(Assessment, scores, scores)
assessments = known | st.builds(Assessment, st.none() | scores, st.none() | scores)
factors = st.decimals("0.01", "0.7", places=2)


def party(strength: int | str) -> Assessment:
    return Assessment(Decimal(strength), Decimal(strength))


@st.composite
def comparisons(draw: st.DrawFn, us: st.SearchStrategy[Assessment] = assessments) -> Comparison:
    drawn = draw(st.lists(assessments, max_size=5))
    return Comparison(
        compelling_event=draw(st.booleans()),
        us=draw(us),
        competitors=tuple(Competitor(f"rival-{i}", rival) for i, rival in enumerate(drawn)),
        sole_source=not drawn and draw(st.booleans()),
        inside_source=draw(st.booleans()),
        no_inside_source_factor=draw(factors),
    )


def mean_of(of: Assessment) -> Fraction | None:
    if of.need_fit is None or of.relationship is None:
        return None
    return (Fraction(of.need_fit) + Fraction(of.relationship)) / 2


def by_the_book(c: Comparison) -> tuple[str, Fraction | None]:
    """The six steps of the definition, one after the other, unrounded."""
    if not c.compelling_event:
        return "not_computed", None
    us = mean_of(c.us)
    if us is None:
        return "not_computed", None
    others = sorted(s for s in (mean_of(x.assessment) for x in c.competitors) if s is not None)
    if len([s for s in others if s > us]) >= 3:
        return "not_in_top_three", Fraction(0)
    if c.sole_source:
        rivals = [Fraction(2)]
    else:
        rivals = others[-2:] or [us]
    if us + sum(rivals) == 0:
        return "not_computed", None
    share = us / (us + sum(rivals))
    return "computed", share if c.inside_source else share * Fraction(c.no_inside_source_factor)


def half_even(value: Fraction) -> Decimal:
    low = int(value * 10**4)
    rest = value * 10**4 - low
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1)
    return Decimal(low + up) / 10**4


@given(comparisons())
def test_the_win_rate_follows_the_six_steps(comparison: Comparison) -> None:
    status, value = by_the_book(comparison)
    result = win_rate(comparison)
    assert result.status == status
    assert result.value == (None if value is None else half_even(value))
    assert result.formula == "share/1"
    assert result.inputs == comparison


@given(comparisons())
def test_a_number_lies_between_0_and_1_and_has_4_places(comparison: Comparison) -> None:
    value = win_rate(comparison).value
    assert value is None or (0 <= value <= 1 and value.as_tuple().exponent == -4)


def not_more(low: Decimal | None, high: Decimal | None) -> bool:
    return low is None or high is None or low <= high


def raised(party: Assessment, need_fit: Decimal, relationship: Decimal) -> Assessment:
    assert party.need_fit is not None
    assert party.relationship is not None
    return Assessment(
        min(party.need_fit + need_fit, Decimal(10)), min(party.relationship + relationship, Decimal(10))
    )


@given(comparisons(us=known), scores, scores)
def test_the_win_rate_never_falls_with_our_scores(
    comparison: Comparison, need_fit: Decimal, relationship: Decimal
) -> None:
    better = msgspec.structs.replace(comparison, us=raised(comparison.us, need_fit, relationship))
    before, after = win_rate(comparison).value, win_rate(better).value
    assert not_more(before, after)
    assert before is None or after is not None


@given(comparisons(us=known), known, scores, scores)
def test_the_win_rate_never_rises_with_a_rivals_scores(
    comparison: Comparison, rival: Assessment, need_fit: Decimal, relationship: Decimal
) -> None:
    def against(party: Assessment) -> Decimal | None:
        competitors = (*comparison.competitors, Competitor("moving", party))
        return win_rate(msgspec.structs.replace(comparison, competitors=competitors, sole_source=False)).value

    assert not_more(against(raised(rival, need_fit, relationship)), against(rival))


@given(comparisons(), st.randoms(use_true_random=False))
def test_the_order_of_the_rivals_does_not_matter(comparison: Comparison, order: Random) -> None:
    shuffled = list(comparison.competitors)
    order.shuffle(shuffled)
    other = win_rate(msgspec.structs.replace(comparison, competitors=tuple(shuffled)))
    assert msgspec.structs.replace(other, inputs=comparison) == win_rate(comparison)


@given(comparisons(), known)
def test_from_the_second_assessed_rival_on_adding_one_never_raises_the_win_rate(
    comparison: Comparison, newcomer: Assessment
) -> None:
    assume(any(mean_of(c.assessment) is not None for c in comparison.competitors))
    joined = (*comparison.competitors, Competitor("newcomer", newcomer))
    more = msgspec.structs.replace(comparison, competitors=joined)
    assert not_more(win_rate(more).value, win_rate(comparison).value)


@given(comparisons())
def test_gates_dominate_every_score(comparison: Comparison) -> None:
    no_event = win_rate(msgspec.structs.replace(comparison, compelling_event=False))
    assert (no_event.status, no_event.value, no_event.gates[0]) == (
        "not_computed",
        None,
        "no_compelling_event",
    )
    unknown = win_rate(msgspec.structs.replace(comparison, us=Assessment(Decimal(10), None)))
    assert (unknown.status, unknown.value) == ("not_computed", None)
    assert "missing_assessment" in unknown.gates
    out = tuple(Competitor(f"best-{i}", party(10)) for i in range(3))
    fourth = win_rate(msgspec.structs.replace(comparison, us=party(9), competitors=out, sole_source=False))
    assert fourth.value in (None, Decimal(0))


@given(comparisons(), st.booleans())
def test_a_rival_of_whom_something_is_unknown_changes_nothing(comparison: Comparison, first: bool) -> None:
    assume(not comparison.sole_source)
    half_known = Assessment(Decimal(10), None) if first else Assessment(None, Decimal(10))
    joined = (*comparison.competitors, Competitor("half-known", half_known))
    with_it = win_rate(msgspec.structs.replace(comparison, competitors=joined))
    assert msgspec.structs.replace(with_it, inputs=comparison) == win_rate(comparison)


def deal(
    us: Assessment, *rivals: Assessment, event: bool = True, inside: bool = True, sole: bool = False
) -> Comparison:
    competitors = tuple(Competitor(name, rival) for name, rival in zip("abcdef", rivals, strict=False))
    return Comparison(event, us, competitors, sole, inside)


UNKNOWN = Assessment()


@pytest.mark.parametrize(
    ("comparison", "status", "value", "gates"),
    [
        (deal(party(6), party(4)), "computed", "0.6000", ()),
        (deal(party(6), party(4), inside=False), "computed", "0.4200", ("no_inside_source",)),
        (deal(party(6), party(4), event=False), "not_computed", None, ("no_compelling_event",)),
        (deal(Assessment(Decimal(6), None), party(4)), "not_computed", None, ("missing_assessment",)),
        (deal(Assessment(None, Decimal(6)), party(4)), "not_computed", None, ("missing_assessment",)),
        (deal(party(2), party(3), party(3)), "computed", "0.2500", ()),  # third is good enough
        (deal(party(3), party(3), party(3), party(3)), "computed", "0.3333", ()),  # so is a tie
        (deal(party(2), party(3), party(3), party(3)), "not_in_top_three", "0.0000", ("not_in_top_three",)),
        (deal(party(5)), "computed", "0.5000", ()),  # know only yourself: win one, lose one
        (deal(party(5), UNKNOWN), "computed", "0.5000", ()),
        (deal(party(5), UNKNOWN, party(3)), "computed", "0.6250", ()),
        (deal(party(8), sole=True), "computed", "0.8000", ()),
        (deal(party(0), sole=True), "computed", "0.0000", ()),
        (deal(party(0)), "not_computed", None, ("no_strength",)),
        (deal(party(0), party(0)), "not_computed", None, ("no_strength",)),
        (deal(party(0), party(1)), "computed", "0.0000", ()),
        (deal(party(1), party(0)), "computed", "1.0000", ()),
        (
            deal(party(0), party(1), party(1), party(1), event=False, inside=False),
            "not_computed",
            None,
            ("no_compelling_event", "not_in_top_three", "no_inside_source"),
        ),
        (
            deal(UNKNOWN, party(1), event=False, inside=False),
            "not_computed",
            None,
            ("no_compelling_event", "missing_assessment", "no_inside_source"),
        ),
    ],
)
def test_each_gate(comparison: Comparison, status: str, value: str | None, gates: tuple[str, ...]) -> None:
    result = win_rate(comparison)
    assert (result.status, result.gates) == (status, gates)
    assert (None if result.value is None else str(result.value)) == value


def test_the_result_says_who_the_rivals_are_and_where_we_stand() -> None:
    result = win_rate(deal(party(5), party(3), party("6.5"), party(4)))
    assert (result.strength, result.rank) == (Decimal(5), 2)
    assert result.rivals == (
        Rival("competitor", Decimal("6.5"), "b"),
        Rival("competitor", Decimal(4), "c"),
    )
    assert win_rate(deal(party(5))).rivals == (Rival("unknown_rival", Decimal(5)),)
    assert win_rate(deal(party(5), sole=True)).rivals == (Rival("no_decision", Decimal(2)),)
    assert win_rate(deal(UNKNOWN)).rivals == ()


@given(factors)
def test_the_factor_is_kept_with_the_result(factor: Decimal) -> None:
    result = win_rate(
        msgspec.structs.replace(deal(party(5), party(5), inside=False), no_inside_source_factor=factor)
    )
    assert result.inputs.no_inside_source_factor == factor
    assert result.value == half_even(Fraction(factor) / 2)


def test_rounding_is_half_even_and_happens_once() -> None:
    # 1/8 x 0.3004 = 0.03755 -> 0.0376 (up, to even); 1/8 x 0.3012 = 0.03765 -> 0.0376 (down, to even)
    for factor in ("0.3004", "0.3012"):
        eighth = msgspec.structs.replace(
            deal(party(1), party(7), inside=False), no_inside_source_factor=Decimal(factor)
        )
        assert str(win_rate(eighth).value) == "0.0376"


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        (deal(party("10.1")), "between 0 and 10"),
        (deal(party(5), party("-1")), "between 0 and 10"),
        (deal(party("NaN")), "between 0 and 10"),
        (deal(party(5), party(5), sole=True), "while competitors are active"),
        (deal(party(5), UNKNOWN, sole=True), "while competitors are active"),
        (Comparison(True, party(5), (Competitor("a"), Competitor("a"))), "twice"),
        (Comparison(True, party(5), no_inside_source_factor=Decimal(0)), "factor"),
        (Comparison(True, party(5), no_inside_source_factor=Decimal("0.71")), "factor"),
    ],
)
def test_what_cannot_be_compared_is_refused(comparison: Comparison, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        win_rate(comparison)


amounts = st.decimals(0, 10**12, places=2)
rates = st.decimals(0, 1, places=4)


@given(
    st.lists(st.builds(RatedDeal, st.none() | amounts, st.none() | rates)), st.randoms(use_true_random=False)
)
def test_the_roll_up_counts_every_deal_once_in_any_order(deals: list[RatedDeal], order: Random) -> None:
    result = roll_up(deals)
    assert result.with_number + result.not_computed == len(deals)
    weight = weighted = Fraction(0)
    for row in deals:
        if row.amount is not None and row.win_rate is not None:
            weight += Fraction(row.amount)
            weighted += Fraction(row.amount) * Fraction(row.win_rate)
    assert result.amount == weight
    assert result.mean == (half_even(weighted / weight) if weight else None)
    order.shuffle(deals)
    assert roll_up(deals) == result


def test_zeros_weigh_in_a_roll_up_and_what_was_not_computed_does_not() -> None:
    deals = [
        RatedDeal(Decimal(100), Decimal("0.6")),
        RatedDeal(Decimal(300), Decimal(0)),
        RatedDeal(Decimal(900), None),
        RatedDeal(None, Decimal("0.9")),
    ]
    assert roll_up(deals) == RollUp(3, Decimal("0.15"), Decimal(400), without_amount=1, not_computed=1)


T0 = datetime(2011, 11, 1, tzinfo=UTC)


def on_day(day: int) -> datetime:
    return T0 + timedelta(days=day)


def changes(*days_and_values: tuple[int, str | None]) -> list[Change]:
    return [Change(on_day(day), None if value is None else Decimal(value)) for day, value in days_and_values]


def values_day_by_day(history: Sequence[Change], last: int) -> list[Decimal | None]:
    curve: list[Decimal | None] = []
    for day in range(last + 1):
        past = [change.value for change in history if change.at <= on_day(day)]
        curve.append(past[-1] if past else None)
    return curve


@given(
    st.lists(st.tuples(st.integers(0, 40), st.none() | st.decimals(0, 1, places=2))),
    st.integers(0, 45),
)
def test_a_drop_is_a_fall_from_the_highest_of_two_weeks(
    history: list[tuple[int, Decimal | None]], today: int
) -> None:
    # Win rates change at midnights here, so looking once a day sees every value.
    ordered = [Change(on_day(day), value) for day, value in sorted(history, key=lambda change: change[0])]
    curve = values_day_by_day(ordered, today)
    recent = [value for value in curve[max(0, today - 14) :] if value is not None]
    now = curve[today]
    expected = max(recent) - now if now is not None and max(recent) - now >= Decimal("0.15") else None
    found = drop(ordered, on_day(today))
    assert (found and found.fall) == expected


def test_a_fall_of_exactly_0_15_in_exactly_two_weeks_alerts() -> None:
    history = changes((0, "0.60"), (1, "0.50"), (14, "0.45"))
    assert drop(history, on_day(14)) == Drop(
        Decimal("0.60"), T0, Decimal("0.45"), on_day(14), Decimal("0.15")
    )
    assert drop(changes((0, "0.60"), (1, "0.50"), (14, "0.4501")), on_day(14)) is None
    assert drop(changes((0, "0.60"), (1, "0.50"), (15, "0.45")), on_day(15)) is None  # 0.60 was over on day 1


def test_what_was_in_force_when_the_two_weeks_began_counts_however_old() -> None:
    assert drop(changes((0, "0.7"), (100, "0.4")), on_day(100)) is not None
    assert drop(changes((0, "0.7"), (100, "0.4")), on_day(114)) is None


def test_a_slow_slide_a_rise_and_a_rate_no_longer_computed_do_not_alert() -> None:
    assert drop(changes((0, "0.6"), (7, "0.55"), (14, "0.5"), (21, "0.45"), (28, "0.4")), on_day(28)) is None
    assert drop(changes((0, "0.2"), (7, "0.6")), on_day(8)) is None
    assert drop(changes((0, "0.9"), (7, None)), on_day(8)) is None
    assert drop([], T0) is None


def test_a_fall_to_zero_and_one_across_a_gap_alert() -> None:
    assert drop(changes((0, "0.6"), (7, "0")), on_day(8)) is not None
    assert drop(changes((0, "0.6"), (7, None), (9, "0.4")), on_day(10)) is not None
