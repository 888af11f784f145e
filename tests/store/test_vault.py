"""Personal text lies beside the log, never in it, and can be erased without the log noticing."""

import hashlib
from uuid import UUID

import psycopg

from domain.deal import LogActivity, OpenDeal, RenameDeal, WinDeal
from domain.event import TextRef
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


def refs(log: Log) -> list[TextRef]:
    """The references that events hold in place of text, in order."""
    events = [recorded.event for recorded in log.events()]
    found = [getattr(e, "name", None) or getattr(e, "note", None) for e in events]
    return [ref for ref in found if ref is not None]


def test_the_text_is_in_the_vault_and_nowhere_else(log: Log) -> None:
    told(log)
    tables = log.query("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('dealtrace', 'projection')")
    assert ("dealtrace", "vault") in tables
    for schema, table in tables:
        # Every row in PostgreSQL's text form; bytes stand there in hex.
        rows = "\n".join(row for (row,) in log.query(f"SELECT t::text FROM {schema}.{table} t"))
        for text in (NAME, NOTE):
            assert (text in rows or text.encode().hex() in rows) == (table == "vault"), table


def test_the_event_names_the_text_and_proves_it_unchanged(log: Log) -> None:
    told(log)
    for ref, text in zip(refs(log), (NAME, NOTE), strict=True):
        ((salt, stored),) = log.query("SELECT salt, text FROM dealtrace.vault WHERE id = %s", ref.id)
        assert stored == text
        assert hashlib.sha256(salt + text.encode()).hexdigest() == ref.sha256
        assert len(salt) == 16


def test_equal_texts_have_different_hashes_so_that_nobody_can_guess_and_compare(log: Log) -> None:
    executor = log.start()
    executor.execute([ask(OpenDeal(funnel="tas_plus", name=NAME)) for _ in range(3)])
    assert len({ref.sha256 for ref in refs(log)}) == 3


def test_erasing_a_subject_leaves_the_log_and_its_root_as_they_are(log: Log) -> None:
    executor, deal = told(log)
    ids = [ref.id for ref in refs(log)]
    other = log.open_deal(executor, name="somebody else's")
    with psycopg.connect(log.app_url) as conn:
        before, rows = verify_log(conn), log.rows()
        assert sorted(read_texts(conn, ids).values()) == sorted([NAME, NOTE])
        assert erase(conn, deal) == 2
        conn.commit()
        assert read_texts(conn, ids) == {}
        assert verify_log(conn) == before
        assert (erase(conn, deal), before.problems) == (0, ())
    assert log.rows() == rows
    assert log.query("SELECT subject_id FROM dealtrace.vault") == [(other,)]
    done(executor.execute([ask(WinDeal(deal_id=deal))])[0])


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
    named = [ref.id for ref in refs(log)]
    assert sorted(named) == sorted(text_id for (text_id,) in log.query("SELECT id FROM dealtrace.vault"))
    with connect(log.app_url, "test") as conn:
        assert sorted(read_texts(conn, named).values()) == sorted([NAME, NOTE, "renamed", "decided twice"])
