"""The way through the funnel: by grade, past checklists and reviews."""

import pytest

from domain.deal import (
    AdvanceStage,
    DealGraded,
    DealLost,
    DealOpened,
    DealWon,
    ItemTicked,
    ItemUnticked,
    LoseDeal,
    PartnerRegistered,
    PartnerWithdrawn,
    RegressStage,
    ReviewStage,
    StageAdvanced,
    StageRegressed,
    StageReviewed,
    TickItem,
    UntickItem,
    WinDeal,
)
from domain.errors import (
    ChecklistOpen,
    DealClosed,
    NotAllowed,
    PartnerMissing,
    ReasonMissing,
    ReviewMissing,
    UnknownItem,
    UnknownStage,
    WrongStage,
)
from domain.event import Event
from domain.playbook import ChecklistSet, CurrencySet, GradesSet, Item, Names
from domain.registry import decide
from domain.templates import TAS_PLUS, tas_plus_grades
from tests.given import DEAL, RULES, context, defined, given, playbook_with

(GRADES,) = decide(tas_plus_grades("EUR"), RULES, context(RULES))
BY_GRADE = playbook_with(*defined(TAS_PLUS), CurrencySet("EUR"), GRADES)
ITEMS = (
    Item("team", Names("Team"), True),
    Item("plan", Names("Plan"), True),
    Item("tea", Names("Tea"), False),
)
BY_LIST = playbook_with(*defined(TAS_PLUS), ChecklistSet("tas_plus", "verification", ITEMS, False))
BY_REVIEW = playbook_with(*defined(TAS_PLUS), ChecklistSet("tas_plus", "initiation", (), True))

OPENED = DealOpened("tas_plus", "verification", owner="bob")
IN_INITIATION = (OPENED, StageAdvanced("verification", "initiation"))
BETWEEN = ("initiation", "needs_analysis", "value_presentation", "bid_preparation", "bidding")


def graded(grade: str | None) -> tuple[Event, ...]:
    return (OPENED, DealGraded(None, grade, "override", "-", ())) if grade else (OPENED,)


def to(stage: str, **more: str) -> AdvanceStage:
    return AdvanceStage(deal_id=DEAL, to_stage=stage, **more)


# --- Grades


@pytest.mark.parametrize("grade", ["A", "B", None])
def test_large_deals_and_those_without_a_grade_go_stage_by_stage(grade: str | None) -> None:
    given(*graded(grade), rules=BY_GRADE).when(to("initiation")).then(
        StageAdvanced("verification", "initiation")
    )
    for stage in ("needs_analysis", "negotiation"):
        given(*graded(grade), rules=BY_GRADE).when(to(stage)).refused(
            WrongStage, field="to_stage", accepted="initiation", saying=grade or "unknown"
        )


@pytest.mark.parametrize("grade", ["C", "D"])
def test_small_deals_may_jump_from_any_stage_to_the_fast_track(grade: str) -> None:
    given(*graded(grade), rules=BY_GRADE).when(to("negotiation")).then(
        StageAdvanced("verification", "negotiation", None, (), BETWEEN)
    )
    given(*graded(grade), StageAdvanced("verification", "bid_preparation"), rules=BY_GRADE).when(
        to("negotiation")
    ).then(StageAdvanced("bid_preparation", "negotiation", None, (), ("bidding",)))
    given(*graded(grade), rules=BY_GRADE).when(to("initiation")).then(
        StageAdvanced("verification", "initiation")
    )
    given(*graded(grade), rules=BY_GRADE).when(to("bidding")).refused(
        WrongStage, field="to_stage", accepted="initiation, negotiation"
    )


def test_without_a_fast_track_small_deals_go_stage_by_stage() -> None:
    rules = playbook_with(*defined(TAS_PLUS), CurrencySet("EUR"), GradesSet("tas_plus", GRADES.rules, None))
    given(*graded("C"), rules=rules).when(to("negotiation")).refused(
        WrongStage, field="to_stage", accepted="initiation"
    )


