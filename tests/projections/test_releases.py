"""A release beside another one: its version fills its own tables, answers by one switch, and can be taken back."""

import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from threading import Event as Flag
from typing import Any

import msgspec
import psycopg
import pytest

from domain.deal import ReviseAmount
from domain.event import Recorded
from domain.money import MoneyInput
from infra.event_store import read_head
from infra.log_reader import read_window
from infra.mapper import UnknownTopic
from infra.postgres import Server
from infra.readers import Readers, Switched
from infra.snapshot import one_snapshot
from projections.deals import PROJECTION as DEALS
from projections.deals import DealRow, deal
from projections.engine.checkpoints import Retired, ensure
from projections.engine.comparing import Disagreement
from projections.engine.description import Invariant, Out, Projection
from projections.engine.digests import digest, replay
from projections.engine.parking import parked
from projections.engine.preparing import prepare, unfilled, waiting
from projections.engine.rebuilding import Cancelled, NotServing, rebuild
from projections.engine.releasing import NothingToDo, NotReady, roll_back, switch
from projections.engine.retiring import StillServing, retire
from projections.engine.running import run_to_head, step
from projections.engine.status import ProjectionStatus, status
from projections.engine.switches import switches, taken_back
from projections.engine.unparking import unpark
from tests.projections.conftest import Playground
from tests.projections.failing import GOOD, failing_at_the_bad_amount, two_deals
from tests.store.log import Log, ask, done, wait_until
from workers.projector import Projector


class CountedDeal(DealRow, frozen=True):
    """A deal of the next release, which also counts its events."""

    changes: int = 0


def counted(head: Any, e: Recorded, out: Out) -> CountedDeal:
    after = msgspec.structs.asdict(DEALS.fold(head, e, out))
    return CountedDeal(**{**after, "changes": (head.changes if head else 0) + 1})


assert DEALS.head is not None
HEAD = msgspec.structs.replace(DEALS.head, row=CountedDeal)
NEXT = msgspec.structs.replace(
    DEALS,
    version=2,
    fold=counted,
    head=HEAD,
    invariants=(Invariant("deals and their amount", "SELECT count(*), sum(amount) FROM {deals}"),),
)
COUNT = "SELECT sum(changes) FROM projection.deals_v2"


@pytest.fixture
def served(playground: Playground) -> Iterator[Playground]:
    """Two deals, of which the present release answers; more events come in each test."""
    playground.holding(two_deals()[:6])
    run_to_head(playground.app_url, projections=[DEALS])
    yield playground
    playground.without_projections()


def states(playground: Playground) -> list[tuple[int, str, int]]:
    """Version, state and position of what there is."""
    with playground.connected() as conn:
        return [(s.version, s.state, s.position) for s in status(conn)]


def asked(playground: Playground, query: str) -> Any:
    """The one value that somebody gets who asks now."""
    with playground.connected() as conn:
        return conn.execute(query.encode()).fetchall()[0][0]


def test_a_version_is_filled_beside_the_one_that_answers_and_takes_over_by_one_switch(
    served: Playground,
) -> None:
    run_to_head(served.app_url, projections=[NEXT])
    assert states(served) == [(1, "live", 6)], "a projector alone begins nothing beside another release"
    assert prepare(served.app_url, [NEXT], processes=1) == ["deals"]
    assert states(served) == [(1, "live", 6), (2, "ready", 6)]
    with pytest.raises(Switched):
        asked(served, COUNT)

    served.gains(two_deals()[6:])
    run_to_head(served.app_url, projections=[NEXT])
    assert states(served) == [(1, "live", 6), (2, "ready", 10)], "each release projects its own"
    run_to_head(served.app_url, projections=[DEALS])
    (moved,) = switch(served.app_url, [NEXT])
    assert (moved.projection, moved.from_version, moved.to_version, moved.position) == ("deals", 1, 2, 10)
    assert asked(served, COUNT) == 8
    assert states(served) == [(1, "live", 10), (2, "live", 10)]
    assert switch(served.app_url, [NEXT]) == []
    with served.connected() as conn:
        assert digest(conn, NEXT) == replay(two_deals(), [NEXT])["deals"]
        assert deal(conn, GOOD) is not None, "the old release goes on answering"


def test_the_new_version_comes_to_the_position_of_the_old_one_in_the_switch(served: Playground) -> None:
    prepare(served.app_url, [NEXT], processes=1)
    served.gains(two_deals()[6:])
    run_to_head(served.app_url, projections=[DEALS])
    assert states(served) == [(1, "live", 10), (2, "ready", 6)]
    switch(served.app_url, [NEXT])
    assert asked(served, f"SELECT position FROM projection.checkpoints WHERE version = {NEXT.version}") == 10


