"""The organisation and the rate sets at (T, K) equal folding the events that both clocks select."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import organisation as company
from domain.event import Recorded, TextRef
from domain.organisation import (
    STREAM_ID,
    ManagerAppointed,
    PersonJoined,
    PersonLeft,
    PersonRenamed,
    TeamCreated,
    TeamRevised,
)
from domain.playbook import STREAM_ID as PLAYBOOK
from domain.playbook import RateSetAdopted, StageRate
from domain.registry import evolve
from projections.engine.running import run_to_head
from projections.organisation import ManagerView, members, organisation, organisation_at
from projections.rate_sets import rate_set_in_force
from tests.projections.conftest import Playground
from tests.projections.written_log import Fact, playbook, recorded, stage
from tests.strategies import START, histories, moments_of

few = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
DAY = timedelta(days=1)


@few
@given(log=histories(min_steps=20), data=st.data())
def test_the_organisation_is_filter_then_fold(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    for _ in range(8):
        as_of, known_at = data.draw(moments_of(log)), data.draw(st.none() | moments_of(log))
        org: Any = company.EMPTY
        for e in log:
            chosen = e.meta.occurred_at <= as_of and (known_at is None or e.known_at <= known_at)
            if e.stream_id == STREAM_ID and chosen:
                org = evolve(org, e.event)
        with playground.connected() as conn:
            assert organisation_at(conn, as_of, known_at) == org


def moved(*events: Any) -> list[Fact]:
    """One event a day, each known ten days later."""
    return [Fact(STREAM_ID, e, START + n * DAY, START + (n + 10) * DAY) for n, e in enumerate(events)]


def test_people_teams_and_managers_change_over_time(playground: Playground) -> None:
    name = TextRef(UUID(int=1), "0")
    facts = moved(
        TeamCreated("all", "All", None, None),
        TeamCreated("north", "North", None, "N"),
        ManagerAppointed("all", None, "dora"),
        PersonJoined("bob", "north", None, name),
        TeamRevised("north", "Far north", "all", "N"),
        PersonRenamed("bob", TextRef(UUID(int=2), "1")),
        PersonLeft("bob", "north", None),
        PersonRenamed("bob", name),
    )
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        apart, below, gone = (organisation_at(conn, START + day * DAY) for day in (3, 5, 7))
        assert not members(apart, "all")
        assert not apart.managers_above("bob")
        assert members(below, "all") == frozenset({"bob"})
        assert "dora" in below.managers_above("bob")
        assert not gone.team_of
        assert organisation_at(conn, START + 5 * DAY, START + 12 * DAY).team_of == {}
        view = organisation(conn, as_of=START + 5 * DAY)
    assert [(t.team, t.label, t.parent, t.people, t.people_with_sub_teams) for t in view.teams] == [
        ("all", "All", None, [], 1),
        ("north", "Far north", "all", ["bob"], 1),
    ]


def test_a_manager_of_more_than_eight_is_told_to_have_too_many(playground: Playground) -> None:
    joins = [PersonJoined(f"rep-{n}", "all", None, None) for n in range(9)]
    led = (TeamCreated("all", "All", None, None), ManagerAppointed("all", None, "dora"))
    facts = moved(*led, PersonJoined("dora", "all", None, None), *joins)
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        views = [organisation(conn, as_of=START + day * DAY).managers for day in (0, 2, 10, 11)]
    assert views[0] == []
    assert [view for (view,) in views[1:]] == [
        ManagerView("dora", 0, too_wide=False),
        ManagerView("dora", 8, too_wide=False),
        ManagerView("dora", 9, too_wide=True),
    ]


def adopted(number: int, effective_from: datetime) -> RateSetAdopted:
    rates = (StageRate("lead", None, Decimal(number) / 10),)
    return RateSetAdopted(UUID(int=number), "sales", number, effective_from, rates, None, "-")


def test_the_rate_set_in_force_is_the_latest_effective_one_that_was_known(playground: Playground) -> None:
    facts = playbook("sales", [stage("lead")])
    for number, (known, effective) in enumerate([(0, 0), (1, 20), (5, 10), (6, 20)], 1):
        at = START + known * DAY
        facts.append(Fact(PLAYBOOK, adopted(number, START + effective * DAY), at, at))
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)
    with playground.connected() as conn:

        def in_force(as_of: int, known_at: int | None = None) -> int | None:
            known = None if known_at is None else START + known_at * DAY
            found = rate_set_in_force(conn, "sales", START + as_of * DAY, known)
            return found.number if found else None

        assert [in_force(day) for day in (-1, 0, 9, 10, 19, 20)] == [None, 1, 1, 3, 3, 4]
        assert [in_force(30, known) for known in (-1, 0, 1, 4, 5, 6)] == [None, 1, 2, 2, 2, 4]
        assert in_force(12, 4) == 1
        assert rate_set_in_force(conn, "other", START) is None
