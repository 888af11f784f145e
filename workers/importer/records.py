"""CSV text to records, so that a stray quote costs the line it stands in and not those after it."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from workers.importer.report import Problem

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
        while True:
            try:
                yield from self._until_broken()
            except csv.Error as error:
                problem = self._problem("unreadable-row", f"is not CSV: {error}")
            except _Runaway as error:
                problem = self._problem("unreadable-row", f"has a quote that does not close in time: {error}")
            else:
                return
            self._give_up_the_first_line()
            yield problem.line, problem

    def _until_broken(self) -> Iterator[tuple[int, list[str] | Problem]]:
        width, current = self._width, self._current
        for record in self._reader():
            if len(record) == width:
                yield self._line, record
            elif record:
                wrong = f"has {len(record)} columns, the header has {width}"
                if len(current) > 1:
                    raise _Runaway(wrong)
                yield self._line, self._problem("wrong-columns", wrong)
            self._line += len(current)
            current.clear()

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

    def _problem(self, code: str, message: str) -> Problem:
        return Problem(self._line, "error", code, "", message)
