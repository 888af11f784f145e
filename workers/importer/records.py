"""CSV text to records, so that a stray quote costs the line it stands in and not those after it."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from workers.importer.report import Problem

_BLOCK = 500
"""Lines that are taken together; where each of them is a record by itself, as nearly always, they are read at once."""
_SUSPICIOUS = 20
"""After so many lines of one record we look whether they are not rows of their own."""


class _Runaway(Exception):
    """A record goes on over lines that are rows of their own, or has swallowed some."""


class Records:
    """The records of a CSV text. Cells may hold line breaks; blank lines are passed over.

    A record that is no good is given up for its first line alone: the lines behind are read again, each from its
    start. Lines are kept only while the record that they belong to is being read.
    """

    def __init__(self, text: Iterable[str], delimiter: str) -> None:
        self._text = iter(text)
        self._delimiter = delimiter
        self._again: deque[str] = deque()
        self._current: list[str] = []
        self._width: int | None = None
        self._line = 1
        """Where the current record begins."""

    @property
    def lines_read(self) -> int:
        """Lines that were taken from the text and not given back."""
        return self._line - 1 + len(self._current)

    def header(self) -> list[str] | None:
        """The first record, None for an empty text; every other one must be as wide. Raises csv.Error."""
        header = next(self._reader(), None)
        self._line += len(self._current)
        self._current.clear()
        self._width = len(header or [])
        return header

    def __iter__(self) -> Iterator[tuple[int, list[str] | Problem]]:
        """The line where each record begins, and its cells."""
        lines, width = self._current, self._width
        while True:
            lines.extend(islice(self._text, _BLOCK))
            if not lines:
                return
            records = self._one_of_each(lines)
            if records is None:
                self._again.extend(lines)
                lines.clear()
                yield from self._one_by_one()
                continue
            for line, record in enumerate(records, self._line):
                if len(record) == width:
                    yield line, record
                elif record:
                    yield line, self._wrong_columns(line, record)
            self._line += len(lines)
            lines.clear()

    def _one_of_each(self, lines: list[str]) -> list[list[str]] | None:
        """The records of the lines if each line is one, None if not. No record goes on behind the last line."""
        try:
            records = list(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        return records if len(records) == len(lines) else None

    def _one_by_one(self) -> Iterator[tuple[int, list[str] | Problem]]:
        """The records of the lines that were given back, the last of which may go on in the text."""
        while self._again:
            try:
                yield from self._until_broken()
            except csv.Error as error:
                problem = self._problem("unreadable-row", f"is not CSV: {error}")
            except _Runaway as error:
                problem = self._problem("unreadable-row", f"has a quote that does not close in time: {error}")
            else:
                continue
            self._give_up_the_first_line()
            yield problem.line, problem

    def _until_broken(self) -> Iterator[tuple[int, list[str] | Problem]]:
        width, current = self._width, self._current
        for record in self._reader():
            if len(record) == width:
                yield self._line, record
            elif record:
                problem = self._wrong_columns(self._line, record)
                if len(current) > 1:
                    raise _Runaway(problem.message)
                yield self._line, problem
            self._line += len(current)
            current.clear()
            if not self._again:
                return

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        current = self._current
        for line in chain(self._given_back(), self._text):
            current.append(line)
            if len(current) % _SUSPICIOUS == 0 and self._are_rows(current[-_SUSPICIOUS + 1 :]):
                raise _Runaway("the lines that follow are rows of their own")
            yield line

    def _given_back(self) -> Iterator[str]:
        while self._again:
            yield self._again.popleft()

    def _are_rows(self, lines: list[str]) -> bool:
        """Whether most of the lines are whole rows: then they are not the text of one cell, however long."""
        return sum(self._is_row(line) for line in lines) * 2 > len(lines)

    def _is_row(self, line: str) -> bool:
        try:
            return len(next(csv.reader([line], delimiter=self._delimiter, strict=True))) == self._width
        except csv.Error:
            return False

    def _give_up_the_first_line(self) -> None:
        self._again.extendleft(reversed(self._current[1:]))
        self._line += 1
        self._current.clear()

    def _wrong_columns(self, line: int, record: list[str]) -> Problem:
        message = f"has {len(record)} columns, the header has {self._width}"
        return Problem(line, "error", "wrong-columns", "", message)

    def _problem(self, code: str, message: str) -> Problem:
        return Problem(self._line, "error", code, "", message)
