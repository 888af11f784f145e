"""An account: a customer, and the people there. One stream per account."""

from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from pydantic import Field

from domain.command import Command, Context, Label, PersonalText, Reason
from domain.errors import AccountExists, ContactExists, ContactGone, UnknownAccount, UnknownContact
from domain.event import Event, Role, TextRef
from domain.external import External, ExternalInput
from domain.relations import Attitude, Orientation

# --- Events -------------------------------------------------------------------------------------------


class AccountOpened(Event, frozen=True):
    """A customer is known from now on. Its name lies in the vault: it may be a person's."""

    TOPIC: ClassVar[str] = "account.opened"
    name: TextRef | None = None
    customer_segment: str | None = None
    region: str | None = None
    external: External | None = None


class AccountRenamed(Event, frozen=True):
    """The account has another name."""

    TOPIC: ClassVar[str] = "account.renamed"
    name: TextRef


class AccountClassified(Event, frozen=True):
    """The account belongs to another segment or region. Deals keep the ones they were opened with."""

    TOPIC: ClassVar[str] = "account.classified"
    customer_segment: str | None
    region: str | None


class ContactAdded(Event, frozen=True):
    """A person at the account is known from now on."""

    TOPIC: ClassVar[str] = "account.contact_added"
    contact_id: UUID
    name: TextRef | None = None
    details: TextRef | None = None
    job_title: str | None = None
    department: str | None = None
    orientation: Orientation | None = None


class ContactDescribed(Event, frozen=True):
    """A person's name or details changed. Null: as before."""

    TOPIC: ClassVar[str] = "account.contact_described"
    contact_id: UUID
    name: TextRef | None
    details: TextRef | None


class ContactTraitsRevised(Event, frozen=True):
    """A person's title, department or orientation changed; all of them as they are now, null for unknown."""

    TOPIC: ClassVar[str] = "account.contact_traits_revised"
    contact_id: UUID
    job_title: str | None
    department: str | None
    orientation: Orientation | None


class OverallAttitudeChanged(Event, frozen=True):
    """A person stands to us otherwise, over all deals. Null: unknown."""

    TOPIC: ClassVar[str] = "account.contact_attitude_changed"
    contact_id: UUID
    from_attitude: Attitude | None
    to_attitude: Attitude | None
    reason: str | None


class ContactRetired(Event, frozen=True):
    """The person is no contact any more."""

    TOPIC: ClassVar[str] = "account.contact_retired"
    contact_id: UUID
    reason: str


# --- State --------------------------------------------------------------------------------------------


class Contact(msgspec.Struct, frozen=True):
    """A person at the account."""

    job_title: str | None = None
    department: str | None = None
    orientation: Orientation | None = None
    attitude: Attitude | None = None
    retired: bool = False


class Account(msgspec.Struct, frozen=True):
    """What decisions need to know of an account."""

    customer_segment: str | None = None
    region: str | None = None
    contacts: dict[UUID, Contact] = {}

    def contact(self, contact_id: UUID) -> Contact:
        """The contact, which is not retired. Raises UnknownContact or ContactGone."""
        if contact_id not in self.contacts:
            raise UnknownContact(
                f"The account has no contact {contact_id}.",
                field="contact_id",
                accepted="the id of a contact of the account; add-contact adds one",
            )
        if self.contacts[contact_id].retired:
            raise ContactGone(
                f"The contact {contact_id} was retired.", field="contact_id", accepted="another contact"
            )
        return self.contacts[contact_id]


def evolve(account: Account | None, event: Event) -> Account:
    """The account after the event."""
    match account, event:
        case _, AccountOpened():
            return Account(event.customer_segment, event.region)
        case Account(), AccountRenamed():
            return account
        case Account(), AccountClassified():
            return msgspec.structs.replace(
                account, customer_segment=event.customer_segment, region=event.region
            )
        case Account(), ContactAdded():
            contact = Contact(event.job_title, event.department, event.orientation)
            return msgspec.structs.replace(account, contacts={**account.contacts, event.contact_id: contact})
        case Account(), ContactDescribed():
            return account
        case Account(), ContactTraitsRevised():
            return _with(
                account,
                event.contact_id,
                job_title=event.job_title,
                department=event.department,
                orientation=event.orientation,
            )
        case Account(), OverallAttitudeChanged():
            return _with(account, event.contact_id, attitude=event.to_attitude)
        case Account(), ContactRetired():
            return _with(account, event.contact_id, retired=True)
    raise TypeError(f"an account does not begin with {event.TOPIC}")


def _with(account: Account, contact_id: UUID, **changes: str | bool | None) -> Account:
    contact = msgspec.structs.replace(account.contacts[contact_id], **changes)
    return msgspec.structs.replace(account, contacts={**account.contacts, contact_id: contact})


# --- Commands -----------------------------------------------------------------------------------------


class AccountCommand(Command):
    """A command on one account."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset(
        {"rep", "manager", "director", "sales_operations", "admin", "integration"}
    )

    account_id: UUID

    def stream_id(self) -> UUID:
        """The account's."""
        return self.account_id


