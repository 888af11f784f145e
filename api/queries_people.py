"""Questions about people and customers: the contacts and the team of a deal, accounts and those who work there."""

from datetime import datetime
from uuid import UUID

import msgspec

from api import params_sales as p
from api.asked import Connection, moment_of, now, page_of, position_of
from api.cursor import place_of
from projections import accounts as account_list
from projections import attitudes as overall
from projections import deal_contacts as people
from projections import deal_teams
from projections.accounts import AccountDetails, AccountView
from projections.attitudes import Attitudes
from projections.deal_contacts import DealContacts
from projections.deal_teams import DealTeam
from projections.filters import Filters


def deal_contacts(conn: Connection, params: p.DealAtParams) -> DealContacts:
    """The people of a deal: part, attitude, strategy, and how deep the interaction with them goes.

    Raises UnknownDeal.
    """
    return people.deal_contacts(conn, params.deal_id, as_of=moment_of(conn, params), known_at=params.known_at)


def deal_team(conn: Connection, params: p.DealAtParams) -> DealTeam:
    """Who works on a deal beside its owner, from which department, and since when.

    Raises UnknownDeal.
    """
    return deal_teams.deal_team(conn, params.deal_id, as_of=moment_of(conn, params), known_at=params.known_at)


class AccountPage(msgspec.Struct, frozen=True):
    """Some accounts, and how to get the next ones: null after the last. `position`: what the page reflects."""

    accounts: list[AccountView]
    next_cursor: str | None
    position: int


def accounts(conn: Connection, params: p.AccountsParams) -> AccountPage:
    """Accounts as they are now, the one opened last first, page by page."""
    found = account_list.accounts(
        conn,
        Filters(customer_segment=params.customer_segment, region=params.region),
        search=params.q,
        after=place_of(params, tuple[datetime, UUID]),
        limit=params.limit + 1,
    )
    page, cursor = page_of(found, params, lambda last: (last.opened_at, last.account_id))
    return AccountPage(page, cursor, position_of(conn, account_list.PROJECTION))


def account(conn: Connection, params: p.OneAccount) -> AccountDetails:
    """One account as it is now, and its people.

    Raises UnknownAccount.
    """
    return account_list.account(conn, params.account_id, as_of=now(conn))


def attitudes(conn: Connection, params: p.AccountAtParams) -> Attitudes:
    """How the people of an account have stood to us overall, change by change.

    Raises UnknownAccount.
    """
    return overall.attitudes(conn, params.account_id, as_of=moment_of(conn, params), known_at=params.known_at)
