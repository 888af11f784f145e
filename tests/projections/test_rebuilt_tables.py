"""What a rebuild leaves behind: tables that are ready for their queries, and a Python that looks for cycles again."""

import gc

import pytest

from projections.engine.catalogue import catalogue
from projections.engine.folding import by_key
from projections.engine.ranges import hand_out
from projections.engine.rebuilding import rebuild
from projections.engine.uncollected import uncollected
from tests.projections.conftest import Playground
from tests.projections.failing import two_deals

TABLES = """
SELECT c.relname || ' ' || c.relallvisible || ' of ' || c.relpages, c.relallvisible = c.relpages, c.reloptions::text ~ 'autovacuum_enabled',
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_class c JOIN pg_tables t ON (t.schemaname, t.tablename) = (c.relnamespace::regnamespace::text, c.relname)
WHERE t.schemaname = 'projection' AND c.relname ~ '_g[0-9]+$'"""


@pytest.mark.parametrize("processes", [1, 2])
def test_queries_may_answer_from_the_indexes_of_rebuilt_tables_alone(
    playground: Playground, processes: int
) -> None:
    playground.holding(two_deals())
    rebuild(playground.app_url, processes=processes, range_events=4)
    with playground.connected() as conn:
        tables = conn.execute(TABLES).fetchall()
    assert len(tables) == sum(len(p.tables) for p in catalogue().values())
    for name, visible_to_all, left_alone, has_its_key in tables:
        assert visible_to_all, name
        assert not left_alone, name
        assert has_its_key, name


def test_each_projection_gets_the_events_that_it_handles_and_no_other() -> None:
    groups, projections = by_key(two_deals()), list(catalogue().values())
    for projection, share in zip(projections, hand_out(groups, projections), strict=True):
        assert share == {
            key: own
            for key, events in groups.items()
            if (own := [e for e in events if e.topic in projection.topics])
        }


def test_python_looks_for_cycles_again_whatever_happens() -> None:
    def seen() -> list[bool]:
        with uncollected():
            with uncollected():
                pass
            return [gc.isenabled()]

    def fails() -> None:
        with uncollected():
            raise ZeroDivisionError

    assert seen() == [False]
    with pytest.raises(ZeroDivisionError):
        fails()
    assert gc.isenabled()