def test_a_partner_led_deal_leaves_the_first_stage_with_a_registered_partner() -> None:
    for stage in ("initiation", "negotiation"):
        given(*graded("E"), rules=BY_GRADE).when(to(stage)).refused(
            PartnerMissing, field="to_stage", accepted="register-partner first"
        )
    registered = (*graded("E"), PartnerRegistered("Nordwind", None))
    given(*registered, rules=BY_GRADE).when(to("bidding")).then(
        StageAdvanced("verification", "bidding", None, (), BETWEEN[:-1])
    )
    withdrawn = (*registered, PartnerWithdrawn("Nordwind", "-"))
    given(*withdrawn, rules=BY_GRADE).when(to("initiation")).refused(PartnerMissing, field="to_stage")
    given(*withdrawn, StageAdvanced("verification", "initiation"), rules=BY_GRADE).when(
        to("needs_analysis")
    ).then(StageAdvanced("initiation", "needs_analysis"))


def test_an_import_moves_as_it_did_whatever_the_rules() -> None:
    for rules in (BY_GRADE, BY_LIST, BY_REVIEW):
        given(*IN_INITIATION, rules=rules).imported().when(to("negotiation")).then(
            StageAdvanced("initiation", "negotiation")
        )


# --- Checklists


def test_items_are_ticked_and_unticked_in_the_stage_it_is_in_or_another() -> None:
    tick, untick = TickItem(deal_id=DEAL, item="team"), UntickItem(deal_id=DEAL, item="team")
    ticked = ItemTicked("verification", "team")
    given(OPENED, rules=BY_LIST).when(tick).then(ticked)
    given(OPENED, ticked, rules=BY_LIST).when(tick).then()
    given(OPENED, ticked, rules=BY_LIST).when(untick).then(ItemUnticked("verification", "team"))
    given(OPENED, rules=BY_LIST).when(untick).then()
    given(*IN_INITIATION, rules=BY_LIST).when(TickItem(deal_id=DEAL, item="team", stage="verification")).then(
        ticked
    )


def test_an_item_is_one_of_the_checklist() -> None:
    given(OPENED, rules=BY_LIST).when(TickItem(deal_id=DEAL, item="cake")).refused(
        UnknownItem, field="item", accepted="team, plan, tea"
    )
    given(*IN_INITIATION, rules=BY_LIST).when(TickItem(deal_id=DEAL, item="team")).refused(
        UnknownItem, field="item", accepted="no checklist"
    )
    given(OPENED, rules=BY_LIST).when(TickItem(deal_id=DEAL, item="team", stage="nowhere")).refused(
        UnknownStage, field="stage", accepted="verification"
    )


def test_an_item_that_left_the_checklist_can_be_unticked() -> None:
    given(OPENED, ItemTicked("verification", "old"), rules=BY_LIST).when(
        UntickItem(deal_id=DEAL, item="old")
    ).then(ItemUnticked("verification", "old"))


def test_a_closed_deal_keeps_its_ticks() -> None:
    given(OPENED, DealWon("verification"), rules=BY_LIST).when(TickItem(deal_id=DEAL, item="team")).refused(
        DealClosed, field="deal_id"
    )


def test_a_stage_with_its_required_items_ticked_is_left_without_a_word() -> None:
    ticked = (ItemTicked("verification", "team"), ItemTicked("verification", "plan"))
    given(OPENED, *ticked, rules=BY_LIST).when(to("initiation", override_reason="not needed")).then(
        StageAdvanced("verification", "initiation")
    )


def test_leaving_a_stage_with_open_required_items_needs_a_reason_and_says_what_was_open() -> None:
    half = (OPENED, ItemTicked("verification", "team"))
    given(*half, rules=BY_LIST).when(to("initiation")).refused(
        ChecklistOpen, field="override_reason", accepted="tick-item", saying="plan"
    )
    given(*half, rules=BY_LIST).when(to("initiation", override_reason="they hurry")).then(
        StageAdvanced("verification", "initiation", "they hurry", ("plan",))
    )
    unticked = (*half, ItemTicked("verification", "plan"), ItemUnticked("verification", "team"))
    given(*unticked, rules=BY_LIST).when(to("initiation")).refused(
        ChecklistOpen, field="override_reason", saying="team"
    )


