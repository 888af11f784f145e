"""The organisation: people, teams, managers, regions. One stream per deployment, so that roll-ups hold as of a moment."""

from typing import Annotated, ClassVar
from uuid import UUID, uuid5

import msgspec
from pydantic import Field

from domain.command import Command, Context, Key, Label, PersonalText, Reason
from domain.errors import OrganisationConflict, UnknownTeam
from domain.event import Event, Role, TextRef

STREAM_ID = uuid5(UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), "dealtrace:organisation")
"""The stream of the one organisation: UUIDv5 of its name in the URL namespace."""

WIDE_SPAN = 8
"""S4: above so many direct reports a manager is warned."""


# --- Events -------------------------------------------------------------------------------------------


class TeamCreated(Event, frozen=True):
    """A team came into being, below another one or at the top."""

    TOPIC: ClassVar[str] = "organisation.team_created"
    team: str
    label: str
    parent: str | None
    region: str | None


class TeamRevised(Event, frozen=True):
    """A team has another label, parent or region."""

    TOPIC: ClassVar[str] = "organisation.team_revised"
    team: str
    label: str
    parent: str | None
    region: str | None


class ManagerAppointed(Event, frozen=True):
    """A team has another manager; null: none for now."""

    TOPIC: ClassVar[str] = "organisation.manager_appointed"
    team: str
    from_manager: str | None
    to_manager: str | None


class PersonJoined(Event, frozen=True):
    """A person belongs to a team from now on; to no other any more."""

    TOPIC: ClassVar[str] = "organisation.person_joined"
    person: str
    team: str
    from_team: str | None
    name: TextRef | None


class PersonRenamed(Event, frozen=True):
    """A person has another name."""

    TOPIC: ClassVar[str] = "organisation.person_renamed"
    person: str
    name: TextRef


class PersonLeft(Event, frozen=True):
    """A person belongs to no team any more."""

    TOPIC: ClassVar[str] = "organisation.person_left"
    person: str
    team: str
    reason: str | None


# --- State --------------------------------------------------------------------------------------------


class Team(msgspec.Struct, frozen=True):
    """A team and who manages it."""

    key: str
    label: str
    parent: str | None = None
    region: str | None = None
    manager: str | None = None


class Organisation(msgspec.Struct, frozen=True):
    """Who belongs where."""

    teams: dict[str, Team] = {}
    team_of: dict[str, str] = {}
    """Team by person. Somebody who manages a team without belonging to one has no line of managers above."""

    def team(self, key: str, field: str = "team") -> Team:
        """The team with this key, which `field` names. Raises UnknownTeam."""
        if key not in self.teams:
            raise UnknownTeam(
                f"There is no team {key!r}.", field=field, accepted=", ".join(self.teams) or "none yet"
            )
        return self.teams[key]

    def managers_above(self, person: str) -> tuple[str, ...]:
        """The line of managers above a person, nearest first; nobody is their own manager."""
        line: list[str] = []
        team = self.teams.get(self.team_of.get(person, ""))
        while team is not None:
            if team.manager is not None and team.manager not in (person, *line):
                line.append(team.manager)
            team = self.teams.get(team.parent or "")
        return tuple(line)

    def direct_reports(self) -> dict[str, set[str]]:
        """By manager, in the order of their names, the people who have no nearer one."""
        managers = sorted({t.manager for t in self.teams.values() if t.manager is not None})
        reports: dict[str, set[str]] = {manager: set() for manager in managers}
        for person in self.team_of:
            for nearest in self.managers_above(person)[:1]:
                reports[nearest].add(person)
        return reports


EMPTY = Organisation()


def evolve(organisation: Organisation | None, event: Event) -> Organisation:
    """The organisation after the event."""
    org = organisation or EMPTY
    match event:
        case TeamCreated():
            team = Team(event.team, event.label, event.parent, event.region)
            return msgspec.structs.replace(org, teams={**org.teams, event.team: team})
        case TeamRevised():
            team = msgspec.structs.replace(
                org.teams[event.team], label=event.label, parent=event.parent, region=event.region
            )
            return msgspec.structs.replace(org, teams={**org.teams, event.team: team})
        case ManagerAppointed():
            team = msgspec.structs.replace(org.teams[event.team], manager=event.to_manager)
            return msgspec.structs.replace(org, teams={**org.teams, event.team: team})
        case PersonJoined():
            return msgspec.structs.replace(org, team_of={**org.team_of, event.person: event.team})
        case PersonLeft():
            left = {person: team for person, team in org.team_of.items() if person != event.person}
            return msgspec.structs.replace(org, team_of=left)
    return org


