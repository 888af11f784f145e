"""Lists for people: deals filtered, sorted, searched and paged; the timeline; the playbook of any moment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID, uuid5

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.deal import DealOpened, External
from domain.errors import UnknownFunnel
from domain.event import Recorded, TextRef
from domain.playbook import STREAM_ID, CalendarSet, FunnelRetired, FunnelRevised, Names
from projections.deals import DealFilter, DealView, SortKey, deal, deals
from projections.engine.running import run_to_head
from projections.playbook import funnel_at, funnels_at, settings_at, stages_at
from projections.timeline import TimelineEntry, timeline
from tests.projections.conftest import Playground
from tests.projections.written_log import SPACE, Fact, playbook, recorded, stage
from tests.strategies import histories

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def pages(page: Callable[[Any], list[Any]], cursor: Callable[[Any], Any]) -> list[Any]:
    """Every page, one after the other."""
    found: list[Any] = []
    while more := page(cursor(found[-1]) if found else None):
        found.extend(more)
    return found


@few
@given(log=histories(), descending=st.booleans(), sort=st.sampled_from(get_args(SortKey)))
def test_pages_of_deals_hold_each_deal_once_in_order(
    playground: Playground, log: list[Recorded], descending: bool, sort: SortKey
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    everything = DealFilter(status=("open", "won", "lost", "abandoned", "voided", "merged"))
    with playground.connected() as conn:
        found: list[DealView] = pages(
            lambda after: deals(conn, everything, sort=sort, descending=descending, after=after, limit=2),
            lambda last: (getattr(last, sort), last.deal_id),
        )
        ordinary = deals(conn, limit=1000)
    assert sorted(d.deal_id for d in found) == sorted({e.stream_id for e in log if e.topic == "deal.opened"})
    values = [getattr(d, sort) for d in found]
    known = [v for v in values if v is not None]
    assert known == sorted(known, reverse=descending)
    assert values == known + [None] * (len(values) - len(known))
    assert {d.deal_id for d in ordinary} == {d.deal_id for d in found if d.status not in ("voided", "merged")}


@few
@given(log=histories(), newest_first=st.booleans())
def test_pages_of_a_timeline_hold_each_event_once_in_order(
    playground: Playground, log: list[Recorded], newest_first: bool
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        for deal_id in {e.stream_id for e in log if e.topic == "deal.opened"}:
            own = [e for e in log if e.stream_id == deal_id]
            for order, key in (
                ("recorded", lambda e: e.version),
                ("occurred", lambda e: (e.meta.occurred_at, e.version)),
            ):
                found: list[TimelineEntry] = pages(
                    lambda after, d=deal_id, o=order: timeline(
                        conn, d, order=o, newest_first=newest_first, after=after, limit=3
                    ),
                    lambda last: (last.occurred_at, last.version),
                )
                expected = sorted(own, key=key, reverse=newest_first)
                assert [t.event_id for t in found] == [e.meta.event_id for e in expected]
                assert [t.known_at for t in found] == [e.known_at for e in expected]
                assert [
                    msgspec.json.decode(t.data, type=type(e.event))
                    for t, e in zip(found, expected, strict=True)
                ] == [e.event for e in expected]


@pytest.fixture
def named_deals(playground: Playground) -> Playground:
    facts = playbook("sales", [stage("lead")])
    rows = []
    for number, (name, external, owner) in enumerate(
        [("Brücke 100%", "A_1", "ann"), ("Tower", "AB1", "ann"), ("bridge", None, "bob")]
    ):
        text = uuid5(SPACE, name)
        opened = DealOpened(
            "sales", "lead", TextRef(text, "0"), owner=owner, external=External("crm", external) if external else None
        )  # fmt: skip
        at = NOON + timedelta(days=number)
        facts.append(Fact(uuid5(SPACE, str(number)), opened, at, at))
        rows.append((text, UUID(int=number), name))
    playground.holding(recorded(facts))
    with psycopg.connect(playground.owner_url) as conn:
        conn.execute("DELETE FROM dealtrace.vault")
        conn.cursor().executemany(
            "INSERT INTO dealtrace.vault (id, subject_id, salt, text) VALUES (%s, %s, '', %s)", rows
        )
    run_to_head(playground.app_url)
    return playground


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (DealFilter(search="brück"), ["Brücke 100%"]),
        (DealFilter(search="0%"), ["Brücke 100%"]),
        (DealFilter(search="A_"), ["Brücke 100%"]),
        (DealFilter(search="AB"), ["Tower"]),
        (DealFilter(search="'; DROP TABLE dealtrace.events; --"), []),
        (DealFilter(external_id="AB1"), ["Tower"]),
        (DealFilter(owner="ann"), ["Brücke 100%", "Tower"]),
        (DealFilter(owner="ann", search="tow"), ["Tower"]),
        (DealFilter(opened_from=NOON, opened_to=NOON + timedelta(days=1)), ["Brücke 100%"]),
        (DealFilter(opened_from=NOON + timedelta(days=1)), ["Tower", "bridge"]),
        (DealFilter(amount_from=Decimal(0)), []),
        (DealFilter(status=("won",)), []),
        (DealFilter(funnel="sales", stage="lead", status=("open",)), ["Brücke 100%", "Tower", "bridge"]),
    ],
)
def test_a_filter_finds_what_it_names(named_deals: Playground, where: DealFilter, names: list[str]) -> None:
    with named_deals.connected() as conn:
        assert [d.name for d in deals(conn, where, descending=False)] == names


def test_an_erased_name_leaves_the_deal(named_deals: Playground) -> None:
    with psycopg.connect(named_deals.owner_url) as conn:
        conn.execute("DELETE FROM dealtrace.vault WHERE text = 'Tower'")
    with named_deals.connected() as conn:
        found = deal(conn, uuid5(SPACE, "1"))
    assert found is not None
    assert (found.name, found.external_id) == (None, "AB1")


def test_a_funnel_is_what_it_was_defined_as_then(playground: Playground) -> None:
    later = NOON + timedelta(days=10)
    facts = [
        *playbook("sales", [stage("lead")], NOON),
        Fact(
            STREAM_ID,
            FunnelRevised("sales", Names("Sales"), True, (stage("lead"), stage("offer"))),
            later,
            later,
        ),
        Fact(STREAM_ID, FunnelRetired("sales", "done"), later, later + timedelta(days=1)),
        Fact(STREAM_ID, CalendarSet("Asia/Shanghai", 4), later, later),
    ]
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)

    with playground.connected() as conn:

        def stages_when(as_of: datetime | None, known_at: datetime | None = None) -> tuple[list[str], bool]:
            funnel = funnel_at(conn, "sales", as_of, known_at)
            assert funnel is not None
            return [s.key for s in funnel.stages], funnel.active

        assert stages_when(NOON) == (["lead"], True)
        assert stages_when(NOON - timedelta(days=4000)) == (["lead"], True)
        assert stages_when(later, later) == (["lead", "offer"], True)
        assert stages_when(later, later - timedelta(days=1)) == (["lead"], True)
        assert stages_when(None) == (["lead", "offer"], False)
        assert [f.key for f in funnels_at(conn)] == ["sales"]
        assert funnel_at(conn, "nothing") is None
        with pytest.raises(UnknownFunnel):
            stages_at(conn, "nothing")
        now, then = settings_at(conn), settings_at(conn, NOON)
    assert now is not None
    assert then is not None
    assert (now.currency, now.time_zone, now.fiscal_year_start) == ("EUR", "Asia/Shanghai", 4)
    assert (then.currency, then.time_zone) == ("EUR", "UTC")
