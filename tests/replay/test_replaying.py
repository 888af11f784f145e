"""A replay is the live tables once more, whole or cut off, however the work is shared."""

import gc
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.event import Knowledge, Recorded
from infra.log_reader import plan_ranges
from projections.engine.catalogue import chosen
from projections.engine.description import Out, Projection
from projections.engine.digests import digest_of_rows
from projections.engine.folding import Rows, by_key
from projections.engine.knowledge import as_witnessed, known_by
from projections.engine.replaying import Cut, replay_range
from projections.engine.running import run_to_head
from projections.funnel import snapshot
from projections.timeline import TimelineEntry
from tests.benchmarks import history
from tests.projections.conftest import Playground
from tests.replay.conftest import Duck, bytes_of
from tests.strategies import STAGES, histories, moments_of
from workers.replay.running import Asked, BeyondLog, run_replay

few = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(log=histories(), ranges=st.sampled_from([1, 10, 10_000]))
def test_a_replay_has_the_digests_of_the_live_tables(
    playground: Playground, log: list[Recorded], ranges: int
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    found = run_replay(playground.app_url, Asked(processes=1, range_events=ranges))
    assert found.log.position == found.events == len(log)
    assert {p.projection: (p.digest, p.equal) for p in found.projections} == {
        p.projection: (p.live, True) for p in found.projections
    }
    assert len(found.projections) == len(chosen())


@few
@given(log=histories(min_steps=10), data=st.data())
def test_a_replay_to_a_position_has_the_digests_the_live_tables_had_there(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    position = data.draw(st.integers(1, len(log)))
    playground.holding(log)
    run_to_head(playground.app_url, until=position)
    then = run_replay(playground.app_url, Asked(processes=1))
    run_to_head(playground.app_url)
    now = run_replay(playground.app_url, Asked(to_position=position, processes=1))
    assert [p.digest for p in now.projections] == [p.digest for p in then.projections]
    assert all(p.equal for p in then.projections)
    assert [p.equal for p in now.projections] == [None if position < len(log) else True] * len(chosen())


@few
@given(log=histories(min_steps=15), data=st.data())
def test_a_cut_is_filter_then_fold(playground: Playground, log: list[Recorded], data: st.DataObject) -> None:
    as_of, known_at = data.draw(st.tuples(*[st.none() | moments_of(log)] * 2))
    knowledge = data.draw(st.sampled_from(get_args(Knowledge)))
    playground.holding(log)
    selected = [
        e
        for e in (log if knowledge == "source" else map(as_witnessed, log))
        if (as_of is None or e.meta.occurred_at <= as_of) and (known_at is None or e.known_at <= known_at)
    ]
    found = run_replay(
        playground.app_url, Asked(len(log), as_of, known_at, knowledge, processes=1, range_events=10)
    )
    assert (found.known_at, found.knowledge) == (known_at, knowledge)
    assert {p.projection: (p.digest, p.parked) for p in found.projections} == {
        p.name: folded_plainly(selected, p) for p in chosen()
    }


def folded_plainly(events: Sequence[Recorded], projection: Projection) -> tuple[str, int]:
    """The digest of the events folded key by key, and how many follow one that the fold refuses."""
    rows, heads, refused = Rows(projection), [], 0
    for own in by_key(e for e in events if e.topic in projection.topics).values():
        head, out = None, Out()
        for index, event in enumerate(own):
            before = len(out.written)
            try:
                head = projection.fold(head, event, out)
            except Exception:  # noqa: BLE001 -- whatever a fold raises
                del out.written[before:]
                refused += len(own) - index
                break
        rows.add(out.written)
        heads += [] if head is None else [head]
    made: dict[str, list[Any]] = {t.name: list(rows.inserted[t.row].values()) for t in projection.histories}
    if projection.head:
        made[projection.head.name] = heads
    from projections.engine.records import record

    return digest_of_rows((t, map(record(t), made[t.name])) for t in projection.tables), refused


@few
@given(log=histories(min_steps=15), data=st.data())
def test_the_deals_open_in_a_cut_are_those_the_funnel_shows_at_these_clocks(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    as_of, known_at = data.draw(st.tuples(moments_of(log), st.none() | moments_of(log)))
    knowledge = data.draw(st.sampled_from(get_args(Knowledge)))
    with playground.connected() as conn, known_by(conn, knowledge):
        shown = snapshot(conn, "sales", as_of=as_of, known_at=known_at)
        ((first, last, _),) = plan_ranges(conn, len(log), 10**6)
        funnel = chosen(["funnel"])
        made = replay_range(conn, first, last, Cut(len(log), as_of, known_at, knowledge), funnel)["funnel"]
    last_rows = [r for r in made.rows["deal_states"] if r.next_occurred_at is None and r.status == "open"]
    counted = {s.stage: s.deals for s in shown.stages if s.deals}
    assert counted == {key: n for key in STAGES if (n := sum(r.stage == key for r in last_rows))}


def test_python_never_looks_for_cycles_among_the_rows_of_a_replay(playground: Playground) -> None:
    playground.without_projections()
    history.fill(playground.owner_url, 3_000)
    looked_through = list[int]()

    def rows() -> int:
        return sum(type(o) is TimelineEntry for o in gc.get_objects())

    def look(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            looked_through.append(rows())

    before = rows()
    gc.callbacks.append(look)
    try:
        run_replay(playground.app_url, Asked(processes=1, range_events=1_000))
    finally:
        gc.callbacks.remove(look)
    assert max(looked_through, default=0) <= before


def test_neither_processes_nor_ranges_change_a_byte(playground: Playground, tmp_path: Path) -> None:
    playground.without_projections()
    history.fill(playground.owner_url, 3_000)
    run_to_head(playground.app_url)
    written = {}
    for processes, ranges in ((1, 10_000), (1, 100), (2, 700), (3, 250)):
        folder = tmp_path / f"{processes}-{ranges}"
        found = run_replay(playground.app_url, Asked(out=folder, processes=processes, range_events=ranges))
        assert found.unequal == ()
        written[processes, ranges] = bytes_of(folder)
        assert {p.projection for p in found.projections if p.equal} == {p.name for p in chosen()}
    assert len({len(files) for files in written.values()}) == 1
    assert all(files == written[1, 10_000] for files in written.values())


@few
@given(log=histories(min_steps=20))
def test_what_another_program_reads_from_the_files_has_the_digests(
    playground: Playground, duck: Duck, tmp_path: Path, log: list[Recorded]
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    found = run_replay(playground.app_url, Asked(out=tmp_path, processes=1, range_events=10))
    files = {frame.frame: frame for frame in found.frames}
    for projection in chosen():
        read = [(table, duck.records(tmp_path, table)) for table in projection.tables]
        (told,) = (p for p in found.projections if p.projection == projection.name)
        assert digest_of_rows(read) == told.digest == told.live
        for table, records in read:
            assert (files[table.name].rows, files[table.name].digest) == (
                len(records),
                digest_of_rows([(table, records)]),
            )


def test_every_row_stands_in_the_order_of_its_deal(
    playground: Playground, duck: Duck, tmp_path: Path
) -> None:
    playground.without_projections()
    history.fill(playground.owner_url, 1_500)
    run_replay(playground.app_url, Asked(out=tmp_path, range_events=200, processes=1))
    for frame, then in (("deal_states", "seq"), ("stage_visits", "visit"), ("landmarks", "at"), ("forecast_rows", "at")):  # fmt: skip
        places = [(UUID(row["deal_id"]), row[then]) for row in duck.rows(tmp_path, frame)]
        assert len(places) > 100
        assert places == sorted(places)


def test_only_the_projections_asked_for_are_folded(playground: Playground, tmp_path: Path) -> None:
    playground.without_projections()
    history.fill(playground.owner_url, 500)
    found = run_replay(playground.app_url, Asked(projections=("visits",), out=tmp_path, processes=1))
    assert [p.projection for p in found.projections] == ["visits"]
    assert bytes_of(tmp_path).keys() == {
        "visit_heads.parquet", "stage_visits.parquet", "visit_owners.parquet", "gone_deals.parquet",
    }  # fmt: skip


def test_a_changed_table_is_unequal(playground: Playground) -> None:
    playground.without_projections()
    history.fill(playground.owner_url, 500)
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        (table,) = conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'projection' AND tablename LIKE 'stage_visits%'"
        ).fetchone() or ("",)
        conn.execute(
            f"UPDATE projection.{table} SET stage = 'bidding' WHERE visit = 1 AND stage <> 'bidding'"
        )
    assert run_replay(playground.app_url, Asked(processes=1)).unequal == ("visits",)


def test_a_position_beyond_the_log_is_refused(playground: Playground) -> None:
    playground.without_projections()
    last = history.fill(playground.owner_url, 100)
    with pytest.raises(BeyondLog, match=f"ends at position {last}"):
        run_replay(playground.app_url, Asked(to_position=last + 1))


def test_weekly_rows_end_where_the_earlier_clock_stands(playground: Playground) -> None:
    playground.without_projections()
    history.fill(playground.owner_url, 100)
    early, late = (datetime.fromisoformat(f"202{year}-06-01T00:00:00Z") for year in (2, 3))
    for as_of, known_at in ((early, late), (late, early), (early, None), (None, early)):
        found = run_replay(playground.app_url, Asked(as_of=as_of, known_at=known_at, processes=1))
        assert found.cutoff == early
    whole = run_replay(playground.app_url, Asked(processes=1))
    with playground.connected() as conn:
        assert conn.execute("SELECT recorded_at FROM dealtrace.log_head").fetchone() == (whole.cutoff,)


def test_whenever_it_is_broken_off_the_folder_is_as_it_was(playground: Playground, tmp_path: Path) -> None:
    playground.without_projections()
    history.fill(playground.owner_url, 300)
    asked = Asked(out=tmp_path, processes=1, range_events=50)
    run_replay(playground.app_url, asked)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def ctrl_c(_what: str, done: int, _total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_replay(playground.app_url, replace(asked, to_position=200), ctrl_c)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