# --- Commands -----------------------------------------------------------------------------------------


class OrganisationCommand(Command):
    """A command on the organisation."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset({"sales_operations", "admin", "system"})

    def stream_id(self) -> UUID:
        """The one organisation."""
        return STREAM_ID


class CreateTeam(OrganisationCommand):
    """Create a team, below another one or at the top."""

    team: Key
    label: Label
    parent: Key | None = None
    region: Label | None = None


class ReviseTeam(OrganisationCommand):
    """Give a team another label, parent or region."""

    team: Key
    label: Label
    parent: Key | None = None
    region: Label | None = None


class AppointManager(OrganisationCommand):
    """Give a team another manager; null for none."""

    team: Key
    manager: Label | None


class JoinTeam(OrganisationCommand):
    """Let a person belong to a team; a person belongs to one team at a time."""

    person: Label
    team: Key
    name: Annotated[PersonalText | None, Field(description="Personal text, kept in the vault.")] = None

    def subject_id(self) -> UUID:
        """The person, so that a name can be erased by itself."""
        return uuid5(STREAM_ID, self.person)


class LeaveTeam(OrganisationCommand):
    """Let a person belong to no team. Whoever manages one is succeeded there first."""

    person: Label
    reason: Reason | None = None


# --- Decisions ----------------------------------------------------------------------------------------


def decide(
    command: OrganisationCommand, organisation: Organisation | None, context: Context
) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    org = organisation or EMPTY
    match command:
        case CreateTeam():
            return _create(command, org)
        case ReviseTeam():
            return _revise(command, org)
        case AppointManager():
            manager = org.team(command.team).manager
            if manager == command.manager:
                return ()
            return (ManagerAppointed(command.team, manager, command.manager),)
        case JoinTeam():
            org.team(command.team)
            from_team = org.team_of.get(command.person)
            name = context.sealed.get("name")
            if from_team == command.team:
                return () if name is None else (PersonRenamed(command.person, name),)
            return (PersonJoined(command.person, command.team, from_team, name),)
        case LeaveTeam():
            return _leave(command, org)
    raise TypeError(f"the organisation knows no command {command.command_name()}")


def _create(command: CreateTeam, org: Organisation) -> tuple[Event, ...]:
    _require_parent(org, command.parent)
    event = TeamCreated(command.team, command.label, command.parent, command.region)
    existing = org.teams.get(command.team)
    if existing is None:
        return (event,)
    if msgspec.structs.replace(existing, manager=None) == evolve(None, event).teams[command.team]:
        return ()
    raise OrganisationConflict(
        f"The team {command.team!r} exists already.", field="team", accepted="another key, or revise-team"
    )


def _revise(command: ReviseTeam, org: Organisation) -> tuple[Event, ...]:
    org.team(command.team)
    _require_parent(org, command.parent)
    above = command.parent
    while above is not None:
        if above == command.team:
            raise OrganisationConflict(
                f"The team {command.parent!r} lies below {command.team!r}.",
                field="parent",
                accepted="a team that is not below this one",
            )
        above = org.teams[above].parent
    event = TeamRevised(command.team, command.label, command.parent, command.region)
    return () if evolve(org, event) == org else (event,)


def _leave(command: LeaveTeam, org: Organisation) -> tuple[Event, ...]:
    team = org.team_of.get(command.person)
    if team is None:
        return ()
    managed = [key for key, each in org.teams.items() if each.manager == command.person]
    if managed:  # a manager who left would go on to decide about forecasts
        raise OrganisationConflict(
            f"{command.person} manages {', '.join(managed)}.",
            field="person",
            accepted=f"appoint-manager for {', '.join(managed)} first, somebody else or null",
        )
    return (PersonLeft(command.person, team, command.reason),)


def _require_parent(org: Organisation, parent: str | None) -> None:
    if parent is not None:
        org.team(parent, "parent")
