"""Personal text lies beside the log, never in it, and can be erased without the log noticing."""

import hashlib
from uuid import UUID

import psycopg

from domain.deal import LogActivity, OpenDeal, RenameDeal, WinDeal
from infra.connection import connect
from infra.executor import Executor
from infra.vault import erase, read_texts
from infra.verify import verify_log
from tests.store.log import Log, ask, done

NAME, NOTE = "Förderband Müller-Lüdenscheid 王小明", "Her daughter is ill; call on Monday."


def told(log: Log) -> tuple[Executor, UUID]:
    """A deal with a name and a note."""
    executor = log.start()
    deal = log.open_deal(executor, name=NAME)
    done(executor.execute([ask(LogActivity(deal_id=deal, kind="call", note=NOTE), digest=b"1")])[0])
    return executor, deal


def refs(log: Log) -> list[tuple[UUID, str]]:
    opened, called = log.events(2)
    return [(ref.id, ref.sha256) for ref in (opened.event.name, called.event.note)]


def test_the_text_is_in_the_vault_and_nowhere_else(log: Log) -> None:
    told(log)
    tables = log.query("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('dealtrace', 'projection')")
    assert ("dealtrace", "vault") in tables
    for schema, table in tables:
        rows = repr(log.query(f"SELECT * FROM {schema}.{table}")).encode("unicode_escape").decode()
        raw = b"".join(bytes(v) for row in log.query(f"SELECT * FROM {schema}.{table}") for v in row if isinstance(v, bytes))
        for text in (NAME, NOTE):
            found = text.encode() in raw or text.encode("unicode_escape").decode() in rows.replace("\\\\", "\\")
            assert found == (table == "vault"), table


def test_the_event_names_the_text_and_proves_it_unchanged(log: Log) -> None:
    told(log)
    for (text_id, sha256), text in zip(refs(log), (NAME, NOTE), strict=True):
        ((salt, stored),) = log.query("SELECT salt, text FROM dealtrace.vault WHERE id = %s", text_id)
        assert stored == text
        assert hashlib.sha256(salt + text.encode()).hexdigest() == sha256
        assert len(salt) == 16


def test_equal_texts_have_different_hashes_so_that_nobody_can_guess_and_compare(log: Log) -> None:
    executor = log.start()
    executor.execute([ask(OpenDeal(funnel="tas_plus", name=NAME)) for _ in range(3)])
    assert len({e.event.name.sha256 for e in log.events(2)}) == 3


def test_erasing_a_subject_leaves_the_log_and_its_root_as_they_are(log: Log) -> None:
    executor, deal = told(log)
    other = log.open_deal(executor, name="somebody else's")
    with psycopg.connect(log.app_url) as conn:
        before, rows = verify_log(conn), log.rows()
        ids = [text_id for text_id, _ in refs_of(log, deal)]
        assert sorted(read_texts(conn, ids).values()) == sorted([NAME, NOTE])
        assert erase(conn, deal) == 2
        conn.commit()
        assert read_texts(conn, ids) == {}
        assert verify_log(conn) == before
        assert (erase(conn, deal), before.problems) == (0, ())
    assert log.rows() == rows
    assert log.query("SELECT subject_id FROM dealtrace.vault") == [(other,)]
    done(executor.execute([ask(WinDeal(deal_id=deal))])[0])


def refs_of(log: Log, deal: UUID) -> list[tuple[UUID, str]]:
    events = [e.event for e in log.events() if e.stream_id == deal]
    return [(ref.id, ref.sha256) for e in events for ref in (getattr(e, "name", None) or getattr(e, "note", None),)]


def test_the_text_of_a_refused_command_is_not_kept(log: Log) -> None:
    executor, deal = told(log)
    executor.execute([ask(WinDeal(deal_id=deal), RenameDeal(deal_id=deal, name="x"), WinDeal(deal_id=UUID(int=1)))])
    executor.execute([ask(OpenDeal(deal_id=deal, funnel="tas_plus", name="again"))])
    assert log.count("vault") == 2


def test_every_text_in_the_vault_is_named_by_exactly_one_event(log: Log) -> None:
    executor, deal = told(log)
    request = ask(RenameDeal(deal_id=deal, name="renamed"), digest=b"2")
    stale = log.executor()
    stale.stream(deal)
    executor.execute([request, request, ask(LogActivity(deal_id=deal, kind="call"))])
    stale.execute([request, ask(LogActivity(deal_id=deal, kind="call", note="decided twice"))])
    named = [text_id for text_id, _ in refs(log)[:0]] + [
        ref.id
        for e in log.events(2)
        for ref in (getattr(e.event, "name", None), getattr(e.event, "note", None))
        if ref is not None
    ]
    assert sorted(named) == sorted(text_id for (text_id,) in log.query("SELECT id FROM dealtrace.vault"))
    with connect(log.app_url, "test") as conn:
        assert sorted(read_texts(conn, named).values()) == sorted([NAME, NOTE, "renamed", "decided twice"])
