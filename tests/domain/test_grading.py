"""Grades of a deal: by amount, by hand, and the partner that a partner-led one needs."""

from decimal import Decimal

import pytest

from domain.deal import (
    AmountRevised,
    DealGraded,
    DealOpened,
    DealWon,
    GradeDeal,
    ItemTicked,
    Missed,
    OpenDeal,
    PartnerRegistered,
    PartnerWithdrawn,
    RegisterPartner,
    ReviseAmount,
    StageAdvanced,
    StageRegressed,
    WithdrawPartner,
)
from domain.errors import DealClosed, ReasonMissing, UnknownGrade
from domain.money import Money, MoneyInput
from domain.playbook import ChecklistSet, CurrencySet, GradesSet, Item, Names, Playbook, grade_group
from domain.registry import decide
from domain.templates import CUSTOMER, TAS_PLUS, tas_plus_grades
from tests.given import DEAL, RULES, context, defined, given, playbook_with

(GRADES,) = decide(tas_plus_grades("EUR"), RULES, context(RULES))
GRADED = playbook_with(*defined(TAS_PLUS, CUSTOMER), CurrencySet("EUR"), GRADES)


def euros(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


def opened(amount: str | None = None) -> DealOpened:
    return DealOpened("tas_plus", "verification", amount=euros(amount) if amount else None)


def open_with(amount: str) -> OpenDeal:
    return OpenDeal(
        deal_id=DEAL, funnel="tas_plus", amount=MoneyInput(amount=Decimal(amount), currency="EUR")
    )


def revise_to(amount: str | None) -> ReviseAmount:
    money = None if amount is None else MoneyInput(amount=Decimal(amount), currency="EUR")
    return ReviseAmount(deal_id=DEAL, amount=money)


def by_amount(was: str | None, to: str | None, *missed: Missed) -> DealGraded:
    return DealGraded(was, to, "amount", None, missed)


BY_HAND = DealGraded("C", "A", "override", "showcase", ())
IN_C = (opened("60000"), by_amount(None, "C"))


@pytest.mark.parametrize(
    ("amount", "grade"),
    [("1000000", "A"), ("999999.99", "B"), ("300000", "B"), ("299999.99", "C"), ("50000", "C"), ("0", "D")],
)
def test_a_deal_is_graded_by_its_amount_when_it_is_opened(amount: str, grade: str) -> None:
    deal = given(rules=GRADED).when(open_with(amount)).then(opened(amount), by_amount(None, grade))
    assert deal.grade == grade


def test_an_import_is_graded_too() -> None:
    given(rules=GRADED).imported().when(open_with("60000")).then(*IN_C)


def test_a_deal_without_an_amount_or_below_every_band_has_no_grade() -> None:
    given(rules=GRADED).when(OpenDeal(deal_id=DEAL, funnel="tas_plus")).then(opened())
    only_large = playbook_with(
        *defined(TAS_PLUS), CurrencySet("EUR"), GradesSet("tas_plus", GRADES.rules[:1], None)
    )
    given(rules=only_large).when(open_with("5")).then(opened("5"))


def test_a_funnel_without_grades_grades_nothing() -> None:
    command = OpenDeal(deal_id=DEAL, funnel="customer", amount=MoneyInput(amount=Decimal(5), currency="EUR"))
    given(rules=GRADED).when(command).then(DealOpened("customer", "needs", amount=euros("5")))


def test_another_amount_gives_another_grade_only_across_a_band() -> None:
    given(*IN_C, rules=GRADED).when(revise_to("70000")).then(AmountRevised(euros("60000"), euros("70000")))
    given(*IN_C, rules=GRADED).when(revise_to("400000")).then(
        AmountRevised(euros("60000"), euros("400000")), by_amount("C", "B")
    )
    given(*IN_C, rules=GRADED).when(revise_to(None)).then(
        AmountRevised(euros("60000"), None), by_amount("C", None)
    )


def test_a_grade_by_hand_stands_whatever_the_amount() -> None:
    grade = GradeDeal(deal_id=DEAL, grade="A", reason="showcase")
    deal = given(*IN_C, rules=GRADED).when(grade).then(BY_HAND)
    assert (deal.grade, deal.grade_by_hand) == ("A", True)
    given(*IN_C, BY_HAND, rules=GRADED).when(revise_to("5")).then(AmountRevised(euros("60000"), euros("5")))
    given(*IN_C, BY_HAND, rules=GRADED).when(grade).then()


def test_the_grade_that_the_amount_gives_can_be_fixed_by_hand() -> None:
    given(*IN_C, rules=GRADED).when(GradeDeal(deal_id=DEAL, grade="C", reason="stays small")).then(
        DealGraded("C", "C", "override", "stays small", ())
    )


def test_without_a_grade_by_hand_the_amount_decides_again() -> None:
    history = (*IN_C, BY_HAND, AmountRevised(euros("60000"), euros("5")))
    deal = (
        given(*history, rules=GRADED)
        .when(GradeDeal(deal_id=DEAL, grade=None, reason="as any other"))
        .then(DealGraded("A", "D", "amount", "as any other", ()))
    )
    assert (deal.grade, deal.grade_by_hand) == ("D", False)
    given(*IN_C, rules=GRADED).when(GradeDeal(deal_id=DEAL, grade=None)).then()


def test_letting_the_amount_decide_catches_up_with_new_bands() -> None:
    given(opened("60000"), rules=GRADED).when(GradeDeal(deal_id=DEAL, grade=None)).then(IN_C[1])


def test_a_grade_by_hand_needs_a_reason_unless_imported() -> None:
    given(*IN_C, rules=GRADED).when(GradeDeal(deal_id=DEAL, grade="A")).refused(ReasonMissing, field="reason")
    given(*IN_C, rules=GRADED).imported().when(GradeDeal(deal_id=DEAL, grade="A")).then(
        DealGraded("C", "A", "override", None, ())
    )


def test_a_grade_is_one_that_the_funnel_has() -> None:
    given(opened()).when(GradeDeal(deal_id=DEAL, grade="A", reason="-")).refused(
        UnknownGrade, field="grade", accepted="set-grades first"
    )
    few = playbook_with(*defined(TAS_PLUS), CurrencySet("EUR"), GradesSet("tas_plus", GRADES.rules[:2], None))
    given(opened(), rules=few).when(GradeDeal(deal_id=DEAL, grade="E", reason="-")).refused(
        UnknownGrade, field="grade", accepted="A, B"
    )


def test_a_closed_deal_is_not_graded_by_hand() -> None:
    given(*IN_C, DealWon("verification"), rules=GRADED).when(
        GradeDeal(deal_id=DEAL, grade="A", reason="-")
    ).refused(DealClosed, field="deal_id")


def rules_with_a_checklist() -> Playbook:
    items = (
        Item("team", Names("Team"), True),
        Item("plan", Names("Plan"), True),
        Item("x", Names("X"), False),
    )
    return playbook_with(
        *defined(TAS_PLUS), CurrencySet("EUR"), GRADES, ChecklistSet("tas_plus", "initiation", items, False)
    )


def test_regrading_after_a_jump_keeps_the_stage_and_lists_what_was_missed() -> None:
    jumped = (*IN_C, ItemTicked("initiation", "plan"), StageAdvanced("verification", "negotiation"))
    missed = (
        Missed("initiation", True, ("team",)),
        *(
            Missed(s, True, ())
            for s in ("needs_analysis", "value_presentation", "bid_preparation", "bidding")
        ),
    )
    deal = (
        given(*jumped, rules=rules_with_a_checklist())
        .when(GradeDeal(deal_id=DEAL, grade="A", reason="showcase"))
        .then(DealGraded("C", "A", "override", "showcase", missed))
    )
    assert deal.stage == "negotiation"
    given(*jumped, rules=rules_with_a_checklist()).when(revise_to("300000")).then(
        AmountRevised(euros("60000"), euros("300000")), by_amount("C", "B", *missed)
    )


def test_a_stage_that_was_visited_once_is_not_missed() -> None:
    history = (
        *IN_C,
        StageAdvanced("verification", "initiation"),
        StageAdvanced("initiation", "negotiation"),
        StageRegressed("negotiation", "needs_analysis", "-"),
    )
    given(*history, rules=rules_with_a_checklist()).when(GradeDeal(deal_id=DEAL, grade="B", reason="-")).then(
        DealGraded("C", "B", "override", "-", (Missed("initiation", False, ("team", "plan")),))
    )


def test_regrading_to_a_small_grade_misses_nothing() -> None:
    jumped = (*IN_C, StageAdvanced("verification", "negotiation"))
    given(*jumped, rules=rules_with_a_checklist()).when(revise_to("5")).then(
        AmountRevised(euros("60000"), euros("5")), by_amount("C", "D")
    )


def test_a_partner_is_registered_changed_and_withdrawn() -> None:
    registered = PartnerRegistered("Nordwind", None)
    register = RegisterPartner(deal_id=DEAL, partner="Nordwind")
    assert given(opened()).when(register).then(registered).partner == "Nordwind"
    given(opened(), registered).when(register).then()
    given(opened(), registered).when(RegisterPartner(deal_id=DEAL, partner="Suedwind")).then(
        PartnerRegistered("Suedwind", "Nordwind")
    )
    withdraw = WithdrawPartner(deal_id=DEAL, reason="over")
    assert (
        given(opened(), registered).when(withdraw).then(PartnerWithdrawn("Nordwind", "over")).partner is None
    )
    given(opened()).when(withdraw).then()


def test_grades_count_in_three_groups() -> None:
    assert [grade_group(g) for g in ("A", "B", "C", "D", "E", None)] == ["AB", "AB", "CD", "CD", "E", None]
