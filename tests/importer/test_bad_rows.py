"""Each bad row is reported with its line and reason, and the rest goes on."""

import gzip

import pytest

OPENED = "1,2026-01-01T09:00Z,ann,created,,First\n"
GOOD = "1,2026-01-09T09:00Z,ann,Stage,First,Second\n"


BAD = [
    ("1,2026-01-02T09:00Z,ann,Stage,First\n", "wrong-columns"),
    ("1,2026-01-02T09:00Z,ann,Stage,First,Third,more\n", "wrong-columns"),
    ("1,tomorrow,ann,Stage,First,Third\n", "unreadable-time"),
    ("1,0001-01-01T00:00Z,ann,Stage,First,Third\n", "unreadable-time"),
    ("1,2999-01-01T00:00Z,ann,Stage,First,Third\n", "unreadable-time"),
    ("1,2150-01-01T00:00Z,ann,Stage,First,Third\n", "in-the-future"),
    ("1,2026-01-02T09:00Z,ann,Stage,First,Fourth\n", "unknown-stage"),
    ("1,2026-01-02T09:00Z,ann,Colour,red,blue\n", "unknown-field"),
    ("1,2026-01-02T09:00Z,ann,Amount,,NaN\n", "invalid-amount"),
    ("1,2026-01-02T09:00Z,ann,Amount,,-1\n", "invalid-amount"),
    ("1,2026-01-02T09:00Z,ann,Amount,,1e400\n", "invalid-amount"),
    ("1,2026-01-02T09:00Z,ann,Amount,,1234567890123456\n", "invalid-amount"),
    ("1,2026-01-02T09:00Z,ann,Amount,,0.001\n", "invalid-amount"),
    ("1,2026-01-02T09:00Z,ann,Amount,,a lot\n", "invalid-amount"),
    ("1,2026-01-02T09:00Z,ann,Close,,soon\n", "unreadable-time"),
    ("1,2026-01-02T09:00Z,ann,Owner,," + "x" * 300 + "\n", "invalid-text"),
    ("1,2026-01-02T09:00Z,ann,Name,Pumps,\n", "invalid-text"),
    ("1,2026-01-02T09:00Z,ann,Region,,north\n", "only-at-opening"),
    ("1,2026-01-02T09:00Z,ann,created,,First\n", "deal-exists"),
    ("1,2025-12-31T09:00Z,ann,Stage,First,Third\n", "out-of-order"),
    (",2026-01-02T09:00Z,ann,created,,First\n", "no-deal"),
    (b"1,2026-01-02T09:00Z,ann,Owner,,\xff\xfe\n", "invalid-encoding"),
    (b"1,2026-01-02T09:00Z,ann,Owner,,a\x00b\n", "nul-character"),
    (b'1,2026-01-02T09:00Z,ann,Owner,,"' + b"x" * 200_000 + b'"\n', "unreadable-row"),
]


def test_each_bad_row_is_named_by_its_line_and_the_rest_is_imported(importing):
    bad = b"".join(row if isinstance(row, bytes) else row.encode() for row, _ in BAD)
    content = b"deal,at,by,field,old,new\n" + OPENED.encode() + bad + GOOD.encode()

    summary = importing.file(importing.written(content))

    assert importing.reported() == [(line, "error", code) for line, (_, code) in enumerate(BAD, start=3)]
    assert (summary.rows, summary.bad, summary.exit_code) == (len(BAD) + 2, len(BAD), 1)
    assert importing.events("1") == [("deal.opened", "01-01 09:00"), ("deal.stage_advanced", "01-09 09:00")]


def test_a_change_after_the_close_is_bad_unless_it_reopens(importing):
    importing.rows(
        OPENED
        + "1,2026-01-02T09:00Z,ann,Stage,First,Won\n"
        + "1,2026-01-03T09:00Z,ann,Stage,First,Second\n"
        + "1,2026-01-03T09:00Z,ann,Amount,,5\n"
        + "1,2026-01-03T09:00Z,ann,Close,,2026-05-01\n"
    )
    assert importing.reported() == [(line, "error", "change-after-close") for line in (4, 5, 6)]
    assert importing.deal("1").status == "won"

    importing.rows("1,2026-01-04T09:00Z,ann,Stage,Won,Second\n")
    assert (importing.problems, importing.deal("1").status) == ([], "open")


