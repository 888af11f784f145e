"""Reading a file row by row, never whole: plain or gzip, with the identity that each row has for ever."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID

import msgspec

from workers.importer.mapping import FileFormat
from workers.importer.report import Problem, UnusableInput

_GZIP = b"\x1f\x8b"


class Row(msgspec.Struct, frozen=True):
    """The mapped cells of one row in the order the mapping's columns give; a column that is not mapped is empty.

    The first two are always the deal and the time. `key` is the row's identity: a hash of source, kind, cells
    and how many identical rows came before it, so the same row of another export of the same source has it too.
    """

    line: int
    cells: tuple[str, ...]
    key: UUID

    @property
    def deal(self) -> str:
        """What the source calls the deal."""
        return self.cells[0]

    @property
    def moment(self) -> tuple[str, str]:
        """The deal and the time as written: rows that belong together share it."""
        return self.cells[0], self.cells[1]


class ExportFile:
    """An open export. Iterating gives each row, or the problem with it; blank lines are passed over."""

    def __init__(self, raw: BinaryIO, path: Path, form: FileFormat, columns: tuple[str | None, ...]) -> None:
        self._raw = raw
        self._path = path
        self.size = path.stat().st_size
        self._reader = csv.reader(_text(raw, form.encoding), delimiter=form.delimiter)
        header = self._header()
        self._width = len(header)
        self._pick = itemgetter(*(self._place(header, name) for name in columns))

    @property
    def bytes_read(self) -> int:
        """How much of the file, as it lies on the disk, was read."""
        return self._raw.tell()

    def records(self) -> Iterator[tuple[int, tuple[str, ...] | Problem]]:
        """The line where each record begins, and its mapped cells.

        Raises UnusableInput when the file is damaged, for example cut off within its compression.
        """
        reader, pick, width = self._reader, self._pick, self._width
        line = reader.line_num + 1
        ended = False
        while not ended:
            try:
                for record in reader:
                    if len(record) == width:
                        record.append("")  # what a column that is not mapped reads
                        yield line, pick(record)
                    elif record:
                        yield line, self._wrong_width(line, len(record))
                    line = reader.line_num + 1
                ended = True
            except csv.Error as error:
                yield line, Problem(line, "error", "unreadable-row", "", f"is not CSV: {error}")
                line = reader.line_num + 1
            except (EOFError, OSError, zlib.error, UnicodeError) as error:
                raise UnusableInput(
                    f"{self._path} is damaged after line {reader.line_num}: {error}. "
                    "What was imported before stays; import the whole file to go on."
                ) from error

    def rows(self, source: str, kind: str) -> Iterator[Row | Problem]:
        """Each record with its identity; text that is not text is a problem."""
        salt = f"{source}\0{kind}\0".encode()
        moment, seen = "", dict[bytes, int]()
        for line, cells in self.records():
            if isinstance(cells, Problem):
                yield cells
                continue
            try:
                data = "\0".join(cells).encode()
            except UnicodeEncodeError:  # undecodable bytes were read as lone surrogates
                yield Problem(
                    line,
                    "error",
                    "invalid-encoding",
                    "",
                    "holds bytes that are not in the encoding of the mapping",
                )
                continue
            if data.count(b"\0") != len(cells) - 1:
                yield Problem(line, "error", "nul-character", "", "holds a NUL character")
                continue
            digest = blake2b(salt + data, digest_size=16).digest()
            if cells[1] != moment:
                moment = cells[1]
                seen.clear()  # identical rows have the same time, and so lie together
            before = seen.get(digest, 0)
            seen[digest] = before + 1
            if before:
                digest = blake2b(digest + before.to_bytes(8), digest_size=16).digest()
            yield Row(line, cells, UUID(bytes=digest))

    def _header(self) -> list[str]:
        try:
            header = next(self._reader, None)
        except (EOFError, OSError, zlib.error, UnicodeError, csv.Error) as error:
            raise UnusableInput(f"{self._path} can not be read: {error}.") from error
        if not header:
            raise UnusableInput(f"{self._path} is empty; accepted: CSV with a header line.")
        return header

    def _place(self, header: list[str], name: str | None) -> int:
        if name is None:
            return len(header)
        if header.count(name) != 1:
            fault = f"no column {name!r}" if name not in header else f"{header.count(name)} columns {name!r}"
            raise UnusableInput(f"{self._path} has {fault}; its columns are: {', '.join(header)}.")
        return header.index(name)

    def _wrong_width(self, line: int, width: int) -> Problem:
        return Problem(
            line, "error", "wrong-columns", "", f"has {width} columns, the header has {self._width}"
        )


@contextmanager
def open_export(path: Path, form: FileFormat, columns: tuple[str | None, ...]) -> Iterator[ExportFile]:
    """Open an export for reading. Raises UnusableInput when it is no such file or lacks a mapped column."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise UnusableInput(f"{path}: {error.strerror}.") from error
    with raw:
        yield ExportFile(raw, path, form, columns)


def _text(raw: BinaryIO, encoding: str) -> TextIOWrapper:
    start = raw.read(2)
    raw.seek(0)
    stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb")) if start == _GZIP else raw
    tolerant = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    return TextIOWrapper(stream, encoding=tolerant, errors="surrogateescape", newline="")
