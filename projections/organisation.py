"""The organisation with its history: who belonged to which team, and who managed it, at any moment."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.event import Recorded
from domain.organisation import (
    WIDE_SPAN,
    ManagerAppointed,
    Organisation,
    PersonJoined,
    PersonLeft,
    PersonRenamed,
    Team,
    TeamCreated,
    TeamRevised,
)
from projections.engine.description import Out, Projection, Table, topics_of
from projections.playbook import IN_FORCE, NEXT


class Membership(msgspec.Struct, frozen=True):
    """A person in a team, until the next change; in none while `team` is null. `name_id` leads into the vault."""

    person: str
    seq: int
    """The version of the organisation's stream that brought it."""
    team: str | None
    name_id: UUID | None
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class TeamState(msgspec.Struct, frozen=True):
    """A team, its place and its manager, until the next change."""

    team: str
    seq: int
    label: str
    parent: str | None
    region: str | None
    manager: str | None
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class OpenMembership(msgspec.Struct, frozen=True):
    """A person's last row, as the fold needs it to close it."""

    seq: int
    team: str | None
    name_id: UUID | None


class OpenTeam(msgspec.Struct, frozen=True):
    """A team's last row, likewise."""

    seq: int
    team: Team


class OrganisationHead(msgspec.Struct, frozen=True):
    """Who belongs where now. Bounded by the people and teams there ever were."""

    organisation_id: UUID
    people: dict[str, OpenMembership] = {}
    teams: dict[str, OpenTeam] = {}


def fold(head: OrganisationHead | None, e: Recorded, out: Out) -> OrganisationHead:
    """Close the row in force and insert the one that follows it."""
    head = head or OrganisationHead(e.meta.partition_key)
    event = e.event
    match event:
        case TeamCreated():
            return _team(head, e, out, Team(event.team, event.label, event.parent, event.region))
        case TeamRevised():
            changes = {"label": event.label, "parent": event.parent, "region": event.region}
            return _team(head, e, out, msgspec.structs.replace(head.teams[event.team].team, **changes))
        case ManagerAppointed():
            before = head.teams[event.team].team
            return _team(head, e, out, msgspec.structs.replace(before, manager=event.to_manager))
        case PersonJoined():
            return _person(head, e, out, team=event.team, name=event.name.id if event.name else None)
        case PersonRenamed():
            last = head.people.get(event.person)
            return _person(head, e, out, team=last.team if last else None, name=event.name.id)
        case PersonLeft():
            return _person(head, e, out, team=None, name=None)
    return head


def _team(head: OrganisationHead, e: Recorded, out: Out, after: Team) -> OrganisationHead:
    clocks = (e.meta.occurred_at, e.known_at)
    if before := head.teams.get(after.key):
        out.close(TeamState, (after.key, before.seq), clocks)
    out.insert(
        TeamState(after.key, e.version, after.label, after.parent, after.region, after.manager, *clocks)
    )
    return msgspec.structs.replace(head, teams={**head.teams, after.key: OpenTeam(e.version, after)})


def _person(
    head: OrganisationHead, e: Recorded, out: Out, *, team: str | None, name: UUID | None
) -> OrganisationHead:
    person, clocks = e.event.person, (e.meta.occurred_at, e.known_at)
    before = head.people.get(person)
    if before is not None:
        out.close(Membership, (person, before.seq), clocks)
    after = OpenMembership(e.version, team, name or (before.name_id if before else None))
    out.insert(Membership(person, after.seq, after.team, after.name_id, *clocks))
    return msgspec.structs.replace(head, people={**head.people, person: after})


PROJECTION = Projection(
    name="organisation",
    version=1,
    topics=topics_of("organisation"),
    fold=fold,
    head=Table("organisation_heads", OrganisationHead, key=("organisation_id",)),
    histories=(
        Table("memberships", Membership, key=("person", "seq"), closing=NEXT),
        Table("team_states", TeamState, key=("team", "seq"), closing=NEXT),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------


def organisation_at(
    conn: Connection[Any], as_of: datetime | None = None, known_at: datetime | None = None
) -> Organisation:
    """Teams and memberships at (T, K); without a time as they are known now."""
    clocks = {"as_of": as_of, "known_at": known_at}
    teams = sql.SQL("SELECT team, label, parent, region, manager FROM {} WHERE {} ORDER BY team").format(
        PROJECTION.view("team_states"), IN_FORCE
    )
    people = sql.SQL("SELECT person, team FROM {} WHERE team IS NOT NULL AND {} ORDER BY person").format(
        PROJECTION.view("memberships"), IN_FORCE
    )
    return Organisation(
        {key: Team(key, *row) for key, *row in conn.execute(teams, clocks).fetchall()},
        dict(conn.execute(people, clocks).fetchall()),
    )


def team_and_below(org: Organisation, team: str) -> frozenset[str]:
    """Keys of a team and of every team below it."""
    found, last = frozenset({team}), frozenset[str]()
    while found != last:
        last = found
        found |= {key for key, t in org.teams.items() if t.parent in last}
    return found


def members(org: Organisation, team: str) -> frozenset[str]:
    """The people of a team and of the teams below it."""
    teams = team_and_below(org, team)
    return frozenset(person for person, of in org.team_of.items() if of in teams)


class TeamView(msgspec.Struct, frozen=True):
    """A team: its place, its manager, and the people directly in it."""

    team: str
    label: str
    parent: str | None
    region: str | None
    manager: str | None
    people: list[str]
    people_with_sub_teams: int


class ManagerView(msgspec.Struct, frozen=True):
    """Somebody who manages a team, and how many people have no nearer manager; above 8 the span is too wide (S4)."""

    manager: str
    direct_reports: int
    too_wide: bool


class OrganisationView(msgspec.Struct, frozen=True):
    """The organisation at (T, K), teams and managers in the order of their keys."""

    as_of: datetime
    known_at: datetime | None
    position: int
    teams: list[TeamView]
    managers: list[ManagerView]


def organisation(
    conn: Connection[Any], *, as_of: datetime, known_at: datetime | None = None
) -> OrganisationView:
    """Teams, managers and memberships at (T, K)."""
    org = organisation_at(conn, as_of, known_at)
    direct: dict[str, list[str]] = {key: [] for key in org.teams}
    for person, team in org.team_of.items():
        direct.setdefault(team, []).append(person)
    teams = [
        TeamView(
            t.key, t.label, t.parent, t.region, t.manager, sorted(direct[t.key]), len(members(org, t.key))
        )
        for t in org.teams.values()
    ]
    ((position,),) = conn.execute(sql.SQL("SELECT coalesce({}, 0)").format(PROJECTION.position)).fetchall()
    return OrganisationView(as_of, known_at, position, teams, _managers(org))


def _managers(org: Organisation) -> list[ManagerView]:
    reports = org.direct_reports()
    return [ManagerView(manager, len(people), len(people) > WIDE_SPAN) for manager, people in reports.items()]