def test_a_switch_is_taken_back_and_made_again(served: Playground) -> None:
    prepare(served.app_url, [NEXT], processes=1)
    switch(served.app_url, [NEXT])
    (moved,) = roll_back(served.app_url, [NEXT])
    assert (moved.from_version, moved.to_version) == (2, 1)
    assert states(served) == [(1, "live", 6), (2, "ready", 6)]
    with pytest.raises(Switched):
        asked(served, COUNT)
    with served.connected() as conn:
        assert taken_back(conn, [NEXT]) == ["deals"]
        assert deal(conn, GOOD) is not None
    with pytest.raises(NothingToDo):
        roll_back(served.app_url, [DEALS])
    switch(served.app_url, [NEXT])
    with served.connected() as conn:
        assert taken_back(conn, [NEXT]) == []


def test_there_is_no_going_back_to_tables_that_are_not_up_to_date(served: Playground) -> None:
    prepare(served.app_url, [NEXT], processes=1)
    switch(served.app_url, [NEXT])
    served.gains(two_deals()[6:])
    run_to_head(served.app_url, projections=[NEXT])
    with pytest.raises(NotReady, match="not up to date: deals v1 at position 6"):
        roll_back(served.app_url, [NEXT], patience=0.1)
    roll_back(served.app_url, [NEXT], patience=0.1, despite="the new one is wrong")
    assert asked(served, "SELECT reason FROM dealtrace.switches ORDER BY number DESC LIMIT 1") == (
        "the new one is wrong"
    )


def test_after_a_rollback_the_old_release_has_what_was_written_under_the_new_one(served: Playground) -> None:
    prepare(served.app_url, [NEXT], processes=1)
    switch(served.app_url, [NEXT])
    served.gains(two_deals()[6:])
    run_to_head(served.app_url, projections=[NEXT])
    with following(served, DEALS):  # which was down meanwhile
        (moved,) = roll_back(served.app_url, [NEXT], patience=60)
    assert moved.position == 10
    assert held(served, DEALS) == replay(two_deals(), [DEALS])["deals"]
    with served.connected() as conn:
        assert all(found.complete for found in status(conn))


def test_switched_and_taken_back_again_and_again_while_deals_change_neither_release_misses_anything(
    served: Playground,
) -> None:
    prepare(served.app_url, [NEXT], processes=1)
    log = writing(served)
    with following(served, DEALS), following(served, NEXT):
        for _ in range(4):
            before = next(log)
            switch(served.app_url, [NEXT], patience=60)
            assert asked(served, "SELECT min(position) FROM projection.checkpoints WHERE state = 'live'") >= 6
            written_under_the_new_one = next(log)
            (moved,) = roll_back(served.app_url, [NEXT], patience=60)
            assert moved.position >= before
            wait_until(lambda: reached(served, DEALS) >= written_under_the_new_one)  # noqa: B023
        log.close()
        end = asked(served, "SELECT position FROM dealtrace.log_head")
        wait_until(lambda: min(reached(served, DEALS), reached(served, NEXT)) == end)
    with served.connected() as conn:
        whole = read_window(conn, 0, end)
        assert all(found.complete and found.parked_events == 0 for found in status(conn))
        assert [kept.what for kept in switches(conn)] == ["switch", "rollback"] * 4
    assert len(whole) == end > 10
    assert held(served, DEALS) == replay(whole, [DEALS])["deals"]
    switch(served.app_url, [NEXT])
    assert held(served, NEXT) == replay(whole, [NEXT])["deals"]


def test_there_is_no_way_back_to_a_release_that_can_not_read_what_the_new_one_wrote(
    served: Playground,
) -> None:
    """The old program stops at the first event of a kind that it does not know, and does not pass it."""
    prepare(served.app_url, [NEXT], processes=1)
    switch(served.app_url, [NEXT])
    served.gains(two_deals()[6:8])
    with psycopg.connect(served.owner_url, autocommit=True) as conn:
        conn.execute("UPDATE dealtrace.events SET topic = 'deal.blessed' WHERE notification_id = 8")
        conn.execute(
            "UPDATE projection.checkpoints SET position = 8, applied = 8 - ignored WHERE version = 2"
        )
    with pytest.raises(UnknownTopic, match=r"deal\.blessed"):
        run_to_head(served.app_url, projections=[DEALS])
    with pytest.raises(NotReady, match=r"not up to date: deals v1 at position [67]\."):
        roll_back(served.app_url, [NEXT], patience=0.1)
    assert asked(served, "SELECT count(*) FROM dealtrace.switches WHERE what = 'rollback'") == 0


