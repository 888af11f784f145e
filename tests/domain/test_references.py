"""What a command refers to must be there. Imports record facts, in whatever order they come, and are not asked."""

from uuid import UUID

from domain.account import AccountOpened, ContactAdded, OpenAccount
from domain.deal import (
    ActivityLogged,
    AddDealContact,
    DealContactAdded,
    DealContactRemoved,
    DealOpened,
    DealWon,
    LogActivity,
    OpenDeal,
)
from domain.errors import AccountExists, ActivityExists, DealExists, UnknownAccount, UnknownContact
from domain.external import External, imported_id
from tests.given import DEAL, MINTED, OTHER, given

ACCOUNT = UUID("0195a000-0000-7000-8000-0000000000aa")
EVA = UUID("0195a000-0000-7000-8000-0000000000c1")
CALL = UUID("0195a000-0000-7000-8000-0000000000d1")
OPENED = DealOpened("tas_plus", "verification")
IN_CRM = {"source": "crm", "id": "006-1"}


# --- The account of a deal


def test_a_deal_is_opened_with_an_account_that_is_there() -> None:
    opening = OpenDeal(deal_id=DEAL, funnel="tas_plus", account_id=ACCOUNT)
    opened = DealOpened("tas_plus", "verification", account_id=ACCOUNT)
    given().beside(ACCOUNT, AccountOpened()).when(opening).then(opened)
    given().when(opening).refused(UnknownAccount, field="account_id", accepted="an account that was opened")
    given().beside(ACCOUNT, OPENED).when(opening).refused(UnknownAccount, field="account_id")
    given().imported().when(opening).then(opened)


# --- What another system calls it


def test_a_deal_that_an_import_brought_is_not_opened_once_more() -> None:
    opening = OpenDeal(deal_id=DEAL, funnel="tas_plus", external=IN_CRM)
    imported = imported_id("deal", "crm", "006-1")
    opened = DealOpened("tas_plus", "verification", external=External("crm", "006-1"))
    given().when(opening).then(opened)
    given().beside(imported, opened).when(opening).refused(
        DealExists, field="external", saying=f"The deal {imported} was imported"
    )
    as_imported = OpenDeal(deal_id=imported, funnel="tas_plus", external=IN_CRM)
    given().imported().when(as_imported).then(opened)


def test_an_account_that_an_import_brought_is_not_opened_once_more() -> None:
    opening = OpenAccount(account_id=ACCOUNT, external=IN_CRM)
    imported = imported_id("account", "crm", "006-1")
    opened = AccountOpened(external=External("crm", "006-1"))
    given().when(opening).then(opened)
    given().beside(imported, opened).when(opening).refused(
        AccountExists, field="external", saying=f"The account {imported} was imported"
    )
    given().imported().when(OpenAccount(account_id=imported, external=IN_CRM)).then(opened)


# --- The people of an activity


def test_an_activity_is_with_people_who_have_a_part_in_the_deal() -> None:
    visit = LogActivity(deal_id=DEAL, kind="visit", contacts=(EVA,))
    logged = ActivityLogged(MINTED, "visit", contacts=(EVA,))
    part = DealContactAdded(EVA, ACCOUNT, None, None, None)
    given(OPENED, part).when(visit).then(logged)
    given(OPENED).when(visit).refused(UnknownContact, field="contacts", accepted="add-deal-contact")
    given(OPENED, part).when(visit.model_copy(update={"contacts": (EVA, OTHER)})).refused(
        UnknownContact, field="contacts", saying=f"{OTHER} has no part"
    )
    given(OPENED).imported().when(visit).then(logged)


def test_an_activity_with_somebody_who_has_left_the_deal_may_still_be_told() -> None:
    history = (OPENED, DealContactAdded(EVA, ACCOUNT, None, None, None), DealContactRemoved(EVA, "left"))
    visit = LogActivity(deal_id=DEAL, kind="visit", contacts=(EVA,))
    given(*history).when(visit).then(ActivityLogged(MINTED, "visit", contacts=(EVA,)))
    back = AddDealContact(deal_id=DEAL, contact_id=EVA, account_id=ACCOUNT)
    beside = given(*history).beside(ACCOUNT, AccountOpened(), ContactAdded(EVA))
    assert beside.when(back).then(DealContactAdded(EVA, ACCOUNT, None, None, None)).contacts.keys() == {EVA}


# --- The id of an activity


def test_an_activity_id_is_taken_once_on_an_open_and_on_a_closed_deal() -> None:
    call = LogActivity(deal_id=DEAL, kind="call", activity_id=CALL)
    for history in ((OPENED,), (OPENED, DealWon("verification"))):
        given(*history).when(call).then(ActivityLogged(CALL, "call"))
        given(*history, ActivityLogged(CALL, "call")).when(call).refused(
            ActivityExists, field="activity_id", accepted="a new id, or none"
        )


def test_an_activity_without_an_id_is_always_another_one() -> None:
    call = LogActivity(deal_id=DEAL, kind="call")
    given(OPENED, ActivityLogged(CALL, "call")).when(call).then(ActivityLogged(MINTED, "call"))


def test_only_a_whole_id_is_the_same() -> None:
    """Ids are kept one behind the other, and one that lies across two of them is none."""
    first, second = UUID(bytes=b"\x01" * 6 + b"\x40\x01\x80" + b"\x01" * 7), UUID(bytes=b"\x02" * 6 + b"\x40\x02\x80" + b"\x02" * 7)  # fmt: skip
    across = UUID(bytes=(first.bytes + second.bytes)[8:24])
    history = (OPENED, ActivityLogged(first, "call"), ActivityLogged(second, "call"))
    given(*history).when(LogActivity(deal_id=DEAL, kind="call", activity_id=across)).then(
        ActivityLogged(across, "call")
    )
    given(*history).when(LogActivity(deal_id=DEAL, kind="call", activity_id=second)).refused(
        ActivityExists, field="activity_id"
    )


def test_what_an_import_logged_is_not_remembered_for_no_client_can_choose_its_id() -> None:
    imported = ActivityLogged(imported_id("activity", "crm", "7"), "call")
    assert given(OPENED, imported).when(LogActivity(deal_id=DEAL, kind="call")).then(
        ActivityLogged(MINTED, "call")
    ).activities == (MINTED.bytes)
