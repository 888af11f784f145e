"""What every projection owes, whichever the engine finds: one fold, the same rows however they came to be."""

from threading import Event as Flag
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.event import Recorded
from projections.engine.applying import Batch, apply_batch
from projections.engine.checkpoints import checkpoints, ensure
from projections.engine.description import Out, Projection, Table, topics_of
from projections.engine.digests import digest, replay
from projections.engine.rebuilding import Cancelled, rebuild
from projections.engine.running import run_to_head
from projections.engine.status import status
from tests.projections import loan_history
from tests.projections.conftest import Playground
from tests.projections.written_log import recorded
from tests.strategies import histories

few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def assert_live_is(playground: Playground, projection: Projection, expected: str, position: int) -> None:
    """The live tables hold what the replay gave, and no event was skipped."""
    with playground.connected() as conn:
        assert digest(conn, projection) == expected
        (now,) = status(conn, [projection])
        assert (now.state, now.position, now.lag, now.complete) == ("live", position, 0, True)
        assert now.applied + now.ignored + now.parked_events == position


@few
@given(log=histories(), batch=st.sampled_from([1, 7, 1000]))
def test_any_batch_size_gives_what_a_replay_gives(
    playground: Playground, projection: Projection, log: list[Recorded], batch: int
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url, projections=[projection], batch_events=batch)
    assert_live_is(playground, projection, replay(log, [projection])[projection.name], len(log))


@few
@given(log=histories(), stop=st.integers(0, 50), sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_restart_and_a_second_delivery_change_nothing(
    playground: Playground, projection: Projection, log: list[Recorded], stop: int, sizes: tuple[int, int]
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url, projections=[projection], until=stop, batch_events=sizes[0])
    with playground.connected() as conn:
        ensure(conn, [projection])
        (at,) = checkpoints(conn, [projection], "live")
        again = [*log[: at.position], *log]  # what was applied comes twice more
        apply_batch(conn, projection, at, Batch(0, len(log), again))
    run_to_head(playground.app_url, projections=[projection], batch_events=sizes[1])
    assert_live_is(playground, projection, replay(log, [projection])[projection.name], len(log))


@few
@given(log=histories(), batch=st.sampled_from([3, 1000]))
def test_three_slices_hold_together_what_one_holds(
    playground: Playground, projection: Projection, log: list[Recorded], batch: int
) -> None:
    playground.holding(log)
    with playground.connected() as conn:
        ensure(conn, [projection], slices=3)
    run_to_head(playground.app_url, projections=[projection], batch_events=batch)
    expected = replay(log, [projection])[projection.name]
    assert_live_is(playground, projection, expected, len(log))
    rebuild(playground.app_url, projections=[projection], processes=1)
    assert_live_is(playground, projection, expected, len(log))


@few
@given(log=histories(), ranges=st.sampled_from([1, 10, 10_000]), applied=st.integers(0, 50))
def test_a_rebuild_gives_what_was_live(
    playground: Playground, projection: Projection, log: list[Recorded], ranges: int, applied: int
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url, projections=[projection], until=applied)
    rebuild(playground.app_url, projections=[projection], processes=1, range_events=ranges)
    run_to_head(playground.app_url, projections=[projection])
    assert_live_is(playground, projection, replay(log, [projection])[projection.name], len(log))


@few
@given(log=histories(), more=histories())
def test_a_rebuilt_projection_goes_on_like_any_other(
    playground: Playground, projection: Projection, log: list[Recorded], more: list[Recorded]
) -> None:
    whole = log if len(log) > len(more) else more
    first, rest = whole[: len(whole) // 2], whole[len(whole) // 2 :]
    playground.holding(first)
    rebuild(playground.app_url, projections=[projection], processes=1)
    playground.gains(rest)
    run_to_head(playground.app_url, projections=[projection], batch_events=7)
    assert_live_is(playground, projection, replay(whole, [projection])[projection.name], len(whole))


@pytest.mark.skipif(not loan_history.HISTORY.exists(), reason="the real history is not beside this project")
def test_all_projections_of_the_real_history_are_the_same_live_rebuilt_and_replayed(
    playground: Playground, projection: Projection
) -> None:
    log = recorded(loan_history.facts(activities=True))[:12_000]
    expected = replay(log, [projection])[projection.name]
    playground.holding(log)
    run_to_head(playground.app_url, projections=[projection])
    assert_live_is(playground, projection, expected, len(log))
    for processes, ranges in ((1, 5_000), (2, 700)):
        rebuild(playground.app_url, projections=[projection], processes=processes, range_events=ranges)
        assert_live_is(playground, projection, expected, len(log))


@settings(few, max_examples=3)
@given(log=histories().filter(lambda log: len({e.stream_id for e in log}) > 3))
def test_a_stopped_rebuild_goes_on_where_it_was(
    playground: Playground, projection: Projection, log: list[Recorded]
) -> None:
    playground.holding(log)
    stop, seen = Flag(), []

    def after_the_first_range(done: int, _: int) -> None:
        seen.append(done)
        if done:
            stop.set()

    with pytest.raises(Cancelled):
        rebuild(
            playground.app_url, projections=[projection], processes=1, range_events=1,
            progress=after_the_first_range, stop=stop,
        )  # fmt: skip
    seen.clear()
    rebuild(
        playground.app_url, projections=[projection], processes=1, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] > 0
    assert_live_is(playground, projection, replay(log, [projection])[projection.name], len(log))


class DealTopics(msgspec.Struct, frozen=True):
    """What happened to a deal and its forecast, in the order of the log."""

    deal_id: UUID
    topics: list[str]


def follow_both(head: DealTopics | None, e: Recorded, _: Out) -> DealTopics:
    return DealTopics(e.meta.partition_key, [*(head.topics if head else []), e.topic])


BOTH = Projection(
    name="both",
    version=1,
    topics=topics_of("deal") | topics_of("forecast"),
    fold=follow_both,
    head=Table("both", DealTopics, key=("deal_id",)),
)


@few
@given(log=histories(), batch=st.sampled_from([1, 7, 1000]), ranges=st.sampled_from([1, 10, 10_000]))
def test_a_fold_sees_all_streams_of_its_key_in_the_order_of_the_log(
    playground: Playground, log: list[Recorded], batch: int, ranges: int
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url, projections=[BOTH], batch_events=batch)
    expected: dict[UUID, list[str]] = {}
    for e in log:
        if e.topic in BOTH.topics:
            expected.setdefault(e.meta.partition_key, []).append(e.topic)
    for _ in range(2):
        with playground.connected() as conn:
            assert dict(conn.execute("SELECT deal_id, topics FROM projection.both_v1").fetchall()) == expected
        assert_live_is(playground, BOTH, replay(log, [BOTH])["both"], len(log))
        rebuild(playground.app_url, projections=[BOTH], processes=1, range_events=ranges)
