"""Answers for people: what a table shows, and what fits a window."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console

import api.asking  # noqa: F401 -- every row that is answered
from api.render import SHOWN, csv_text, human
from api.spelling import text as spelled


class Part(msgspec.Struct, frozen=True):
    amount: Decimal
    note: str | None


class Line(msgspec.Struct, frozen=True):
    key: str
    part: Part
    since: datetime


class Answer(msgspec.Struct, frozen=True):
    name: str
    lines: list[Line]
    next_cursor: str | None = None


ANSWER = Answer(
    "all of it",
    [Line(f"k{n}", Part(Decimal(1234567 * n), None), datetime(2026, 3, n, tzinfo=UTC)) for n in (1, 2)],
    "abc",
)


def printed(answer: object, width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        for part in human(answer, width):
            console.print(part)
    return captured.get()


def test_rows_become_a_table_and_inner_fields_columns() -> None:
    text = printed(ANSWER, 100)
    assert "name all of it" in text
    assert "1,234,567" in text
    assert "2026-03-02 00:00:00Z" in text
    assert "--cursor abc" in text


def test_a_column_that_is_unknown_everywhere_is_left_out() -> None:
    assert "note" not in printed(ANSWER, 100)


def test_a_narrow_window_names_what_it_leaves_out() -> None:
    text = printed(ANSWER, 30)
    assert "In a wider window also: since." in text
    assert "1,234,567" in text


def test_csv_has_every_column_and_plain_values() -> None:
    assert csv_text(ANSWER).splitlines() == [
        "key,part.amount,part.note,since",
        "k1,1234567,,2026-03-01T00:00:00Z",
        "k2,2469134,,2026-03-02T00:00:00Z",
    ]


def test_an_empty_list_says_so() -> None:
    assert "Nothing to show." in printed(Answer("none", []), 80)


def test_the_chosen_columns_exist() -> None:
    """Of one of the rows with that name among all that is answered."""
    known = list(_structs(msgspec.Struct))
    for name, columns in SHOWN.items():
        chosen = {column.partition(".")[0] for column in columns}
        assert any(chosen <= set(row.__struct_fields__) for row in known if row.__name__ == name), name


def _structs(base: type) -> Iterator[Any]:
    for one in base.__subclasses__():
        yield one
        yield from _structs(one)


def test_a_list_of_structs_deep_inside_a_thing_is_told_in_words() -> None:
    class Context(msgspec.Struct, frozen=True):
        rates: tuple[Part, ...]

    class Thing(msgspec.Struct, frozen=True):
        name: str
        context: Context

    text = printed(Thing("x", Context((Part(Decimal("0.05"), "by hand"),))), 80)
    assert "Part(" not in text
    assert "amount 0.05, note by hand" in text


def test_a_long_list_of_ids_is_counted_and_a_short_one_told() -> None:
    ids = tuple(UUID(int=n) for n in range(1200))
    assert spelled("", ids) == "1,200 (ids: --format json)"
    assert spelled("", ids[:2]) == f"{ids[0]}, {ids[1]}"