class OpenAccount(AccountCommand):
    """Open an account."""

    CREATES: ClassVar[bool] = True
    MINTS: ClassVar[str | None] = "account_id"

    account_id: Annotated[UUID | None, Field(description="Default: a fresh id.")] = None  # type: ignore[assignment]
    name: PersonalText | None = None
    customer_segment: Label | None = None
    region: Label | None = None
    external: ExternalInput | None = None

    def stands_on(self) -> tuple[UUID, ...]:
        """What an import made of the same thing of the other system, if it did."""
        return (self.external.imported_id("account"),) if self.external else ()


class RenameAccount(AccountCommand):
    """Give the account another name."""

    name: Annotated[PersonalText, Field(description="The new name, kept in the vault.")]


class ClassifyAccount(AccountCommand):
    """Set the account's segment and region; null for unknown. Its deals keep theirs."""

    customer_segment: Label | None
    region: Label | None


class ContactCommand(AccountCommand):
    """A command on one person at the account."""

    contact_id: UUID

    def subject_id(self) -> UUID:
        """The person, so that one can be erased without the others."""
        return self.contact_id


class AddContact(ContactCommand):
    """Add a person at the account."""

    MINTS: ClassVar[str | None] = "contact_id"

    contact_id: Annotated[UUID | None, Field(description="Default: a fresh id.")] = None  # type: ignore[assignment]
    name: PersonalText | None = None
    details: Annotated[
        PersonalText | None, Field(description="How to reach the person; kept in the vault.")
    ] = None
    job_title: Label | None = None
    department: Label | None = None
    orientation: Orientation | None = None


class DescribeContact(ContactCommand):
    """Give a person another name or other details; what is left out stays."""

    name: PersonalText | None = None
    details: Annotated[
        PersonalText | None, Field(description="How to reach the person; kept in the vault.")
    ] = None


class ReviseContactTraits(ContactCommand):
    """Set a person's title, department and orientation; null for unknown."""

    job_title: Label | None
    department: Label | None
    orientation: Orientation | None


class AssessOverallAttitude(ContactCommand):
    """Say how a person stands to us over all deals; null for unknown."""

    attitude: Attitude | None
    reason: Reason | None = None


class RetireContact(ContactCommand):
    """Let a person be no contact any more."""

    reason: Reason


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: AccountCommand, account: Account | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    if isinstance(command, OpenAccount):
        return _open(command, account, context)
    account = present(account, command.account_id)
    match command:
        case RenameAccount():
            return (AccountRenamed(context.sealed["name"]),)
        case ClassifyAccount():
            wanted = (command.customer_segment, command.region)
            return (
                () if wanted == (account.customer_segment, account.region) else (AccountClassified(*wanted),)
            )
        case AddContact():
            return _add(command, account, context)
        case RetireContact() if (known := account.contacts.get(command.contact_id)) and known.retired:
            return ()
        case ContactCommand():
            return _change(command, account.contact(command.contact_id), context)
    raise TypeError(f"an account knows no command {command.command_name()}")


def present(account: object, account_id: UUID) -> Account:
    """The account, which was opened. Raises UnknownAccount."""
    if not isinstance(account, Account):  # none, or a stream of another kind
        raise UnknownAccount(
            f"There is no account {account_id}.",
            field="account_id",
            accepted="the id of an account that was opened",
        )
    return account


def _open(command: OpenAccount, account: Account | None, context: Context) -> tuple[Event, ...]:
    if account is not None:
        raise AccountExists(
            f"The account {command.account_id} exists already.",
            field="account_id",
            accepted="a new id, or none",
        )
    for other, stream in context.others.items():
        if stream.version and not context.importing:
            raise AccountExists(
                f"The account {other} was imported under this external id.",
                field="external",
                accepted="what no import brought, or the account that is there",
            )
    external = command.external.external() if command.external else None
    return (AccountOpened(context.sealed.get("name"), command.customer_segment, command.region, external),)


def _add(command: AddContact, account: Account, context: Context) -> tuple[Event, ...]:
    assert command.contact_id is not None  # `with_id` has seen to it
    if command.contact_id in account.contacts:
        raise ContactExists(
            f"The contact {command.contact_id} exists already.",
            field="contact_id",
            accepted="a new id, or none",
        )
    return (
        ContactAdded(
            contact_id=command.contact_id,
            name=context.sealed.get("name"),
            details=context.sealed.get("details"),
            job_title=command.job_title,
            department=command.department,
            orientation=command.orientation,
        ),
    )


def _change(command: ContactCommand, contact: Contact, context: Context) -> tuple[Event, ...]:
    match command:
        case DescribeContact():
            texts = (context.sealed.get("name"), context.sealed.get("details"))
            return () if texts == (None, None) else (ContactDescribed(command.contact_id, *texts),)
        case ReviseContactTraits():
            wanted = (command.job_title, command.department, command.orientation)
            if wanted == (contact.job_title, contact.department, contact.orientation):
                return ()
            return (ContactTraitsRevised(command.contact_id, *wanted),)
        case AssessOverallAttitude():
            if command.attitude == contact.attitude:
                return ()
            return (
                OverallAttitudeChanged(
                    command.contact_id, contact.attitude, command.attitude, command.reason
                ),
            )
        case RetireContact():
            return (ContactRetired(command.contact_id, command.reason),)
    raise TypeError(f"an account knows no command {command.command_name()}")
