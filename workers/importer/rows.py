"""Reading a file row by row, never whole: plain or gzip, with the identity that each row has for ever."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from uuid import UUID
from zlib import crc32

import msgspec

from workers.importer.mapping import FileFormat
from workers.importer.occurrences import OfTheFile, OfTheMoment
from workers.importer.records import Records
from workers.importer.report import Problem, UnusableInput

_GZIP = b"\x1f\x8b"


class Row(msgspec.Struct, frozen=True):
    """The mapped cells of one row in the order the mapping's columns give; a column that is not mapped is empty.

    The first two are always the deal and the time, the last the source's own id of the row. `key` is the row's
    identity, the same in every export of the source: a hash of source, kind and that id. Without one, of all cells
    of the row, mapped or not, and how many identical rows came before it in the file; so it does not depend on
    what the mapping takes from the row. Rows of one deal and time, as written, that follow one another in the
    file are of one `moment`, which is a number that no other rows of the file have.
    """

    line: int
    cells: tuple[str, ...]
    key: bytes
    moment: int

    @property
    def own_id(self) -> str:
        """What identifies the row at its source: the id there, else its key here."""
        return self.cells[-1] or str(UUID(bytes=self.key))

    @property
    def deal(self) -> str:
        """What the source calls the deal."""
        return self.cells[0]


class Share(NamedTuple):
    """The rows that one of several processes imports: all rows of some of the deals, `number` from 0.

    It is a range of what the deals' names hash to, from 0 to 1: from `first` to just before `beyond`.
    """

    number: int = 0
    first: float = 0.0
    beyond: float = 1.0

    def has(self, deal: str) -> bool:
        """Whether the rows of what the source calls the deal belong to it; space around the text says nothing."""
        if self.beyond - self.first == 1.0:
            return True
        return self.first <= crc32(deal.strip().encode(errors="surrogatepass")) / 2**32 < self.beyond


EVERYTHING = Share()


def shares(count: int, lead: float = 0.0) -> list[Share]:
    """So many shares that together are everything; the first has `lead`, a part of all, more than each other."""
    even = (1.0 - lead) / count
    bounds = [0.0, *(lead + even * number for number in range(1, count)), 1.0]
    return [Share(number, bounds[number], bounds[number + 1]) for number in range(count)]


def is_compressed(file: Path) -> bool:
    """Whether it is compressed by gzip."""
    with file.open("rb") as raw:
        return raw.read(2) == _GZIP


class ExportFile:
    """An open export. Iterating gives each row, or the problem with it; blank lines are passed over."""

    def __init__(self, raw: BinaryIO, path: Path, form: FileFormat, columns: tuple[str | None, ...]) -> None:
        self._raw = raw
        self._path = path
        self.size = path.stat().st_size
        self._encoding = form.encoding
        self._records = Records(_text(raw, form.encoding), form.delimiter)
        header = self._header()
        places = [self._place(header, name) for name in columns]
        self._pick: Callable[[list[str]], tuple[str, ...]] = itemgetter(*places)
        self._deal, self._at = places[:2]
        self._has_id = columns[-1] is not None

    @property
    def bytes_read(self) -> int:
        """How much of the file, as it lies on the disk, was read."""
        return self._raw.tell()

    def records(self) -> Iterator[tuple[int, tuple[str, ...] | Problem]]:
        """The line where each record begins, and its mapped cells.

        Raises UnusableInput when the file is damaged, for example cut off within its compression.
        """
        for line, record in self._whole():
            yield line, record if isinstance(record, Problem) else self._picked(record)

    def rows(self, source: str, kind: str, share: Share = EVERYTHING) -> Iterator[Row | Problem]:
        """Each record of the share with its identity; text that is not text is a problem."""
        salt, id_salt = f"{source}\0{kind}\0".encode(), f"{source}\0{kind}\0\0id\0".encode()
        occurrences = OfTheMoment() if kind == "history" else OfTheFile()
        deal, at, moment, ours = None, None, 0, False
        is_ours = cache(share.has)
        for line, record in self._whole():
            if isinstance(record, Problem):
                if share.has(record.deal):
                    yield record
                continue
            if record[self._deal] != deal:
                deal, at = record[self._deal], None
                ours = is_ours(deal)
            if record[self._at] != at:
                at, moment = record[self._at], moment + 1
            if not ours:
                continue
            cells, data = self._picked(record), _bytes(record)
            if data is None:  # some cell is no proper text; it matters only if it is mapped
                if problem := _improper(line, cells):
                    yield problem
                    continue
                data = repr(record).encode()
            if not self._has_id:
                digest = blake2b(salt + data, digest_size=16).digest()
                if before := occurrences.before(digest, cells):
                    digest = blake2b(digest + before.to_bytes(8), digest_size=16).digest()
            elif cells[-1]:
                digest = blake2b(id_salt + cells[-1].encode(), digest_size=16).digest()
            else:
                yield Problem(
                    line, "error", "no-id", cells[0], "has no id in the column that the mapping names"
                )
                continue
            yield Row(line, cells, digest, moment)

    def _whole(self) -> Iterator[tuple[int, list[str] | Problem]]:
        try:
            yield from self._records
        except (EOFError, OSError, zlib.error, UnicodeError) as error:
            raise UnusableInput(
                f"{self._path} is damaged after line {self._records.lines_read}: {error}."
                " What was imported before stays.",
                "export it anew, and import the whole file to go on",
            ) from error

    def _picked(self, record: list[str]) -> tuple[str, ...]:
        return self._pick([*record, ""])  # "" is what a column that is not mapped reads

    def _header(self) -> list[str]:
        try:
            header = self._records.header()
        except (EOFError, OSError, zlib.error, UnicodeError, csv.Error) as error:
            raise UnusableInput(f"{self._path} can not be read: {error}.") from error
        if not header:
            raise UnusableInput(f"{self._path} is empty; accepted: CSV with a header line.")
        return header

    def _place(self, header: list[str], name: str | None) -> int:
        if name is None:
            return len(header)
        if header.count(name) != 1:
            if _bytes(header) is None:
                raise UnusableInput(
                    f"{self._path} is not written in {self._encoding}.",
                    'name its encoding in the mapping, such as encoding = "utf-16" or "cp1252" in [file]',
                )
            fault = f"no column {name!r}" if name not in header else f"{header.count(name)} columns {name!r}"
            raise UnusableInput(f"{self._path} has {fault}; its columns are: {', '.join(header)}.")
        return header.index(name)


@contextmanager
def open_export(path: Path, form: FileFormat, columns: tuple[str | None, ...]) -> Iterator[ExportFile]:
    """Open an export for reading. Raises UnusableInput when it is no such file or lacks a mapped column."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise UnusableInput(f"{path}: {error.strerror}.") from error
    with raw:
        yield ExportFile(raw, path, form, columns)


def _bytes(record: list[str]) -> bytes | None:
    """All cells of a record; None when one holds a NUL or a byte that is not in the file's encoding."""
    try:
        data = "\0".join(record).encode()
    except UnicodeEncodeError:  # undecodable bytes were read as lone surrogates
        return None
    return data if data.count(b"\0") == len(record) - 1 else None


def _improper(line: int, cells: tuple[str, ...]) -> Problem | None:
    if any("\0" in cell for cell in cells):
        return Problem(line, "error", "nul-character", "", "holds a NUL character")
    if _bytes(list(cells)) is None:
        message = "holds bytes that are not in the encoding of the mapping"
        return Problem(line, "error", "invalid-encoding", "", message)
    return None


def _text(raw: BinaryIO, encoding: str) -> TextIOWrapper:
    start = raw.read(2)
    raw.seek(0)
    stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb")) if start == _GZIP else raw
    tolerant = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    return TextIOWrapper(stream, encoding=tolerant, errors="surrogateescape", newline="")