def test_a_refused_row_does_not_move_the_deal(importing):
    importing.rows(
        OPENED
        + "1,2150-01-01T09:00Z,ann,Stage,First,Third\n"
        + "1,2026-01-02T09:00Z,ann,Stage,First,Second\n"
        + "1,2026-01-01T09:30Z,ann,Stage,Second,Third\n"
        + "1,2026-01-03T09:00Z,ann,Stage,Second,Third\n"
    )

    assert importing.reported() == [(3, "error", "in-the-future"), (5, "error", "out-of-order")]
    assert importing.events("1")[1:] == [
        ("deal.stage_advanced", "01-02 09:00"),
        ("deal.stage_advanced", "01-03 09:00"),
    ]


def test_a_deal_that_can_not_be_opened_takes_no_rows_until_the_mapping_is_mended(importing, mapping_text):
    rows = "1,2026-01-01T09:00Z,ann,created,,Zeroth\n1,2026-01-01T09:00Z,ann,Amount,,5\n" + GOOD

    importing.rows(rows)
    assert importing.reported() == [
        (2, "error", "unknown-stage"),
        (3, "error", "unopened-deal"),
        (4, "error", "unopened-deal"),
    ]
    assert importing.deal("1") is None

    summary = importing.rows(
        rows, mapping=mapping_text.replace("stages = { First", 'stages = { Zeroth = "first", First')
    )
    assert (summary.bad, summary.events) == (0, 2)


def test_a_quoted_cell_may_hold_line_breaks_and_lines_are_counted_as_in_the_file(importing):
    importing.rows(
        OPENED
        + '1,2026-01-02T09:00Z,ann,Name,,"Pumps\nand\npipes"\n\n1,2026-01-03T09:00Z,ann,Stage,First,?\n'
    )

    assert importing.reported() == [(7, "error", "unknown-stage")]


def test_unknown_fields_may_be_ignored_and_are_counted(importing, mapping_text):
    summary = importing.rows(
        OPENED + "1,2026-01-02T09:00Z,ann,Colour,red,blue\n",
        mapping=mapping_text.replace("[history]\n", '[history]\nunknown_fields = "ignore"\n'),
    )

    assert (summary.ignored, summary.bad, summary.events) == (1, 0, 1)


def test_the_message_says_what_would_be_accepted(importing):
    importing.rows(OPENED + "1,2026-01-02T09:00Z,ann,Stage,First,Fourth\n")

    assert str(importing.problems[0]) == (
        "line 3: error: the stage 'Fourth' is not in the mapping; accepted: First, Second, Third, Won, Lost, Dropped"
    )


def test_a_file_cut_off_in_its_compression_is_unusable_and_the_whole_one_goes_on(importing, many_rows):
    from workers.importer import UnusableInput

    whole = gzip.compress(b"deal,at,by,field,old,new\n" + many_rows(600).encode())
    with pytest.raises(UnusableInput, match="damaged after line"):
        importing.file(importing.written(whole[: len(whole) * 3 // 4]))
    taken = importing.count("import_ledger")

    summary = importing.file(importing.written(whole))

    assert 0 < taken < 5400
    assert (summary.already_there, summary.rows, summary.bad) == (taken, 5400, 0)


def test_a_file_in_another_encoding_is_unusable_and_the_hint_says_where_to_name_it(importing):
    from workers.importer import UnusableInput

    with pytest.raises(UnusableInput, match="is not written in utf-8") as refused:
        importing.file(importing.written("deal,at,by,field,old,new\n".encode("utf-16")))

    assert 'encoding = "utf-16"' in str(refused.value.hint)


def test_a_time_that_can_not_be_read_is_answered_with_one_that_can(importing):
    importing.rows(OPENED + "1,yesterday,ann,Stage,First,Second\n")

    said = str(importing.problems[0])
    accepted = said.removeprefix("line 3: error: 'yesterday' is not a time; accepted: iso such as ")
    assert importing.rows(OPENED + f"1,{accepted},ann,Stage,First,Second\n").bad == 0
