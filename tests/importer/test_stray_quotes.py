"""A stray quote costs its own line; text of many lines in quotes is one cell."""

from io import StringIO

import pytest

from workers.importer.records import Records
from workers.importer.report import Problem

HEADER = "deal,at,by,field,old,new\n"
OPENED = "1,2026-01-01T09:00Z,ann,created,,First\n"


def changes(count: int, first: int = 0) -> str:
    return "".join(
        f"1,2026-01-02T{n // 60:02}:{n % 60:02}Z,ann,Amount,,{n}\n" for n in range(first, first + count)
    )


def read(text: str) -> tuple[list[int], list[tuple[int, str]]]:
    """The lines where good records begin, and the bad ones with their codes."""
    records = Records(StringIO(HEADER + text, newline=""), ",")
    records.header()
    found = list(records)
    bad = [(line, record.code) for line, record in found if isinstance(record, Problem)]
    return [line for line, record in found if not isinstance(record, Problem)], bad


@pytest.mark.parametrize(
    "stray",
    [
        '1,2026-01-01T10:00Z,ann,Owner,,"bob\n',
        '"1,2026-01-01T10:00Z,ann,Owner,,bob\n',
        '1,2026-01-01T10:00Z,ann,Owner,,"bob" and ann\n',
        '1,2026-01-01T10:00Z,ann,"Owner,,bob\n',
    ],
)
@pytest.mark.parametrize("following", [0, 1, 5, 18, 19, 20, 500])
def test_a_stray_quote_is_named_by_its_line_and_all_others_are_read(stray: str, following: int) -> None:
    good, bad = read(OPENED + stray + changes(following))

    assert bad == [(3, "unreadable-row")]
    assert good == [2, *range(4, following + 4)]


def test_a_quote_that_took_rows_in_and_closed_gives_them_back() -> None:
    stray, closing = '"1,2026-01-01T10:00Z,ann,Owner,,bob\n', '1,2026-01-03T10:00Z,ann,Name,,bob"\n'

    assert read(OPENED + stray + changes(4) + closing) == ([2, 4, 5, 6, 7, 8], [(3, "unreadable-row")])


def test_a_cell_too_long_is_bad_and_the_rest_is_read() -> None:
    assert read(OPENED + '1,t,ann,Owner,,"' + "x" * 200_000 + '"\n' + changes(2)) == (
        [2, 4, 5],
        [(3, "unreadable-row")],
    )


def test_two_stray_quotes_take_nothing_of_what_lies_between(importing):
    stray = '1,2026-01-01T10:00Z,ann,Owner,,"bob\n'
    summary = importing.rows(OPENED + stray + changes(3) + stray + changes(1000, 3))

    bad = [(p.line, p.code) for p in importing.problems if p.level == "error"]
    assert bad == [(3, "unreadable-row"), (7, "unreadable-row")]
    assert (summary.rows, summary.bad) == (1006, 2)
    assert importing.deal("1").amount.amount == 1002


@pytest.mark.parametrize("lines", [2, 300])
def test_a_long_text_in_quotes_is_one_cell(importing, lines):
    importing.rows(OPENED)
    text = "Dear Eva, thank you.\n" * lines

    summary = importing.rows(
        f'1,2026-01-05T09:00Z,ann,Call,1,"{text}"\n1,yesterday,ann,Call,1,\n', "activities"
    )

    assert (summary.rows, summary.events) == (2, 1)
    assert importing.reported() == [(lines + 3, "error", "unreadable-time")]


@pytest.mark.parametrize("before", [497, 498, 499, 500, 501])
@pytest.mark.parametrize(
    ("odd", "lines", "bad"),
    [
        ('1,2026-01-01T10:00Z,ann,Name,,"Dear\nEva,\nthank you"\n', 3, []),
        ('1,2026-01-01T10:00Z,ann,Owner,,"bob\n', 1, ["unreadable-row"]),
        ("1,2026-01-01T10:00Z,ann,Owner\n", 1, ["wrong-columns"]),
        ("\n", 1, []),
    ],
)
def test_it_matters_not_after_how_many_lines_something_odd_comes(
    before: int, odd: str, lines: int, bad: list[str]
) -> None:
    good, problems = read(changes(before) + odd + changes(2000))

    first = before + 2  # below the header
    record = [] if bad or odd == "\n" else [first]
    assert problems == [(first, code) for code in bad]
    assert good == [*range(2, first), *record, *range(first + lines, first + lines + 2000)]
