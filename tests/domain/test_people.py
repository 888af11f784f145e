"""The people of a deal, and how deep an interaction goes."""

from uuid import UUID

import pytest

from domain.account import AccountOpened, ContactAdded, ContactRetired
from domain.command import Command
from domain.deal import (
    AddDealContact,
    AssessAttitude,
    ChooseStrategy,
    ContactAttitudeChanged,
    ContactStrategyChanged,
    DealContact,
    DealContactAdded,
    DealContactRemoved,
    DealContactRevised,
    DealOpened,
    DealWon,
    RemoveDealContact,
    ReviseDealContact,
)
from domain.errors import ContactGone, DealClosed, UnknownAccount, UnknownContact
from domain.playbook import StrategiesSet
from domain.relations import DEFAULT_STRATEGIES, AttitudeStrategy, DepthRules, depth
from domain.templates import TAS_PLUS
from tests.given import DEAL, OTHER, defined, given, playbook_with

ACCOUNT = UUID("0195a000-0000-7000-8000-0000000000aa")
EVA = UUID("0195a000-0000-7000-8000-0000000000c1")
OPENED = DealOpened("tas_plus", "verification")
ADDED = DealContactAdded(EVA, ACCOUNT, "decider", "Procurement", "approve")
ADD = AddDealContact(
    deal_id=DEAL,
    contact_id=EVA,
    account_id=ACCOUNT,
    decision_role="decider",
    department="Procurement",
    power="approve",
)
LIKES_US = AssessAttitude(deal_id=DEAL, contact_id=EVA, attitude="strongly_positive", reason="site visit")
LIKED = (
    ContactAttitudeChanged(EVA, None, "strongly_positive", "site visit"),
    ContactStrategyChanged(EVA, None, "motivate", "attitude", None),
)
CHOSEN = ContactStrategyChanged(EVA, "motivate", "balance", "choice", "she asked")


# --- Their part


def test_a_contact_of_an_account_gets_a_part_in_the_deal() -> None:
    deal = given(OPENED).beside(ACCOUNT, AccountOpened(), ContactAdded(EVA)).when(ADD).then(ADDED)
    assert deal.contacts == {EVA: DealContact("decider", "Procurement", "approve")}
    given(OPENED, ADDED).beside(ACCOUNT, AccountOpened(), ContactAdded(EVA)).when(ADD).then()


def test_only_a_contact_that_the_account_has_gets_a_part() -> None:
    given(OPENED).when(ADD).refused(UnknownAccount, field="account_id")
    given(OPENED).beside(ACCOUNT, OPENED).when(ADD).refused(UnknownAccount, field="account_id")
    given(OPENED).beside(ACCOUNT, AccountOpened()).when(ADD).refused(
        UnknownContact, field="contact_id", accepted="add-contact"
    )
    retired = (AccountOpened(), ContactAdded(EVA), ContactRetired(EVA, "-"))
    given(OPENED).beside(ACCOUNT, *retired).when(ADD).refused(ContactGone, field="contact_id")


def test_a_part_is_revised_and_given_up() -> None:
    revise = ReviseDealContact(
        deal_id=DEAL, contact_id=EVA, decision_role="approver", department=None, power="control"
    )
    revised = DealContactRevised(EVA, "approver", None, "control")
    given(OPENED, ADDED).when(revise).then(revised)
    given(OPENED, ADDED, revised).when(revise).then()
    remove = RemoveDealContact(deal_id=DEAL, contact_id=EVA, reason="left")
    assert given(OPENED, ADDED).when(remove).then(DealContactRemoved(EVA, "left")).contacts == {}
    given(OPENED).when(remove).then()


# --- Attitude and strategy


def test_the_strategy_follows_the_attitude() -> None:
    given(OPENED, ADDED).when(LIKES_US).then(*LIKED)
    given(OPENED, ADDED, *LIKED).when(LIKES_US).then()
    given(OPENED, ADDED, *LIKED).when(AssessAttitude(deal_id=DEAL, contact_id=EVA, attitude=None)).then(
        ContactAttitudeChanged(EVA, "strongly_positive", None, None),
        ContactStrategyChanged(EVA, "motivate", None, "attitude", None),
    )


