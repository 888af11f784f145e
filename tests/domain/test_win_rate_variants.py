"""Win rates by other rules than the formula's, for a what-if."""

from decimal import Decimal

import msgspec
from hypothesis import given

from domain.win_rate import Assessment, Comparison, Competitor, Variant, win_rate
from tests.domain.test_win_rate import comparisons, factors


def party(strength: int) -> Assessment:
    return Assessment(Decimal(strength), Decimal(strength))


@given(comparisons())
def test_the_variant_that_changes_nothing_is_the_formula(c: Comparison) -> None:
    assert win_rate(c, Variant()) == win_rate(c)


@given(comparisons(), factors)
def test_another_factor_is_that_of_the_inputs(c: Comparison, factor: Decimal) -> None:
    varied = win_rate(c, Variant(factor=factor))
    given_so = win_rate(msgspec.structs.replace(c, no_inside_source_factor=factor))
    assert msgspec.structs.replace(varied, formula=given_so.formula) == given_so
    assert varied.formula == "share/1 varied"


@given(comparisons())
def test_without_a_gate_the_rate_is_that_of_a_deal_whose_condition_does_not_hold(c: Comparison) -> None:
    met = msgspec.structs.replace(c, compelling_event=True, inside_source=True)
    varied = win_rate(c, Variant(without=frozenset({"no_compelling_event", "no_inside_source"})))
    assert (varied.status, varied.value, varied.gates) == (
        win_rate(met).status, win_rate(met).value, win_rate(met).gates,
    )  # fmt: skip


@given(comparisons())
def test_what_can_not_be_computed_stays_so_without_its_gate(c: Comparison) -> None:
    every = frozenset(
        {"no_compelling_event", "missing_assessment", "not_in_top_three", "no_strength", "no_inside_source"}
    )
    varied = win_rate(c, Variant(without=every))  # type: ignore[arg-type]
    if varied.value is None:
        assert set(varied.gates) <= {"missing_assessment", "no_strength"}


FOURTH = Comparison(
    compelling_event=True,
    us=party(4),
    competitors=tuple(Competitor(f"r{i}", party(i)) for i in (6, 7, 8)),
    inside_source=True,
)


def test_ranks_and_rivals_count_as_the_variant_says() -> None:
    assert win_rate(FOURTH).value == 0
    assert win_rate(FOURTH, Variant(best_ranks=4)).value == Decimal("0.2105")  # 4 / (4 + 8 + 7)
    assert win_rate(FOURTH, Variant(best_ranks=4, rivals_counted=1)).value == Decimal("0.3333")
    assert win_rate(FOURTH, Variant(without=frozenset({"not_in_top_three"}))).value == Decimal("0.2105")


def test_no_decision_is_as_strong_as_the_variant_says() -> None:
    alone = Comparison(compelling_event=True, us=party(6), sole_source=True, inside_source=True)
    assert win_rate(alone).value == Decimal("0.75")
    assert win_rate(alone, Variant(no_decision_strength=Decimal(6))).value == Decimal("0.5")
