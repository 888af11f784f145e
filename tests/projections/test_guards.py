"""What stops the engine, what parks, and what goes on all the same."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest

from domain.deal import AmountRevised
from domain.event import Recorded
from infra.event_store import read_head
from infra.log_reader import BrokenLog
from infra.mapper import UnknownTopic
from projections.deals import PROJECTION as DEALS
from projections.deals import deal
from projections.engine.applying import Batch, apply_batch
from projections.engine.catalogue import catalogue
from projections.engine.checkpoints import ForeignLog, Moved, checkpoints, ensure
from projections.engine.description import Out, Projection
from projections.engine.digests import digest, replay
from projections.engine.folding import Gap
from projections.engine.partitions import slice_of
from projections.engine.rebuilding import rebuild
from projections.engine.running import run_to_head, step
from projections.engine.status import status, wait_for
from projections.engine.unparking import unpark
from projections.timeline import PROJECTION as TIMELINE
from tests.projections.conftest import Playground
from tests.projections.failing import BAD, GOOD, failing_at_the_bad_amount, two_deals


@pytest.mark.parametrize("rebuilt", [False, True], ids=["live", "rebuilt"])
@pytest.mark.parametrize("projection", [DEALS, TIMELINE], ids=lambda p: p.name)
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_fold_that_raises_parks_its_key_and_nothing_else(
    playground: Playground, projection: Projection, batch: int, rebuilt: bool
) -> None:
    log, broken = two_deals(), failing_at_the_bad_amount(projection)
    playground.holding(log)
    if rebuilt:
        rebuild(playground.app_url, projections=[broken], processes=1, range_events=batch)
    run_to_head(playground.app_url, projections=[broken], batch_events=batch)
    with playground.connected() as conn:
        (now,) = status(conn, [broken])
        assert (now.parked_keys, now.parked_events, now.applied, now.ignored) == (1, 3, 5, 2)
        assert now.complete
        errors = conn.execute("SELECT position, error FROM projection.parked ORDER BY 1").fetchall()
        assert errors == [(6, "ZeroDivisionError: a mistake"), (8, None), (10, None)]

        assert unpark(conn, broken) == 0  # the mistake is still there
        assert unpark(conn, projection) == 3
        (now,) = status(conn, [projection])
        assert (now.parked_keys, now.parked_events, now.applied, now.complete) == (0, 0, 8, True)
        assert digest(conn, projection) == replay(log, [projection])[projection.name]


def unwritable_at_the_bad_amount(
    projection: Projection, mistake: Callable[[object, Out], object]
) -> Projection:
    """The projection, with a fold whose rows of one event no table takes."""

    def fold(head: object, e: Recorded, out: Out) -> object:
        after = projection.fold(head, e, out)
        if e.stream_id == BAD and isinstance(e.event, AmountRevised):
            return mistake(after, out)
        return after

    return msgspec.structs.replace(projection, fold=fold)


def says_nul(head: object, _: Out) -> object:
    return msgspec.structs.replace(head, external_id="a\0b")  # type: ignore[type-var]


def says_it_twice(head: object, out: Out) -> object:
    out.insert(msgspec.structs.replace(out.written[-1]))
    return head


@pytest.mark.parametrize("rebuilt", [False, True], ids=["live", "rebuilt"])
@pytest.mark.parametrize(
    ("projection", "mistake", "error"),
    [
        (DEALS, says_nul, "NUL|UntranslatableCharacter|CharacterNotInRepertoire"),
        (TIMELINE, says_it_twice, "ValueError: two rows"),
    ],
    ids=["refused by the database", "the same row twice"],
)
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_rows_that_can_not_be_written_park_their_key_and_nothing_else(
    playground: Playground,
    projection: Projection,
    mistake: Callable[[object, Out], object],
    error: str,
    batch: int,
    rebuilt: bool,
) -> None:
    log, broken = two_deals(), unwritable_at_the_bad_amount(projection, mistake)
    playground.holding(log)
    if rebuilt:
        rebuild(playground.app_url, projections=[broken], processes=1, range_events=batch)
    run_to_head(playground.app_url, projections=[broken], batch_events=batch)
    with playground.connected() as conn:
        (now,) = status(conn, [broken])
        assert (now.parked_keys, now.parked_events, now.applied, now.ignored) == (1, 3, 5, 2)
        (first, *behind) = conn.execute("SELECT position, error FROM projection.parked ORDER BY 1").fetchall()
        assert (first[0], behind) == (6, [(8, None), (10, None)])
        assert re.search(error, first[1])
        assert unpark(conn, broken) == 0
        assert unpark(conn, projection) == 3
        assert digest(conn, projection) == replay(log, [projection])[projection.name]


def test_while_a_key_waits_the_others_go_on(playground: Playground) -> None:
    log, broken = two_deals(), failing_at_the_bad_amount(DEALS)
    playground.holding(log)
    run_to_head(playground.app_url, projections=[broken])
    with playground.connected() as conn:
        good, bad = deal(conn, GOOD), deal(conn, BAD)
    assert good is not None
    assert bad is not None
    assert (good.stage, good.version, bad.stage, bad.version) == ("offer", 4, "lead", 1)


def test_an_unknown_topic_stops_before_any_fold(playground: Playground) -> None:
    playground.holding(two_deals())
    with psycopg.connect(playground.owner_url) as conn:
        conn.execute("UPDATE dealtrace.events SET topic = 'deal.from_the_future' WHERE notification_id = 9")
    with pytest.raises(UnknownTopic, match=r"deal\.from_the_future"):
        run_to_head(playground.app_url)
    with playground.connected() as conn:
        assert {s.position for s in status(conn)} == {0}


def test_a_missing_position_stops(playground: Playground) -> None:
    playground.holding(two_deals())
    with psycopg.connect(playground.owner_url) as conn:
        conn.execute("DELETE FROM dealtrace.events WHERE notification_id = 4")
    with pytest.raises(BrokenLog, match="9 events at positions 1 to 10"):
        run_to_head(playground.app_url)
    with pytest.raises((BrokenLog, Gap)):
        rebuild(playground.app_url, processes=1)


def test_a_batch_that_begins_too_late_or_jumps_stops(playground: Playground) -> None:
    log = two_deals()
    playground.holding(log)
    with playground.connected() as conn:
        ensure(conn, [DEALS], slices=2)
        at = checkpoints(conn, [DEALS], "live")[slice_of(GOOD, 2)]
        with pytest.raises(Gap, match="begins after 2"):
            apply_batch(conn, DEALS, at, Batch(2, 10, log[2:]))
        without_the_second = [e for e in log if not (e.stream_id == GOOD and e.version == 2)]
        with pytest.raises(Gap, match="jumps from version 1 to 3"):
            apply_batch(conn, DEALS, at, Batch(0, 10, without_the_second))
        with pytest.raises(Gap, match="comes after"):
            apply_batch(conn, DEALS, at, Batch(0, 10, log[::-1]))
        assert {s.position for s in status(conn, [DEALS])} == {0}


def test_a_checkpoint_of_another_epoch_is_refused(playground: Playground) -> None:
    playground.holding(two_deals())
    run_to_head(playground.app_url)
    with psycopg.connect(playground.owner_url) as conn:
        conn.execute("UPDATE dealtrace.log_head SET epoch = 2")
    with pytest.raises(ForeignLog, match=r"epoch 1, but this is log .*, epoch 2"):
        run_to_head(playground.app_url)
    rebuild(playground.app_url, processes=1)
    assert run_to_head(playground.app_url) == 10


def test_a_projector_that_was_overtaken_does_not_take_the_log_for_another(playground: Playground) -> None:
    log = two_deals()
    playground.holding(log[:6])
    with playground.connected() as conn:
        seen_before = read_head(conn)
        playground.gains(log[6:])
        run_to_head(playground.app_url)
        assert step(conn, list(catalogue().values()), seen_before, seen_before.position) == 10


def test_a_checkpoint_ahead_of_the_log_is_refused(playground: Playground) -> None:
    playground.holding(two_deals())
    run_to_head(playground.app_url)
    with psycopg.connect(playground.owner_url) as conn:
        conn.execute("UPDATE dealtrace.log_head SET position = 9")
    with pytest.raises(ForeignLog, match=r"at position 10 .* at position 9"):
        run_to_head(playground.app_url)


def test_a_projection_answers_from_when_it_has_caught_up_for_the_first_time(playground: Playground) -> None:
    log = two_deals()
    playground.holding(log)
    with playground.connected() as conn:
        ensure(conn, [DEALS])
        step(conn, [DEALS], read_head(conn), 10, batch_events=6)
        with pytest.raises(psycopg.errors.UndefinedTable):
            deal(conn, GOOD)
        step(conn, [DEALS], read_head(conn), 10, batch_events=6)
        assert deal(conn, GOOD) is not None


def test_who_lost_the_race_changes_nothing(playground: Playground) -> None:
    log = two_deals()
    playground.holding(log)
    with playground.connected() as conn:
        ensure(conn, [DEALS])
        (at,) = checkpoints(conn, [DEALS], "live")
        winner = apply_batch(conn, DEALS, at, Batch(0, 10, log))
        with pytest.raises(Moved):
            apply_batch(conn, DEALS, at, Batch(0, 10, log))
        assert checkpoints(conn, [DEALS], "live") == [winner]


def test_waiting_ends_when_the_position_is_reached_or_the_time_is_over(playground: Playground) -> None:
    playground.holding(two_deals())
    run_to_head(playground.app_url, until=9)
    with playground.connected() as conn:
        assert wait_for(conn, 9, timeout=0)
        assert not wait_for(conn, 10, timeout=0.05)


@pytest.mark.parametrize(
    "failpoint",
    ["projection.before_commit=kill@4", "projection.after_commit=kill@7", "rebuild.before_commit=kill@2",
     "rebuild.after_commit=kill@1"],
)  # fmt: skip
def test_killed_at_a_commit_it_goes_on_as_if_nothing_had_happened(
    playground: Playground, failpoint: str
) -> None:
    log = two_deals()
    playground.holding(log)
    work = (
        "import sys; from projections.engine.rebuilding import rebuild; rebuild(sys.stdin.read(), processes=1, range_events=4)"
        if failpoint.startswith("rebuild")
        else "import sys; from projections.engine.running import run_to_head, step; run_to_head(sys.stdin.read(), batch_events=3)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", work],
        input=playground.app_url,
        text=True,
        env={**os.environ, "DEALTRACE_FAILPOINTS": failpoint},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert killed.returncode == -9
    if failpoint.startswith("rebuild"):
        rebuild(playground.app_url, processes=1)
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        assert {n: digest(conn, p) for n, p in catalogue().items()} == replay(log)
        assert all(s.complete and s.lag == 0 for s in status(conn))
