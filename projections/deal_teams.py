"""Who worked on which deal, from when until when: its owners and its team over time (A3)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.deal import DealOpened, DealTeamJoined, DealTeamLeft, OwnerRevised
from domain.errors import UnknownDeal
from domain.event import Recorded
from projections.clocks import in_force, position_of
from projections.engine.description import Out, Projection, Table, topics


class TeamStint(msgspec.Struct, frozen=True):
    """A person on a deal's team, from one change until the next; two clocks as in `DealState`.

    `since` is when the person came to the team; a change of department goes on with it.
    """

    deal_id: UUID
    person: str
    seq: int
    department: str | None
    since: datetime
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class Ownership(msgspec.Struct, frozen=True):
    """A person as the owner of a deal, until the next one; two clocks likewise."""

    deal_id: UUID
    seq: int
    owner: str
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class DealTeamHead(msgspec.Struct, frozen=True):
    """The stints in force by person, and the row of the owner. Bounded by the people who work on the deal."""

    deal_id: UUID
    people: dict[str, TeamStint] = {}
    owner_seq: int | None = None


def fold(head: DealTeamHead | None, e: Recorded, out: Out) -> DealTeamHead:
    """Close the stint in force, of the person or of the owner before, and insert the one that follows it."""
    head = head or DealTeamHead(e.stream_id)
    event, clocks = e.event, (e.meta.occurred_at, e.known_at)
    if isinstance(event, DealOpened):
        return _owned(head, e, out, event.owner)
    if isinstance(event, OwnerRevised):
        return _owned(head, e, out, event.to_owner)
    people = dict(head.people)
    before = people.pop(event.person, None)
    if before is not None:
        out.close(TeamStint, (before.deal_id, before.person, before.seq), clocks)
    if isinstance(event, DealTeamJoined):
        since = before.since if before else clocks[0]
        after = TeamStint(head.deal_id, event.person, e.version, event.department, since, *clocks)
        out.insert(after)
        people[event.person] = after
    return DealTeamHead(head.deal_id, people, head.owner_seq)


def _owned(head: DealTeamHead, e: Recorded, out: Out, owner: str | None) -> DealTeamHead:
    clocks = (e.meta.occurred_at, e.known_at)
    if head.owner_seq is not None:
        out.close(Ownership, (head.deal_id, head.owner_seq), clocks)
    if owner is not None:
        out.insert(Ownership(head.deal_id, e.version, owner, *clocks))
    return DealTeamHead(head.deal_id, head.people, None if owner is None else e.version)


PROJECTION = Projection(
    name="deal_teams",
    version=1,
    topics=topics(DealOpened, OwnerRevised, DealTeamJoined, DealTeamLeft),
    fold=fold,
    head=Table("deal_team_heads", DealTeamHead, key=("deal_id",)),
    histories=(
        Table(
            "team_stints",
            TeamStint,
            key=("deal_id", "person", "seq"),
            closing=("next_occurred_at", "next_known_at"),
            indexes=("(person)",),
        ),
        Table(
            "ownerships",
            Ownership,
            key=("deal_id", "seq"),
            closing=("next_occurred_at", "next_known_at"),
            indexes=("(owner)",),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------


class TeamMember(msgspec.Struct, frozen=True):
    """A person of the deal team: from which department, and since when."""

    person: str
    department: str | None
    since: datetime


class DealTeam(msgspec.Struct, frozen=True):
    """Who worked on a deal at (T, K), in the order of their names."""

    deal_id: UUID
    as_of: datetime
    known_at: datetime | None
    position: int
    people: list[TeamMember]


def deal_team(
    conn: Connection[Any], deal_id: UUID, *, as_of: datetime, known_at: datetime | None = None
) -> DealTeam:
    """The team of a deal at (T, K). Raises UnknownDeal."""
    query = sql.SQL(
        "SELECT {position}, t.person, t.department, t.since FROM {heads} h"
        " LEFT JOIN {stints} t ON t.deal_id = h.deal_id AND {then} WHERE h.deal_id = %(deal_id)s ORDER BY t.person"
    ).format(
        position=position_of(PROJECTION),
        heads=PROJECTION.view("deal_team_heads"),
        stints=PROJECTION.view("team_stints"),
        then=in_force("t", known_at),
    )
    rows = conn.execute(query, {"deal_id": deal_id, "as_of": as_of, "known_at": known_at}).fetchall()
    if not rows:
        raise UnknownDeal(deal_id)
    people = [TeamMember(*row[1:]) for row in rows if row[1] is not None]
    return DealTeam(deal_id, as_of, known_at, rows[0][0], people)