def test_going_back_and_closing_need_no_checklist() -> None:
    rules = playbook_with(*defined(TAS_PLUS), ChecklistSet("tas_plus", "initiation", ITEMS, True))
    given(*IN_INITIATION, rules=rules).when(
        RegressStage(deal_id=DEAL, to_stage="verification", reason="-")
    ).then(StageRegressed("initiation", "verification", "-"))
    given(*IN_INITIATION, rules=rules).when(LoseDeal(deal_id=DEAL)).then(DealLost("initiation", None))
    given(*IN_INITIATION, rules=rules).when(WinDeal(deal_id=DEAL)).then(DealWon("initiation"))


def test_staying_in_a_stage_needs_no_checklist() -> None:
    given(OPENED, rules=BY_LIST).when(to("verification")).then()


# --- Reviews

APPROVE = ReviewStage(deal_id=DEAL, stage="initiation", outcome="approved")
APPROVED = StageReviewed("initiation", "approved", None)
REJECTED = StageReviewed("initiation", "rejected", "no budget")


def test_a_stage_that_wants_a_review_is_left_only_with_an_approved_one() -> None:
    given(*IN_INITIATION, rules=BY_REVIEW).when(to("needs_analysis", override_reason="-")).refused(
        ReviewMissing, field="to_stage", accepted="review-stage"
    )
    given(*IN_INITIATION, REJECTED, rules=BY_REVIEW).when(to("needs_analysis")).refused(
        ReviewMissing, field="to_stage"
    )
    given(*IN_INITIATION, REJECTED, APPROVED, rules=BY_REVIEW).when(to("needs_analysis")).then(
        StageAdvanced("initiation", "needs_analysis")
    )
    given(*IN_INITIATION, APPROVED, REJECTED, rules=BY_REVIEW).when(to("needs_analysis")).refused(
        ReviewMissing, field="to_stage"
    )
    given(OPENED, rules=BY_REVIEW).when(to("initiation")).then(StageAdvanced("verification", "initiation"))


def test_a_review_is_approved_once_and_rejected_with_a_reason() -> None:
    given(*IN_INITIATION, rules=BY_REVIEW).when(APPROVE).then(APPROVED)
    given(*IN_INITIATION, APPROVED, rules=BY_REVIEW).when(APPROVE).then()
    reject = ReviewStage(deal_id=DEAL, stage="initiation", outcome="rejected", reason="no budget")
    given(*IN_INITIATION, rules=BY_REVIEW).when(reject).then(REJECTED)
    silent = ReviewStage(deal_id=DEAL, stage="initiation", outcome="rejected")
    given(*IN_INITIATION, rules=BY_REVIEW).when(silent).refused(ReasonMissing, field="reason")
    given(*IN_INITIATION, rules=BY_REVIEW).imported().when(silent).then(
        StageReviewed("initiation", "rejected", None)
    )


def test_a_deal_is_reviewed_in_the_stage_that_it_is_in() -> None:
    given(OPENED, rules=BY_REVIEW).when(APPROVE).refused(WrongStage, field="stage", accepted="verification")
    given(OPENED, rules=BY_REVIEW).when(
        ReviewStage(deal_id=DEAL, stage="nowhere", outcome="approved")
    ).refused(UnknownStage, field="stage")


def test_nobody_approves_their_own_deal_nor_through_a_substitute() -> None:
    given(*IN_INITIATION, rules=BY_REVIEW).by("bob", "manager").when(APPROVE).refused(NotAllowed, field=None)
    given(*IN_INITIATION, rules=BY_REVIEW).by("eve", "manager", on_behalf_of="bob").when(APPROVE).refused(
        NotAllowed, field=None, accepted="one level up"
    )
