"""Accounts and their contacts."""

from uuid import UUID

import pytest

from domain.account import (
    AccountClassified,
    AccountCommand,
    AccountOpened,
    AccountRenamed,
    AddContact,
    AssessOverallAttitude,
    ClassifyAccount,
    Contact,
    ContactAdded,
    ContactDescribed,
    ContactRetired,
    ContactTraitsRevised,
    DescribeContact,
    OpenAccount,
    OverallAttitudeChanged,
    RenameAccount,
    RetireContact,
    ReviseContactTraits,
)
from domain.errors import AccountExists, ContactExists, ContactGone, UnknownAccount, UnknownContact
from domain.external import External, ExternalInput
from domain.playbook import CurrencySet
from domain.registry import AGGREGATE_OF, COMMANDS
from tests.given import MINTED, given, sealed

ACCOUNT = UUID("0195a000-0000-7000-8000-0000000000aa")
EVA = UUID("0195a000-0000-7000-8000-0000000000c1")
OPENED = AccountOpened(customer_segment="mining", region="north")
ADDED = ContactAdded(EVA, sealed("name"), sealed("details"), "Head", "Maintenance", "balanced")
RETIRED = ContactRetired(EVA, "left")
ADD = AddContact(
    account_id=ACCOUNT,
    contact_id=EVA,
    name="Eva",
    details="eva@example.com",
    job_title="Head",
    department="Maintenance",
    orientation="balanced",
)


def test_an_account_is_opened_once_and_its_name_lies_in_the_vault() -> None:
    command = OpenAccount(
        account_id=ACCOUNT,
        name="Mine",
        customer_segment="mining",
        region="north",
        external=ExternalInput(source="crm", id="001"),
    )
    given().when(command).then(AccountOpened(sealed("name"), "mining", "north", External("crm", "001")))
    given().when(OpenAccount(account_id=ACCOUNT)).then(AccountOpened())
    given(OPENED).when(command).refused(AccountExists, field="account_id")


def test_an_account_is_renamed_and_classified() -> None:
    given(OPENED).when(RenameAccount(account_id=ACCOUNT, name="Pit")).then(AccountRenamed(sealed("name")))
    given(OPENED).when(ClassifyAccount(account_id=ACCOUNT, customer_segment="steel", region=None)).then(
        AccountClassified("steel", None)
    )
    given(OPENED).when(ClassifyAccount(account_id=ACCOUNT, customer_segment="mining", region="north")).then()


def test_a_contact_is_added_once_with_name_and_details_in_the_vault() -> None:
    account = given(OPENED).when(ADD).then(ADDED)
    assert account.contacts == {EVA: Contact("Head", "Maintenance", "balanced")}
    given(OPENED, ADDED).when(ADD).refused(ContactExists, field="contact_id")


def test_a_contact_is_described_anew_in_part() -> None:
    given(OPENED, ADDED).when(DescribeContact(account_id=ACCOUNT, contact_id=EVA, details="555")).then(
        ContactDescribed(EVA, None, sealed("details"))
    )
    given(OPENED, ADDED).when(DescribeContact(account_id=ACCOUNT, contact_id=EVA)).then()


def test_traits_and_overall_attitude_change() -> None:
    traits = ReviseContactTraits(
        account_id=ACCOUNT,
        contact_id=EVA,
        job_title="Plant manager",
        department=None,
        orientation="pragmatic",
    )
    revised = ContactTraitsRevised(EVA, "Plant manager", None, "pragmatic")
    given(OPENED, ADDED).when(traits).then(revised)
    given(OPENED, ADDED, revised).when(traits).then()
    likes_us = AssessOverallAttitude(account_id=ACCOUNT, contact_id=EVA, attitude="positive", reason="audit")
    liked = OverallAttitudeChanged(EVA, None, "positive", "audit")
    assert given(OPENED, ADDED).when(likes_us).then(liked).contacts[EVA].attitude == "positive"
    given(OPENED, ADDED, liked).when(likes_us).then()


ON_A_CONTACT: list[AccountCommand] = [
    DescribeContact(account_id=ACCOUNT, contact_id=EVA, name="Eva"),
    ReviseContactTraits(
        account_id=ACCOUNT, contact_id=EVA, job_title=None, department=None, orientation=None
    ),
    AssessOverallAttitude(account_id=ACCOUNT, contact_id=EVA, attitude="neutral"),
    RetireContact(account_id=ACCOUNT, contact_id=EVA, reason="left"),
]
NAMED = {"ids": lambda command: command.command_name()}


@pytest.mark.parametrize("command", ON_A_CONTACT, **NAMED)
def test_a_contact_that_is_not_there_is_not_changed(command: AccountCommand) -> None:
    given(OPENED).when(command).refused(UnknownContact, field="contact_id", accepted="add-contact")


@pytest.mark.parametrize("command", ON_A_CONTACT[:-1], **NAMED)
def test_a_retired_contact_takes_no_more_changes(command: AccountCommand) -> None:
    given(OPENED, ADDED, RETIRED).when(command).refused(ContactGone, field="contact_id")


def test_a_contact_is_retired_once() -> None:
    given(OPENED, ADDED).when(ON_A_CONTACT[-1]).then(RETIRED)
    given(OPENED, ADDED, RETIRED).when(ON_A_CONTACT[-1]).then()


@pytest.mark.parametrize(
    "command",
    [
        RenameAccount(account_id=ACCOUNT, name="x"),
        ClassifyAccount(account_id=ACCOUNT, customer_segment=None, region=None),
        ADD,
        *ON_A_CONTACT,
    ],
    **NAMED,
)
def test_an_account_that_was_never_opened_takes_no_command(command: AccountCommand) -> None:
    given().when(command).refused(UnknownAccount, field="account_id")
    given(CurrencySet("EUR")).when(command).refused(UnknownAccount, field="account_id")


def test_ids_are_fresh_unless_given() -> None:
    assert OpenAccount().with_id(lambda: MINTED).account_id == MINTED
    assert OpenAccount(account_id=ACCOUNT).with_id(lambda: MINTED).account_id == ACCOUNT
    assert AddContact(account_id=ACCOUNT).with_id(lambda: MINTED).contact_id == MINTED
    assert ADD.with_id(lambda: MINTED).contact_id == EVA


def test_a_persons_texts_are_the_persons_and_the_accounts_name_the_accounts() -> None:
    assert ADD.subject_id() == ON_A_CONTACT[0].subject_id() == EVA
    assert RenameAccount(account_id=ACCOUNT, name="x").subject_id() == ACCOUNT
    assert (AddContact.personal_fields(), OpenAccount.personal_fields()) == (("name", "details"), ("name",))


def test_who_may_work_on_accounts() -> None:
    for command in COMMANDS.values():
        if AGGREGATE_OF[command].name == "account":
            assert {
                "rep",
                "manager",
                "director",
                "sales_operations",
                "admin",
                "integration",
            } == command.ALLOWED
