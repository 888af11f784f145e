"""A row is the same row however the mapping looks at it and wherever it lies in the file."""

from uuid import UUID

import pytest

from infra.ids import imported_id

DEALS = "1,2026-01-01T09:00Z,ann,created,,First\n2,2026-01-01T09:00Z,ann,created,,First\n"
CALLS = (
    "1,2026-01-05T09:00Z,ann,Call,1,\n"
    "2,2026-01-05T10:00Z,bob,Call,1,\n"
    "1,2026-01-05T09:00Z,ann,Call,1,\n"
    "1,2026-01-05T09:00Z,bob,Call,1,\n"
)
WITH_ID = "deal,at,by,kind,minutes,note,id\n"


@pytest.fixture
def mapped_id(mapping_text: str) -> str:
    """The mapping, with ids of the activities."""
    return mapping_text.replace('note = "note"', 'note = "note", id = "id"')


def activity_ids(importing) -> list[UUID]:
    return [r.event.activity_id for r in importing.recorded() if r.topic == "deal.activity_logged"]


def test_a_column_taken_from_the_mapping_makes_no_other_rows(importing, mapping_text):
    importing.rows(DEALS)
    importing.rows(CALLS, "activities")

    for column in ('by = "by", ', 'duration = "minutes", '):
        history, section, activities = mapping_text.partition("[activities]")
        without = history + section + activities.replace(column, "")
        again = importing.rows(CALLS, "activities", mapping=without)
        assert (again.events, again.already_there) == (0, 4)


def test_identical_activities_are_all_kept_however_far_apart_they_lie(importing):
    importing.rows(DEALS)

    assert importing.rows(CALLS, "activities").events == 4
    again = importing.rows(CALLS, "activities")
    assert (again.events, again.already_there) == (0, 4)


def test_identical_changes_with_an_earlier_row_of_another_deal_between_them_are_two_rows(importing):
    late = "1,2026-01-03T09:00Z,ann,Amount,,5\n"
    rows = DEALS + late + "2,2026-01-02T09:00Z,ann,Amount,,7\n" + late

    assert importing.rows(rows).already_there == 0
    assert importing.count("import_ledger") == 5
    assert importing.rows(rows).already_there == 5


def test_an_id_of_the_source_identifies_a_row_whatever_else_it_says(importing, mapped_id):
    importing.rows(DEALS)
    first = WITH_ID + "1,2026-01-05T09:00Z,ann,Call,1,,a-1\n1,2026-01-05T09:00Z,ann,Call,1,,a-2\n"
    later = "more," + WITH_ID + "x,1,2026-01-05 09:00:00+00:00,ANN,Call,2,,a-2\n"

    assert importing.file(importing.written(first), "activities", mapping=mapped_id).events == 2
    again = importing.file(importing.written(later), "activities", mapping=mapped_id)
    assert (again.events, again.already_there, again.bad) == (0, 1, 0)


@pytest.mark.parametrize("dry_run", [True, False])
def test_of_rows_with_one_id_the_first_counts_and_one_without_is_bad(importing, mapped_id, dry_run):
    importing.rows(DEALS)
    rows = "".join(f"1,2026-01-05T09:00Z,ann,Call,1,,{i}\n" for i in ("a", "a", "", "b"))

    summary = importing.file(
        importing.written(WITH_ID + rows), "activities", mapping=mapped_id, dry_run=dry_run
    )

    assert (summary.events, summary.already_there, summary.bad) == (2, 1, 1)
    assert importing.reported() == [(4, "error", "no-id")]


def test_the_id_of_an_activity_is_made_from_the_sources_own(importing, mapped_id):
    importing.rows(DEALS)
    importing.file(
        importing.written(WITH_ID + "1,2026-01-05T09:00Z,ann,Call,1,,a-1\n"), "activities", mapping=mapped_id
    )

    assert activity_ids(importing) == [imported_id("activity", "crm", "a-1")]


def test_without_an_id_of_its_own_an_activity_has_one_made_from_its_row(importing):
    importing.rows(DEALS)
    importing.rows(CALLS, "activities")

    ids = activity_ids(importing)
    keys = importing.log.run(
        lambda conn: conn.execute(
            "SELECT row_key FROM dealtrace.import_ledger ORDER BY position DESC LIMIT 4"
        ).fetchall()
    )
    assert {imported_id("activity", "crm", str(key)) for (key,) in keys} == set(ids)
    assert len(set(ids)) == 4