@contextmanager
def following(playground: Playground, release: Projection) -> Iterator[None]:
    """The projector of a release runs during the block."""
    stop = Flag()
    projector = threading.Thread(
        target=Projector(playground.app_url, projections=[release], batch_events=3).run, args=[stop]
    )
    projector.start()
    try:
        yield
    finally:
        stop.set()
        projector.join(60)
    assert not projector.is_alive()


def writing(playground: Playground) -> Generator[int, None, None]:
    """Somebody opens deals and changes them until this is closed; each `next` is a position that was reached since."""
    stop, at = Flag(), [0]

    def write() -> None:
        log = Log(Server(playground.owner_url, playground.app_url, "", embedded=False))
        executor = log.start()
        while not stop.is_set():
            deal = log.open_deal(executor)
            (answer,) = executor.execute(
                [ask(ReviseAmount(deal_id=deal, amount=MoneyInput(amount=Decimal(7), currency="EUR")))]
            )
            at[0] = done(answer).position
        log.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = 0
        while True:
            wait_until(lambda: at[0] > seen + 4)  # noqa: B023
            seen = at[0]
            yield seen
    finally:
        stop.set()
        writer.join(60)


def reached(playground: Playground, release: Projection) -> int:
    """The position of a release's version."""
    return int(
        asked(playground, f"SELECT position FROM projection.checkpoints WHERE version = {release.version}")
    )


def held(playground: Playground, release: Projection) -> str:
    """The digest of what a release answers from."""
    with playground.connected() as conn:
        return digest(conn, release)


def test_a_figure_that_changed_refuses_the_switch_unless_there_is_a_reason(served: Playground) -> None:
    def loses_amounts(head: Any, e: Recorded, out: Out) -> Any:
        return msgspec.structs.replace(counted(head, e, out), amount=None, currency=None)

    wrong = msgspec.structs.replace(NEXT, fold=loses_amounts)
    prepare(served.app_url, [wrong], processes=1)
    with pytest.raises(Disagreement) as refused:
        switch(served.app_url, [wrong])
    assert refused.value.findings == (
        "deals v2: 'deals and their amount' is 2, None, and 2, 10 in v1 at the same position 6.",
    )
    assert states(served) == [(1, "live", 6), (2, "ready", 6)]
    switch(served.app_url, [wrong], despite="amounts are kept elsewhere now")
    with served.connected() as conn:
        (kept,) = switches(conn)
    assert (kept.what, kept.from_version, kept.to_version, kept.position) == ("switch", 1, 2, 6)
    assert (kept.reason, kept.findings) == ("amounts are kept elsewhere now", list(refused.value.findings))


def test_a_figure_of_the_version_before_may_be_spelled_otherwise(served: Playground) -> None:
    renamed = msgspec.structs.replace(
        NEXT,
        invariants=(
            Invariant("events", "SELECT sum(changes) FROM {deals}", "SELECT sum(version) FROM {deals}"),
        ),
    )
    prepare(served.app_url, [renamed], processes=1)
    assert [m.to_version for m in switch(served.app_url, [renamed])] == [2]


def test_a_version_that_lets_more_wait_than_the_one_before_does_not_answer(served: Playground) -> None:
    broken = msgspec.structs.replace(failing_at_the_bad_amount(NEXT), invariants=())
    prepare(served.app_url, [broken], processes=1)
    with pytest.raises(Disagreement, match="deals v2 lets 1 events wait because their fold fails, v1 0"):
        switch(served.app_url, [broken])
    with served.connected() as conn:
        assert [(k.projection, k.events) for k in parked(conn, [broken])] == [("deals", 1)]
        assert unpark(conn, NEXT) == 1, "with the fold mended"
    assert [m.to_version for m in switch(served.app_url, [NEXT])] == [2]


def test_what_nobody_brings_up_can_not_be_compared(served: Playground) -> None:
    prepare(served.app_url, [NEXT], processes=1)
    served.gains(two_deals()[6:])
    run_to_head(served.app_url, projections=[NEXT])
    with pytest.raises(Disagreement, match="v1 stands at position 6 and nobody brings it up"):
        switch(served.app_url, [NEXT], patience=0.1)


