"""Accounts and the people there, as they are now (A8): traits, overall attitudes; names come from the vault."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.account import (
    AccountClassified,
    AccountOpened,
    AccountRenamed,
    ContactAdded,
    ContactDescribed,
    ContactRetired,
    ContactTraitsRevised,
    OverallAttitudeChanged,
)
from domain.errors import UnknownAccount
from domain.event import Recorded
from domain.relations import DEPTH_FORMULA, Attitude, Depth, Orientation
from infra.vault import read_texts
from projections.clocks import columns, struct_of
from projections.contacts import depths, meetings
from projections.engine.description import Out, Projection, Table, topics_of
from projections.filters import NO_FILTERS, Filters
from projections.rules import playbook_at


class Person(msgspec.Struct, frozen=True):
    """A person at the account; name and details lie in the vault. `attitude_since` is null while none was given."""

    contact_id: UUID
    name_id: UUID | None
    details_id: UUID | None
    job_title: str | None
    department: str | None
    orientation: Orientation | None
    added_at: datetime
    attitude: Attitude | None = None
    attitude_since: datetime | None = None
    attitude_reason: str | None = None
    retired_at: datetime | None = None


class AccountRow(msgspec.Struct, frozen=True):
    """An account as it is now. `people` is bounded by those ever added to it, `contacts` counts the active ones."""

    account_id: UUID
    version: int
    name_id: UUID | None
    customer_segment: str | None
    region: str | None
    external_source: str | None
    external_id: str | None
    opened_at: datetime
    changed_at: datetime
    contacts: int = 0
    people: tuple[Person, ...] = ()


def fold(account: AccountRow | None, e: Recorded, _: Out) -> AccountRow:
    """The account after the event."""
    event, at = e.event, e.meta.occurred_at
    if type(event) is AccountOpened:
        return AccountRow(
            e.stream_id,
            e.version,
            event.name.id if event.name else None,
            event.customer_segment,
            event.region,
            event.external.source if event.external else None,
            event.external.id if event.external else None,
            at,
            at,
        )
    assert account is not None, "a stream of an account begins with account.opened"
    after = msgspec.structs.replace(account, version=e.version, changed_at=at, **_changes(account, event, at))
    return msgspec.structs.replace(after, contacts=sum(p.retired_at is None for p in after.people))


def _changes(account: AccountRow, event: Any, at: datetime) -> dict[str, Any]:
    match event:
        case AccountRenamed():
            return {"name_id": event.name.id}
        case AccountClassified():
            return {"customer_segment": event.customer_segment, "region": event.region}
        case ContactAdded():
            person = Person(
                event.contact_id,
                event.name.id if event.name else None,
                event.details.id if event.details else None,
                event.job_title,
                event.department,
                event.orientation,
                at,
            )
            return {"people": (*account.people, person)}
        case ContactDescribed():
            texts = {"name_id": event.name, "details_id": event.details}
            return _person(account, event.contact_id, **{n: ref.id for n, ref in texts.items() if ref})
        case ContactTraitsRevised():
            return _person(
                account,
                event.contact_id,
                job_title=event.job_title,
                department=event.department,
                orientation=event.orientation,
            )
        case OverallAttitudeChanged():
            return _person(
                account,
                event.contact_id,
                attitude=event.to_attitude,
                attitude_since=at,
                attitude_reason=event.reason,
            )
        case ContactRetired():
            return _person(account, event.contact_id, retired_at=at)
    return {}


def _person(account: AccountRow, contact_id: UUID, **changes: Any) -> dict[str, Any]:
    return {
        "people": tuple(
            msgspec.structs.replace(p, **changes) if p.contact_id == contact_id else p for p in account.people
        )
    }


ACCOUNTS = Table("accounts", AccountRow, key=("account_id",), indexes=("(opened_at, account_id)",))
PROJECTION = Projection(
    name="accounts",
    version=1,
    topics=topics_of("account"),
    fold=fold,
    head=ACCOUNTS,
)

# --- Queries ------------------------------------------------------------------------------------------


class AccountView(msgspec.Struct, frozen=True):
    """An account as it is now; `name` is null where there is none or it was erased."""

    account_id: UUID
    version: int
    name: str | None
    customer_segment: str | None
    region: str | None
    external_source: str | None
    external_id: str | None
    opened_at: datetime
    changed_at: datetime
    contacts: int


class PersonView(msgspec.Struct, frozen=True):
    """A person at the account now. `depth` of interaction is derived from the activities of all deals."""

    contact_id: UUID
    name: str | None
    details: str | None
    job_title: str | None
    department: str | None
    orientation: Orientation | None
    attitude: Attitude | None
    attitude_since: datetime | None
    attitude_reason: str | None
    depth: Depth
    added_at: datetime
    retired_at: datetime | None


class AccountDetails(AccountView, frozen=True):
    """An account as it is now with its people, those who are no contacts any more included."""

    as_of: datetime
    position: int
    people: list[PersonView]
    formula: str = DEPTH_FORMULA


def accounts(
    conn: Connection[Any],
    filters: Filters = NO_FILTERS,
    *,
    search: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[AccountView]:
    """A page of accounts, the one opened last first; `after` is (opened_at, account_id) of the one before.

    Of the filters only segment and region say anything about an account. `search` finds names that contain it.
    """
    conditions = [sql.SQL("true"), filters.where("a")]
    parameters: dict[str, Any] = {**filters.parameters(), "limit": limit}
    if search is not None:
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        parameters["part"] = f"%{escaped}%"
        conditions.append(
            sql.SQL(" AND a.name_id IN (SELECT id FROM dealtrace.vault WHERE text ILIKE %(part)s)")
        )
    if after is not None:
        parameters["after"], parameters["after_id"] = after
        conditions.append(sql.SQL(" AND (a.opened_at, a.account_id) < (%(after)s, %(after_id)s)"))
    query = sql.SQL(
        "SELECT {columns} FROM {accounts} a WHERE {where} ORDER BY a.opened_at DESC, a.account_id DESC"
        " LIMIT %(limit)s"
    ).format(
        columns=columns(ACCOUNTS, "a"),
        accounts=PROJECTION.view("accounts"),
        where=sql.SQL("").join(conditions),
    )
    rows: list[AccountRow] = [struct_of(ACCOUNTS)(row) for row in conn.execute(query, parameters).fetchall()]
    names = read_texts(conn, [row.name_id for row in rows if row.name_id])
    return [_view(row, names) for row in rows]


def account(conn: Connection[Any], account_id: UUID, *, as_of: datetime) -> AccountDetails:
    """One account with its people as they are now; interaction depths as of T. Raises UnknownAccount."""
    query = sql.SQL("SELECT {}, {} FROM {} a WHERE a.account_id = %s").format(
        PROJECTION.position, columns(ACCOUNTS, "a"), PROJECTION.view("accounts")
    )
    found = conn.execute(query, [account_id]).fetchone()
    if found is None:
        raise UnknownAccount(
            f"There is no account {account_id}.",
            field="account_id",
            accepted="the id of an account that was opened",
        )
    position, *values = found
    row: AccountRow = struct_of(ACCOUNTS)(values)
    ids = [row.name_id, *(i for p in row.people for i in (p.name_id, p.details_id))]
    texts = read_texts(conn, [i for i in ids if i])
    rules = playbook_at(conn, as_of).depth_rules
    deep = depths(meetings(conn, [p.contact_id for p in row.people], rules, as_of=as_of), rules)
    people = [
        PersonView(
            contact_id=p.contact_id,
            name=texts.get(p.name_id) if p.name_id else None,
            details=texts.get(p.details_id) if p.details_id else None,
            job_title=p.job_title,
            department=p.department,
            orientation=p.orientation,
            attitude=p.attitude,
            attitude_since=p.attitude_since,
            attitude_reason=p.attitude_reason,
            depth=deep[p.contact_id],
            added_at=p.added_at,
            retired_at=p.retired_at,
        )
        for p in row.people
    ]
    view = msgspec.structs.asdict(_view(row, texts))
    return AccountDetails(**view, as_of=as_of, position=position, people=people)


def name_ids(conn: Connection[Any], account_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Where the names of the people of some accounts lie in the vault, by person."""
    query = sql.SQL("SELECT {} FROM {} a WHERE a.account_id = ANY(%s)").format(
        columns(ACCOUNTS, "a"), PROJECTION.view("accounts")
    )
    rows: list[AccountRow] = [
        struct_of(ACCOUNTS)(row) for row in conn.execute(query, [list(account_ids)]).fetchall()
    ]
    return {p.contact_id: p.name_id for row in rows for p in row.people if p.name_id}


def _view(row: AccountRow, names: dict[UUID, str]) -> AccountView:
    return AccountView(
        row.account_id,
        row.version,
        names.get(row.name_id) if row.name_id else None,
        row.customer_segment,
        row.region,
        row.external_source,
        row.external_id,
        row.opened_at,
        row.changed_at,
        row.contacts,
    )
