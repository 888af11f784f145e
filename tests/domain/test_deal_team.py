"""The deal team: who works on a deal, and that nobody of it forecasts the deal."""

import pytest

from domain.deal import (
    DealLost,
    DealOpened,
    DealTeamJoined,
    DealTeamLeft,
    DealVoided,
    JoinDealTeam,
    LeaveDealTeam,
)
from domain.errors import DealClosed, DealGone, NotAllowed, UnknownDeal
from tests.domain.test_manager_forecast import COMPANY, EACH, OPENED, ORGANISATION, SET, on
from tests.given import DEAL, given

DEAL_OPENED = DealOpened("tas_plus", "verification")
ERIK = DealTeamJoined("erik", "engineering")
JOIN = JoinDealTeam(deal_id=DEAL, person="erik", department="engineering")
LEAVE = LeaveDealTeam(deal_id=DEAL, person="erik", reason="back to the plant")


def test_a_person_joins_from_a_department_and_leaves_again() -> None:
    assert given(DEAL_OPENED).when(JOIN).then(ERIK).team == {"erik": "engineering"}
    assert given(DEAL_OPENED, ERIK).when(LEAVE).then(DealTeamLeft("erik", "back to the plant")).team == {}


def test_joining_twice_and_leaving_twice_change_nothing() -> None:
    given(DEAL_OPENED, ERIK).when(JOIN).then()
    given(DEAL_OPENED).when(LEAVE).then()


def test_somebody_may_come_to_work_for_another_department() -> None:
    elsewhere = JoinDealTeam(deal_id=DEAL, person="erik", department="legal")
    assert given(DEAL_OPENED, ERIK).when(elsewhere).then(DealTeamJoined("erik", "legal")).team == {
        "erik": "legal"
    }


def test_nobody_joins_a_closed_deal_but_they_may_leave_it() -> None:
    closed = (DEAL_OPENED, ERIK, DealLost("verification", "price"))
    given(*closed).when(JoinDealTeam(deal_id=DEAL, person="lena")).refused(DealClosed, field="deal_id")
    given(*closed).when(LEAVE).then(DealTeamLeft("erik", "back to the plant"))


@pytest.mark.parametrize("command", [JOIN, LEAVE])
def test_a_deal_that_is_not_there_or_gone_has_no_team(command: JoinDealTeam | LeaveDealTeam) -> None:
    given().when(command).refused(UnknownDeal, field="deal_id")
    given(DEAL_OPENED, ERIK, DealVoided("a test")).when(command).refused(DealGone, field="deal_id")


@EACH
@pytest.mark.parametrize("role", ["manager", "director", "admin"])
def test_a_manager_who_works_on_the_deal_has_it_forecast_one_level_up(role: str, command: object) -> None:
    works = DealTeamJoined("alice", "sales")
    on(OPENED, works, before=(SET,)).by("alice", role).when(command).refused(
        NotAllowed, field=None, accepted="one level up"
    )
    on(OPENED, works, before=(SET,)).by("eve", role, on_behalf_of="alice").when(command).refused(
        NotAllowed, field=None
    )
    assert on(OPENED, works, before=(SET,)).by("dora", "manager").when(command)._decide()
    left = (OPENED, works, DealTeamLeft("alice", None))
    assert on(*left, before=(SET,)).by("alice", role).when(command)._decide()


def test_a_rep_may_not_put_the_owners_manager_on_the_team_where_the_forecast_is_hidden() -> None:
    blinding = JoinDealTeam(deal_id=DEAL, person="alice")
    company = given(OPENED).beside(ORGANISATION, *COMPANY)
    company.by("bob", "rep").when(blinding).refused(NotAllowed, field="person", accepted="a manager")
    company.by("dora", "manager").when(blinding).then(DealTeamJoined("alice", None))