def test_filling_is_stopped_seen_and_goes_on(served: Playground) -> None:
    served.gains(two_deals()[6:])
    stop, seen = Flag(), list[int]()

    def percent() -> float:
        with served.connected() as conn:
            return max((s.percent for s in status(conn) if s.version == 2), default=0.0)

    def cancel() -> None:
        wait_until(lambda: percent() > 0)
        stop.set()

    operator = threading.Thread(target=cancel)
    operator.start()
    with pytest.raises(Cancelled):  # resting ten times as long as it works, it is not done before
        prepare(served.app_url, [NEXT], processes=1, range_events=2, throttle=10.0, stop=stop)
    operator.join()
    with served.connected() as conn:
        (building,) = [s for s in status(conn) if s.version == 2]
        assert building.state == "building"
        assert 0 < building.percent < 100
        assert waiting(conn, [NEXT]) == {
            "deals": f"deals v2 is filled to {building.percent:g} %: dealtrace projections prepare goes on."
        }
    with pytest.raises(NotReady, match="deals v2 is not filled yet"):
        switch(served.app_url, [NEXT])
    seen.clear()
    prepare(served.app_url, [NEXT], processes=1, progress=lambda done, _: seen.append(done))
    assert seen[0] > 0, "what was done is not done again"
    with served.connected() as conn:
        assert waiting(conn, [NEXT]) == {
            "deals": "deals v2 is filled and waits for dealtrace projections switch."
        }


@pytest.mark.parametrize("failpoint", ["rebuild.before_commit=kill@2", "rebuild.after_commit=kill@1"])
def test_killed_while_filling_it_goes_on(served: Playground, failpoint: str) -> None:
    work = (
        "import sys; from projections.engine.preparing import prepare;"
        "from tests.projections.test_releases import NEXT;"
        "prepare(sys.stdin.read(), [NEXT], processes=1, range_events=2)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", work],
        input=served.app_url,
        text=True,
        env={**os.environ, "DEALTRACE_FAILPOINTS": failpoint},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert killed.returncode == -9
    served.gains(two_deals()[6:])
    run_to_head(served.app_url, projections=[DEALS])
    prepare(served.app_url, [NEXT], processes=1)
    switch(served.app_url, [NEXT])
    with served.connected() as conn:
        assert digest(conn, NEXT) == replay(two_deals(), [NEXT])["deals"]


def test_a_rebuild_of_one_release_leaves_what_another_one_fills(served: Playground) -> None:
    stop = Flag()
    with pytest.raises(Cancelled):
        prepare(
            served.app_url, [NEXT], processes=1, range_events=2, stop=stop, progress=lambda *_: stop.set()
        )
    rebuild(served.app_url, projections=[DEALS], processes=1)
    seen: list[int] = []
    prepare(served.app_url, [NEXT], processes=1, progress=lambda done, _: seen.append(done))
    assert (1, "live", 6) in states(served)
    with pytest.raises(NotServing):
        rebuild(served.app_url, projections=[NEXT], processes=1)


def test_the_old_tables_go_when_nobody_uses_them_and_not_before(served: Playground) -> None:
    prepare(served.app_url, [NEXT], processes=1)
    with pytest.raises(StillServing, match="does not answer with deals v2 yet"):
        retire(served.app_url, [NEXT])
    switch(served.app_url, [NEXT])
    with pytest.raises(StillServing, match=r"last switch was to another release, with deals v2"):
        retire(served.app_url, [DEALS], running_too=True)
    with pytest.raises(StillServing, match=r"still follows the log.*deals v1"):
        retire(served.app_url, [NEXT])
    (gone,) = retire(served.app_url, [NEXT], running_too=True)
    assert (gone.projection, gone.version) == ("deals", 1)
    assert states(served) == [(2, "live", 6)]
    left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'deals\\_v1%'"
    assert asked(served, left) == 0
    assert retire(served.app_url, [NEXT]) == []

    with pytest.raises(Retired, match="deals v1 were dropped"):
        run_to_head(served.app_url, projections=[DEALS])
    prepare(served.app_url, [DEALS], processes=1)
    switch(served.app_url, [DEALS])
    with served.connected() as conn:
        assert digest(conn, DEALS) == replay(two_deals()[:6], [DEALS])["deals"]


@pytest.mark.parametrize("whole", [True, False], ids=["filled", "half filled"])
def test_a_release_that_is_given_up_leaves_nothing(served: Playground, whole: bool) -> None:
    stop = Flag()
    try:
        prepare(
            served.app_url, [NEXT], processes=1, range_events=2, stop=stop,
            progress=lambda *_: None if whole else stop.set(),
        )  # fmt: skip
    except Cancelled:
        assert not whole
    assert [gone.version for gone in retire(served.app_url, [DEALS], running_too=True)] == [2]
    assert states(served) == [(1, "live", 6)]
    assert asked(served, "SELECT count(*) FROM pg_class WHERE relname LIKE 'deals\\_v2%'") == 0
    assert asked(served, "SELECT count(*) FROM projection.rebuilds") == 0
    assert prepare(served.app_url, [NEXT], processes=1) == ["deals"]


