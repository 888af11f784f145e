"""What an import tells: problems of single rows, progress, and the summary at the end."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec


class UnusableInput(Exception):
    """The file or the mapping can not be used at all. The message says why and what would be accepted.

    `hint`: what to do about it; None where reading about imports helps.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Problem(msgspec.Struct, frozen=True):
    """One row that was not imported (`error`), or was although something about it is odd (`warning`).

    `line` is where the row begins in the file, from 1, the header being line 1.
    """

    line: int
    level: Literal["error", "warning"]
    code: str
    deal: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.level}: {self.message}"


class BadRow(Exception):
    """This row can not be imported. `code` is stable, for filtering; the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Progress(msgspec.Struct, frozen=True):
    """How far an import has come. Bytes are those of the file as it lies on the disk, so compressed ones."""

    rows: int
    bytes_read: int
    bytes_total: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Rows per second since the start; 0 before the first."""
        return self.rows / self.seconds if self.seconds else 0.0


class ImportSummary(msgspec.Struct):
    """What became of the rows: each is one of taken, `already_there`, `ignored` or `bad`.

    `deals` counts the distinct deals that the file names, `opened` those that this import opened, `events` what
    was appended to the log (a row that changed nothing is taken and appends nothing).
    """

    kind: str
    source: str
    dry_run: bool
    rows: int = 0
    events: int = 0
    already_there: int = 0
    ignored: int = 0
    bad: int = 0
    warnings: int = 0
    deals: int = 0
    opened: int = 0
    position: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 when every row was good, 1 when some were not. (2 is for UnusableInput.)"""
        return 1 if self.bad else 0


COUNTS = ("rows", "events", "already_there", "ignored", "bad", "warnings", "deals", "opened")
"""The fields of a summary that count."""


@contextmanager
def problem_file(path: Path) -> Iterator[Callable[[Problem], None]]:
    """A function that writes problems to a CSV file, one per row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Problem.__struct_fields__)
        yield lambda problem: writer.writerow(msgspec.structs.astuple(problem))
