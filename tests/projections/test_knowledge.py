"""Two knowledges of one log: what sources claim, and what the log itself witnessed; and what an answer owes to claims."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql

from api import queries
from api.knowledge import answer_to
from api.params import FunnelAtParams
from domain.deal import DealOpened
from domain.event import Knowledge, Recorded
from domain.organisation import STREAM_ID as ORGANISATION
from domain.organisation import TeamCreated
from domain.playbook import STREAM_ID
from projections.claims import claimed_events, claimed_of_streams
from projections.engine.catalogue import catalogue, chosen
from projections.engine.description import Out, Projection, Table, topics_of
from projections.engine.knowledge import as_witnessed, known_by
from projections.engine.rebuilding import rebuild
from projections.engine.running import run_to_head
from projections.engine.status import status
from projections.engine.unparking import unpark
from projections.funnel import snapshot
from projections.rules import playbook_at
from tests.projections import loan_history
from tests.projections.conftest import Playground
from tests.projections.written_log import SPACE, Fact, playbook, recorded, stage
from tests.strategies import START, histories, moments_of

few = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
DAY = timedelta(days=1)
Rows = dict[str, list[tuple[str | None, ...]]]


def held(playground: Playground, knowledge: Knowledge, projections: list[Projection] | None = None) -> Rows:
    """Every row of every history table as whoever asks by this knowledge finds it; not whether a source claims it."""
    found = {}
    with playground.connected() as conn, known_by(conn, knowledge):
        for projection in projections or list(catalogue().values()):
            for table in projection.histories:
                found[table.name] = sorted(rows_of(conn, projection, table), key=str)
    return found


def rows_of(conn: Connection[Any], projection: Projection, table: Table) -> list[tuple[str | None, ...]]:
    names = [sql.Identifier(name) for name in table.names if name != "claimed"]
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(name) for name in names)
    return conn.execute(sql.SQL("SELECT {} FROM {}").format(columns, projection.view(table.name))).fetchall()


def brought_up_by_sevens(playground: Playground) -> None:
    run_to_head(playground.app_url, batch_events=7)


def brought_up_at_once(playground: Playground) -> None:
    run_to_head(playground.app_url)


def rebuilt(playground: Playground) -> None:
    rebuild(playground.app_url, processes=1, range_events=10)


def rebuilt_and_brought_up(playground: Playground) -> None:
    run_to_head(playground.app_url, until=12)
    rebuild(playground.app_url, processes=1)
    run_to_head(playground.app_url, batch_events=5)


WAYS = [brought_up_by_sevens, brought_up_at_once, rebuilt, rebuilt_and_brought_up]


@settings(few, max_examples=10)
@given(made=st.sampled_from(WAYS), log=histories(min_steps=20))
def test_what_was_witnessed_is_the_log_without_its_claims(
    playground: Playground, made: Callable[[Playground], None], log: list[Recorded]
) -> None:
    playground.holding(log)
    made(playground)
    by_source, witnessed = held(playground, "source"), held(playground, "witnessed")
    playground.holding([as_witnessed(e) for e in log])
    run_to_head(playground.app_url)
    assert witnessed == held(playground, "source") == held(playground, "witnessed")
    if any(e.meta.source_recorded_at not in (None, e.recorded_at) for e in log):
        assert by_source != witnessed


def test_every_history_says_when_each_of_its_rows_came_to_be_known_and_when_that_it_had_ended() -> None:
    for table in (table for p in catalogue().values() for table in p.histories):
        known = set(table.witnessed_by)
        assert known - set(table.closing), f"{table.name} has no known_at"
        assert bool(known & set(table.closing)) == bool(table.closing), (
            f"{table.name} has no known_at of its end"
        )


class Note(msgspec.Struct, frozen=True):
    deal_id: UUID
    seq: int
    topic: str
    known_at: datetime
    next_known_at: datetime | None = None


class NoteHead(msgspec.Struct, frozen=True):
    deal_id: UUID
    seq: int


def notes(spoilt: Callable[[Note], Note] = lambda note: note) -> Projection:
    """The last topic of every deal, with a history; `spoilt` may make a row that can not be folded or written."""

    def fold(head: NoteHead | None, e: Recorded, out: Out) -> NoteHead:
        if head is not None:
            out.close(Note, (head.deal_id, head.seq), (e.known_at,))
        out.insert(spoilt(Note(e.stream_id, e.version, e.topic, e.known_at)))
        return NoteHead(e.stream_id, e.version)

    return Projection(
        "notes",
        1,
        topics_of("deal"),
        fold,
        Table("note_heads", NoteHead, key=("deal_id",)),
        (Table("notes", Note, key=("deal_id", "seq"), closing=("next_known_at",)),),
    )


def raises(note: Note) -> Note:
    if note.seq == 2:
        raise ZeroDivisionError
    return note


def says_nul(note: Note) -> Note:
    return msgspec.structs.replace(note, topic="a\0b") if note.seq == 2 else note


@pytest.mark.parametrize("rebuilt", [False, True], ids=["live", "rebuilt"])
@pytest.mark.parametrize("spoilt", [raises, says_nul], ids=["not folded", "not written"])
@settings(few, max_examples=3)
@given(log=histories(min_steps=25))
def test_what_waited_is_witnessed_too(
    playground: Playground, log: list[Recorded], spoilt: Callable[[Note], Note], rebuilt: bool
) -> None:
    broken, mended = notes(spoilt), notes()
    playground.holding(log)
    if rebuilt:
        rebuild(playground.app_url, projections=[broken], processes=1)
    run_to_head(playground.app_url, projections=[broken], batch_events=9)
    with playground.connected() as conn:
        (then,) = status(conn, [broken])
        assert unpark(conn, mended) == then.parked_events
    witnessed = held(playground, "witnessed", [mended])
    playground.holding([as_witnessed(e) for e in log])
    run_to_head(playground.app_url, projections=[mended])
    assert witnessed == held(playground, "source", [mended])


@few
@given(log=histories(min_steps=20), data=st.data())
def test_claimed_events_are_those_selected_that_were_taken_in_later(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    of_deals = [e for e in log if e.topic.startswith("deal.")]
    with playground.connected() as conn:
        for _ in range(10):
            as_of, known_at = data.draw(moments_of(log)), data.draw(moments_of(log))
            claimed = [
                e.stream_id
                for e in of_deals
                if e.meta.occurred_at <= as_of and e.known_at <= known_at < e.recorded_at
            ]
            assert claimed_events(conn, as_of, known_at) == len(claimed)
            assert claimed_events(conn, as_of, known_at, funnel="sales") == len(claimed)
            assert claimed_events(conn, as_of, known_at, funnel="another") == 0
            for deal in {e.stream_id for e in of_deals}:
                assert claimed_events(conn, as_of, known_at, deal_id=deal) == claimed.count(deal)
            assert claimed_events(conn, as_of, log[-1].recorded_at) == 0
            assert claimed_events(conn, as_of, None) == 0
            with known_by(conn, "witnessed"):
                assert claimed_events(conn, as_of, known_at) == 0


@few
@given(log=histories(min_steps=20), data=st.data())
def test_so_are_those_of_the_rules_and_of_the_organisation(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    behind = [STREAM_ID, ORGANISATION]
    log = [claimed_before(e, 2 * DAY) if e.stream_id in behind and e.version % 2 else e for e in log]
    playground.holding(log)
    with playground.connected() as conn:
        for _ in range(10):
            as_of, known_at, upto = data.draw(moments_of(log)), data.draw(moments_of(log)), len(log) - 3
            claimed = [
                e
                for e in log[:upto]
                if e.stream_id in behind
                and e.meta.occurred_at <= as_of
                and e.known_at <= known_at < e.recorded_at
            ]
            assert claimed_of_streams(conn, as_of, known_at, behind, upto) == len(claimed)
            assert claimed_of_streams(conn, as_of, None, behind, upto) == 0
            with known_by(conn, "witnessed"):
                assert claimed_of_streams(conn, as_of, known_at, behind, upto) == 0


def claimed_before(event: Recorded, earlier: timedelta) -> Recorded:
    claim = event.recorded_at - earlier
    meta = msgspec.structs.replace(event.meta, occurred_at=claim, source_recorded_at=claim)
    return msgspec.structs.replace(event, meta=meta)


def test_a_figure_tells_of_claimed_deals_and_of_the_claimed_rules_and_teams_behind_it(
    playground: Playground,
) -> None:
    facts = [
        *playbook("sales", [stage("lead")], START),
        Fact(ORGANISATION, TeamCreated("all", "All", None, None), START, START),
        Fact(uuid5(SPACE, "deal"), DealOpened("sales", "lead"), START, START),
    ]
    playground.holding([claimed_before(e, DAY) for e in recorded(facts)])
    run_to_head(playground.app_url)
    asked = {"funnel": "sales", "as_of": START.isoformat(), "known_at": (START - DAY / 2).isoformat()}
    with playground.connected() as conn:
        answer = answer_to(queries.snapshot, conn, FunnelAtParams(**asked))
    assert (answer.total.deals, answer.claimed_events) == (1, 4)


def test_the_playbook_follows_the_knowledge_too(playground: Playground) -> None:
    claimed = START - 100 * DAY
    facts = [msgspec.structs.replace(f, claimed=claimed) for f in playbook("sales", [stage("lead")], START)]
    playground.holding(recorded(facts))
    with playground.connected() as conn:
        assert playbook_at(conn, known_at=claimed).currency == "EUR"
        with known_by(conn, "witnessed"):
            assert playbook_at(conn, known_at=START - DAY).currency is None
            assert playbook_at(conn, known_at=START).currency == "EUR"


def test_a_connection_reads_by_its_sources_again_whatever_happens(playground: Playground) -> None:
    facts = [
        *playbook("sales", [stage("lead")]),
        Fact(uuid5(SPACE, "late"), DealOpened("sales", "lead"), START, START + 9 * DAY, START),
    ]
    playground.holding(recorded(facts))
    run_to_head(playground.app_url)

    def deals(conn: Connection[Any]) -> int:
        return snapshot(conn, "sales", as_of=START, known_at=START).total.deals

    def failing(conn: Connection[Any], other: Connection[Any]) -> None:
        with known_by(conn, "witnessed"):
            assert (deals(conn), deals(other)) == (0, 1)
            raise ZeroDivisionError

    with playground.connected() as conn, playground.connected() as other:
        for _ in range(8):  # often enough for its statements to be prepared
            assert deals(conn) == 1
            with pytest.raises(ZeroDivisionError):
                failing(conn, other)


@pytest.mark.skipif(not loan_history.HISTORY.exists(), reason="the real history is not beside this project")
def test_the_real_funnel_was_known_to_its_source_and_witnessed_by_nobody(playground: Playground) -> None:
    needed = chosen(["funnel", "playbook", "timeline"])
    playground.holding(recorded(loan_history.facts()))
    run_to_head(playground.app_url, projections=needed)
    then, in_2012 = (datetime.fromisoformat(f"{day}T00:00:00Z") for day in ("2011-11-01", "2012-06-01"))
    with playground.connected() as conn:
        claimed = snapshot(conn, "loan", as_of=then, known_at=in_2012)
        assert (claimed.total.deals, claimed.total.amount) == (680, "10327551")
        assert claimed_events(conn, in_2012, in_2012) == 33_381
        assert claimed_events(conn, in_2012, loan_history.NOW) == 0
        with known_by(conn, "witnessed"):
            witnessed = snapshot(conn, "loan", as_of=then, known_at=in_2012)
            today = snapshot(conn, "loan", as_of=then, known_at=loan_history.NOW)
        assert (witnessed.total.deals, witnessed.total.amount) == (0, "0")
        assert (today.stages, today.total) == (claimed.stages, claimed.total)