def test_a_projection_that_answers_is_not_kept_waiting_by_one_that_is_new(served: Playground) -> None:
    other = msgspec.structs.replace(
        NEXT, name="counted_deals", version=1, invariants=(),
        head=msgspec.structs.replace(HEAD, name="counted_deals"),
    )  # fmt: skip
    with served.connected() as conn:
        ensure(conn, [other])
    served.gains(two_deals()[6:])
    with served.connected() as conn:
        step(conn, [DEALS, other], read_head(conn), 10, batch_events=4)
        found: dict[str, ProjectionStatus] = {s.projection: s for s in status(conn)}
    assert (found["deals"].position, found["counted_deals"].position) == (10, 4)


@pytest.mark.parametrize("switches", [True, False])
def test_a_projector_fills_what_its_release_brings(served: Playground, switches: bool) -> None:
    stop = Flag()
    projector = Projector(served.app_url, projections=[NEXT], switches=switches)
    thread = threading.Thread(target=projector.run, args=[stop])
    thread.start()
    wait_until(lambda: (2, "live" if switches else "ready", 6) in states(served))
    served.gains(two_deals()[6:])
    wait_until(lambda: (2, "live" if switches else "ready", 10) in states(served))
    stop.set()
    thread.join(60)
    if switches:
        run_to_head(served.app_url, projections=[DEALS])
        roll_back(served.app_url, [NEXT])
        with served.connected() as conn:
            assert taken_back(conn, [NEXT]) == ["deals"]
            assert unfilled(conn, [NEXT]) == []


def test_a_snapshot_from_before_a_switch_is_never_answered_from_the_tables_after_it(
    served: Playground,
) -> None:
    with one_snapshot(served.app_url, "test") as before:
        before.execute("SELECT 1")
        rebuild(served.app_url, projections=[DEALS], processes=1)
        with pytest.raises(Switched):
            before.execute("SELECT count(*) FROM projection.deals_v1")


@pytest.mark.anyio
async def test_a_query_that_a_switch_overtakes_is_answered_all_the_same(served: Playground) -> None:
    times: list[int] = []

    def query(conn: psycopg.Connection[Any]) -> int:
        conn.execute("SELECT 1")  # takes the snapshot
        times.append(1)
        if len(times) == 1:
            rebuild(served.app_url, projections=[DEALS], processes=1)
        return int(conn.execute("SELECT count(*) FROM projection.deals_v1").fetchall()[0][0])

    with closing(Readers(served.app_url)) as readers:
        assert await readers.run(query) == 2
    assert len(times) == 2


def test_a_switch_waits_for_a_long_reading_and_lets_others_read_meanwhile(served: Playground) -> None:
    with psycopg.connect(served.app_url) as long:
        long.execute("SELECT count(*) FROM projection.deals_v1")
        rebuilding = threading.Thread(
            target=rebuild, args=[served.app_url], kwargs={"projections": [DEALS], "processes": 1}
        )
        rebuilding.start()
        wait_until(lambda: len(states(served)) == 2)
        for _ in range(20):
            assert asked(served, "SELECT count(*) FROM projection.deals_v1") == 2
        assert rebuilding.is_alive()
        long.rollback()
        rebuilding.join(60)
    assert asked(served, "SELECT max(generation) FROM projection.checkpoints") == 2


def test_a_rebuild_that_compares_does_not_switch_to_other_rows(served: Playground, database: Server) -> None:
    rebuild(served.app_url, projections=[DEALS], processes=1, compare=True)
    with psycopg.connect(database.app_url, autocommit=True) as conn:
        conn.execute("UPDATE projection.deals_v1_g2 SET stage = 'somewhere' WHERE deal_id = %s", [GOOD])
    with pytest.raises(Disagreement, match="holds other rows than its live tables at position 6"):
        rebuild(served.app_url, projections=[DEALS], processes=1, compare=True)
    rebuild(served.app_url, projections=[DEALS], processes=1)
    with served.connected() as conn:
        assert digest(conn, DEALS) == replay(two_deals()[:6], [DEALS])["deals"]


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the test that is a coroutine."""
    return "asyncio"
