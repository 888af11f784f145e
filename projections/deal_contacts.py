"""The people of a deal at any moment (A8), with their names and how deep the interaction with them goes."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.errors import UnknownDeal
from domain.relations import DEPTH_FORMULA, Attitude, DecisionRole, Depth, Power, Strategy
from infra.vault import read_texts
from projections.accounts import PROJECTION as ACCOUNTS
from projections.accounts import name_ids
from projections.clocks import in_force, position_of
from projections.contacts import PROJECTION, depths, meetings
from projections.rules import playbook_at
from projections.timeline import PROJECTION as TIMELINE


class DealContactView(msgspec.Struct, frozen=True):
    """A person of the deal at (T, K); the name is as it is now, null where there is none or it was erased.

    `depth` is of the activities on this deal, `overall_depth` of those on all deals; `two_way` and `face_to_face`
    count the contacts on this deal within the window.
    """

    contact_id: UUID
    account_id: UUID
    name: str | None
    decision_role: DecisionRole | None
    department: str | None
    power: Power | None
    attitude: Attitude | None
    attitude_reason: str | None
    strategy: Strategy | None
    strategy_by: str | None
    strategy_reason: str | None
    depth: Depth
    overall_depth: Depth
    two_way: int
    face_to_face: int
    since: datetime


class DealContacts(msgspec.Struct, frozen=True):
    """The people of a deal at (T, K), in the order of their ids; depths look back `window_days`."""

    deal_id: UUID
    as_of: datetime
    known_at: datetime | None
    position: int
    window_days: int
    contacts: list[DealContactView]
    formula: str = DEPTH_FORMULA


def deal_contacts(
    conn: Connection[Any], deal_id: UUID, *, as_of: datetime, known_at: datetime | None = None
) -> DealContacts:
    """The people of a deal at (T, K), and how deep the interaction with each went by then. Raises UnknownDeal."""
    query = sql.SQL(
        "SELECT {position}, p.contact_id, p.account_id, p.decision_role, p.department, p.power, p.attitude,"
        " p.attitude_reason, p.strategy, p.strategy_by, p.strategy_reason, p.since"
        " FROM {heads} h LEFT JOIN {parts} p ON p.deal_id = h.deal_id AND {then}"
        " WHERE h.deal_id = %(deal_id)s ORDER BY p.contact_id"
    ).format(
        position=position_of(PROJECTION, ACCOUNTS, TIMELINE),
        heads=PROJECTION.view("contacts_heads"),
        parts=PROJECTION.view("contact_parts"),
        then=in_force("p", known_at),
    )
    rows = conn.execute(query, {"deal_id": deal_id, "as_of": as_of, "known_at": known_at}).fetchall()
    if not rows:
        raise UnknownDeal(deal_id)
    parts = [row[1:] for row in rows if row[1] is not None]
    rules, people = playbook_at(conn, as_of, known_at).depth_rules, [part[0] for part in parts]
    here = meetings(conn, people, rules, as_of=as_of, known_at=known_at, deal_id=deal_id)
    overall = meetings(conn, people, rules, as_of=as_of, known_at=known_at)
    on_deal, over_all = depths(here, rules), depths(overall, rules)
    ids = name_ids(conn, [part[1] for part in parts])
    texts = read_texts(conn, ids.values())
    contacts = [
        DealContactView(
            person,
            account_id,
            texts.get(ids[person]) if person in ids else None,
            role,
            department,
            power,
            attitude,
            why,
            strategy,
            by,
            why_so,
            on_deal[person],
            over_all[person],
            *here[person],
            since,
        )
        for person, account_id, role, department, power, attitude, why, strategy, by, why_so, since in parts
    ]
    return DealContacts(deal_id, as_of, known_at, rows[0][0], rules.window_days, contacts)
