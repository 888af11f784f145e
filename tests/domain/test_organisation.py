"""People, teams, managers, regions."""

import pytest

from domain.errors import OrganisationConflict, UnknownTeam
from domain.event import Event
from domain.organisation import (
    STREAM_ID,
    AppointManager,
    CreateTeam,
    JoinTeam,
    LeaveTeam,
    ManagerAppointed,
    Organisation,
    PersonJoined,
    PersonLeft,
    PersonRenamed,
    ReviseTeam,
    TeamCreated,
    TeamRevised,
)
from domain.registry import AGGREGATE_OF, COMMANDS
from tests.given import fold, given, sealed

GERMANY = TeamCreated("germany", "Germany", None, "dach")
NORTH = TeamCreated("north", "North", "germany", "north")
DORA_LEADS = ManagerAppointed("germany", None, "dora")
MIA_LEADS = ManagerAppointed("north", None, "mia")
BOB_JOINED = PersonJoined("bob", "north", None, None)
COMPANY = (GERMANY, NORTH, DORA_LEADS, MIA_LEADS, BOB_JOINED, PersonJoined("mia", "north", None, None))


def company(*more: Event) -> Organisation:
    org = fold((*COMPANY, *more))
    assert isinstance(org, Organisation)
    return org


# --- Teams


def test_a_team_is_created_below_another_or_at_the_top() -> None:
    given().when(CreateTeam(team="germany", label="Germany", region="dach")).then(GERMANY)
    below = CreateTeam(team="north", label="North", parent="germany", region="north")
    given(GERMANY).when(below).then(NORTH)
    given(GERMANY, NORTH, MIA_LEADS).when(below).then()
    given(GERMANY, NORTH).when(CreateTeam(team="north", label="Another")).refused(
        OrganisationConflict, field="team", accepted="revise-team"
    )
    given().when(below).refused(UnknownTeam, field="parent", accepted="none yet")


def test_a_revised_team_keeps_its_manager() -> None:
    revise = ReviseTeam(team="north", label="Coast", region="sea")
    org = given(*COMPANY).when(revise).then(TeamRevised("north", "Coast", None, "sea"))
    assert (org.teams["north"].manager, org.teams["north"].label) == ("mia", "Coast")
    given(*COMPANY).when(ReviseTeam(team="north", label="North", parent="germany", region="north")).then()


def test_a_team_that_is_not_there_is_not_revised_led_or_joined() -> None:
    for command in (
        ReviseTeam(team="x", label="X"),
        AppointManager(team="x", manager="mia"),
        JoinTeam(team="x", person="bob"),
    ):
        given(GERMANY).when(command).refused(UnknownTeam, field="team", accepted="germany")


def test_a_team_does_not_come_to_lie_below_itself() -> None:
    for parent in ("north", "germany"):
        given(*COMPANY).when(ReviseTeam(team="germany", label="Germany", parent=parent)).refused(
            OrganisationConflict, field="parent", accepted="not below"
        )


# --- People


def test_a_person_belongs_to_one_team_at_a_time() -> None:
    given(*COMPANY).when(JoinTeam(person="bob", team="germany", name="Bob")).then(
        PersonJoined("bob", "germany", "north", sealed("name"))
    )
    given(*COMPANY).when(JoinTeam(person="bob", team="north")).then()
    given(*COMPANY).when(JoinTeam(person="bob", team="north", name="Bobby")).then(
        PersonRenamed("bob", sealed("name"))
    )
    org = (
        given(*COMPANY)
        .when(LeaveTeam(person="bob", reason="retired"))
        .then(PersonLeft("bob", "north", "retired"))
    )
    assert "bob" not in org.team_of
    given(GERMANY).when(LeaveTeam(person="bob")).then()


def test_who_manages_a_team_is_succeeded_before_leaving() -> None:
    """Also when it is another team than the own one."""
    leave = LeaveTeam(person="mia", reason="retired")
    for more in ((), (PersonJoined("mia", "germany", "north", None),)):
        given(*COMPANY, *more).when(leave).refused(
            OrganisationConflict, field="person", accepted="appoint-manager for north first"
        )
    for successor in ("bob", None):
        given(*COMPANY, ManagerAppointed("north", "mia", successor)).when(leave).then(
            PersonLeft("mia", "north", "retired")
        )


def test_a_team_gets_another_manager_or_none() -> None:
    given(*COMPANY).when(AppointManager(team="north", manager="mia")).then()
    given(*COMPANY).when(AppointManager(team="north", manager=None)).then(
        ManagerAppointed("north", "mia", None)
    )
    given(GERMANY).when(AppointManager(team="germany", manager="dora")).then(DORA_LEADS)


# --- Who manages whom


def test_the_line_of_managers_goes_up_from_the_nearest() -> None:
    assert company().managers_above("bob") == ("mia", "dora")
    assert company().managers_above("mia") == ("dora",)
    assert company().managers_above("nobody") == ()
    assert company(ManagerAppointed("north", "mia", None)).managers_above("bob") == ("dora",)
    assert company(ManagerAppointed("north", "mia", "dora")).managers_above("bob") == ("dora",)
    assert company(TeamRevised("north", "North", None, None)).managers_above("bob") == ("mia",)


def test_direct_reports_are_those_whose_nearest_manager_it_is() -> None:
    assert company().direct_reports()["mia"] == {"bob"}
    assert company().direct_reports()["dora"] == {"mia"}
    assert company(ManagerAppointed("north", "mia", None)).direct_reports() == {"dora": {"bob", "mia"}}


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if AGGREGATE_OF[c].name == "organisation"])
def test_only_those_who_run_sales_operations_change_the_organisation(name: str) -> None:
    assert frozenset({"sales_operations", "admin", "system"}) == COMMANDS[name].ALLOWED


def test_names_are_the_persons_and_everything_lies_in_one_stream() -> None:
    join = JoinTeam(person="bob", team="north", name="Bob")
    assert join.stream_id() == STREAM_ID != join.subject_id()
    assert join.subject_id() == JoinTeam(person="bob", team="south").subject_id()
    assert join.subject_id() != JoinTeam(person="mia", team="north").subject_id()
    assert JoinTeam.personal_fields() == ("name",)