def test_the_playbook_says_which_strategy_an_attitude_suggests() -> None:
    table = (AttitudeStrategy("strongly_positive", "defend"), *DEFAULT_STRATEGIES[1:])
    rules = playbook_with(*defined(TAS_PLUS), StrategiesSet(table))
    given(OPENED, ADDED, rules=rules).when(LIKES_US).then(
        LIKED[0], ContactStrategyChanged(EVA, None, "defend", "attitude", None)
    )


def test_a_strategy_that_was_chosen_stays_whatever_the_attitude() -> None:
    choose = ChooseStrategy(deal_id=DEAL, contact_id=EVA, strategy="balance", reason="she asked")
    given(OPENED, ADDED, *LIKED).when(choose).then(CHOSEN)
    given(OPENED, ADDED, *LIKED, CHOSEN).when(choose).then()
    given(OPENED, ADDED, *LIKED, CHOSEN).when(
        AssessAttitude(deal_id=DEAL, contact_id=EVA, attitude="negative")
    ).then(ContactAttitudeChanged(EVA, "strongly_positive", "negative", None))


def test_the_attitude_decides_again_when_no_strategy_is_chosen_any_more() -> None:
    back = ChooseStrategy(deal_id=DEAL, contact_id=EVA, strategy=None)
    given(OPENED, ADDED, *LIKED, CHOSEN).when(back).then(
        ContactStrategyChanged(EVA, "balance", "motivate", "attitude", None)
    )
    given(OPENED, ADDED, *LIKED).when(back).then()
    chosen = ContactStrategyChanged(EVA, None, "attack", "choice", None)
    given(OPENED, ADDED, chosen).when(back).then(
        ContactStrategyChanged(EVA, "attack", None, "attitude", None)
    )


def test_an_attitude_that_suggests_the_same_strategy_changes_the_attitude_alone() -> None:
    same = tuple(AttitudeStrategy(row.attitude, "motivate") for row in DEFAULT_STRATEGIES)
    rules = playbook_with(*defined(TAS_PLUS), StrategiesSet(same))
    given(OPENED, ADDED, *LIKED, rules=rules).when(
        AssessAttitude(deal_id=DEAL, contact_id=EVA, attitude="neutral")
    ).then(ContactAttitudeChanged(EVA, "strongly_positive", "neutral", None))


# --- For every command

ON_A_PERSON: list[Command] = [
    LIKES_US,
    ChooseStrategy(deal_id=DEAL, contact_id=EVA, strategy="attack"),
    ReviseDealContact(deal_id=DEAL, contact_id=EVA, decision_role=None, department=None, power=None),
]
EACH = pytest.mark.parametrize("command", ON_A_PERSON, ids=lambda c: c.command_name())


@EACH
def test_only_who_has_a_part_is_assessed(command: Command) -> None:
    other = DealContactAdded(OTHER, ACCOUNT, None, None, None)
    given(OPENED, other).when(command).refused(
        UnknownContact, field="contact_id", accepted="add-deal-contact"
    )


@EACH
def test_the_people_of_a_closed_deal_stay_as_they_are(command: Command) -> None:
    given(OPENED, ADDED, DealWon("verification")).when(command).refused(DealClosed, field="deal_id")


# --- Depth


@pytest.mark.parametrize(
    ("two_way", "face_to_face", "expected"),
    [
        (0, 0, "never"),
        (1, 1, "occasional"),
        (2, 0, "occasional"),
        (3, 0, "repeated"),
        (5, 5, "repeated"),
        (6, 0, "repeated"),
        (6, 1, "deep"),
        (60, 0, "repeated"),
    ],
)
def test_the_depth_follows_the_two_way_contacts_and_deep_needs_one_face_to_face(
    two_way: int, face_to_face: int, expected: str
) -> None:
    assert depth(two_way, face_to_face, DepthRules()) == expected
