"""Who may see manager forecasts, and whose."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.event import Actor, Role
from domain.forecast_sight import Stint, forecast_sight
from domain.organisation import ManagerAppointed, Organisation, PersonJoined, TeamCreated
from tests.given import fold

COMPANY: Organisation = fold(
    [
        TeamCreated("all", "All", None, None),
        TeamCreated("north", "North", "all", None),
        TeamCreated("south", "South", "all", None),
        ManagerAppointed("all", None, "dora"),
        ManagerAppointed("north", None, "alice"),
        ManagerAppointed("south", None, "sven"),
        PersonJoined("alice", "north", None, None),
        PersonJoined("bob", "north", None, None),
        PersonJoined("sue", "south", None, None),
    ]
)
DEAL, OTHER = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
EVERYBODY = {"alice", "bob", "sue", None}


def seen_by(actor: str, role: Role, on_behalf_of: str | None = None) -> set[str | None]:
    sight = forecast_sight(Actor(actor, role, "test", on_behalf_of), COMPANY)
    return {owner for owner in EVERYBODY if sight.sees(DEAL, owner, owner, NOW)}


@pytest.mark.parametrize("role", ["rep", "sales_operations", "integration", "system"])
def test_for_some_there_is_no_forecast_by_managers(role: Role) -> None:
    sight = forecast_sight(Actor("alice", role, "test"), COMPANY)
    assert not sight.any
    assert seen_by("alice", role) == set()


def test_a_manager_sees_the_deals_of_the_people_below_but_not_their_own() -> None:
    assert seen_by("alice", "manager") == {"bob"}
    assert seen_by("sven", "manager") == {"sue"}
    assert seen_by("dora", "manager") == {"alice", "bob", "sue"}
    assert seen_by("stranger", "manager") == set()


@pytest.mark.parametrize("role", ["director", "analyst", "auditor", "admin"])
def test_others_see_everybodys_but_their_own(role: Role) -> None:
    assert seen_by("dora", role) == EVERYBODY
    assert seen_by("bob", role) == EVERYBODY - {"bob"}


def test_who_acts_for_somebody_sees_what_both_may_see() -> None:
    assert seen_by("sue", "director", on_behalf_of="bob") == {"alice", None}
    assert seen_by("sven", "manager", on_behalf_of="dora") == {"alice", "bob", "sue"}


def test_a_deal_stays_hidden_from_whoever_owned_it_then_or_owns_it_now() -> None:
    sight = forecast_sight(Actor("bob", "director", "test"), COMPANY)
    assert not sight.sees(DEAL, "bob", "sue", NOW)
    assert not sight.sees(DEAL, "sue", "bob", NOW)
    assert sight.sees(DEAL, "sue", "alice", NOW)


@pytest.mark.parametrize("role", ["manager", "director", "analyst", "auditor", "admin"])
def test_a_deal_is_hidden_from_whoever_works_on_it_now_whatever_time_is_asked_about(role: Role) -> None:
    sight = forecast_sight(Actor("dora", role, "test"), COMPANY, [Stint(DEAL, NOW, None, NOW, None)])
    for at in (NOW - 9 * DAY, NOW, NOW + 9 * DAY):
        assert not sight.sees(DEAL, "bob", "bob", at)
        assert sight.sees(OTHER, "bob", "bob", at)
        assert sight.worked_on(at) == {DEAL}


def test_who_does_not_work_on_a_deal_any_more_sees_it_again_but_not_as_it_was_in_between() -> None:
    stint = Stint(DEAL, NOW, NOW + DAY, NOW + 2 * DAY, NOW + 3 * DAY)
    sight = forecast_sight(Actor("dora", "manager", "test"), COMPANY, [stint])
    days = (-1, 0, 0.5, 1, 2, 2.5, 3)
    seen = [sight.sees(DEAL, "bob", "bob", NOW + n * DAY) for n in days]
    assert seen == [True, False, False, True, True, True, True]
    known = [sight.sees(DEAL, "bob", "bob", NOW + 9 * DAY, NOW + n * DAY) for n in days]
    assert known == [True, True, True, True, False, False, True]
    assert [bool(sight.worked_on(NOW + 9 * DAY, NOW + n * DAY)) for n in days] == [not k for k in known]
