"""Frames as Parquet files: written aside, row group by row group, and put under their names when all are whole."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from infra.failpoints import failpoint

ROW_GROUP = 65_536
_MODE = 0o600
"""Manager forecasts are in the files: nobody else on the machine reads them."""


class Files:
    """A folder that gets one file per frame. Without `finish` nothing in it changes.

    The bytes of a file depend on its rows and their order alone, not on the batches in which they came.
    """

    def __init__(self, folder: Path, schemas: Mapping[str, pa.Schema]) -> None:
        self._folder = folder
        self._schemas = schemas
        self._aside = folder / f".replay-{uuid4().hex}"
        self._frames: dict[str, _Frame] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._aside.mkdir(mode=0o700)
            for name, schema in self._schemas.items():
                self._frames[name] = _Frame(self._aside / f"{name}.parquet", schema)
        except BaseException:  # Ctrl-C, too
            self._clear()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def _clear(self) -> None:
        for frame in self._frames.values():
            frame.close()
        shutil.rmtree(self._aside, ignore_errors=True)

    def add(self, frame: str, batch: pa.RecordBatch) -> None:
        """The next rows of a frame."""
        self._frames[frame].add(batch)

    def finish(self, metadata: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[int, Path]]:
        """Complete the files with the metadata of each frame; rows and file of each. Replaces earlier files."""
        for name, frame in self._frames.items():
            frame.finish(metadata[name])
        _sync(self._aside)
        failpoint("replay.before_files")
        done = {}
        for name, frame in self._frames.items():
            path = self._folder / frame.path.name
            frame.path.replace(path)
            done[name] = (frame.rows, path)
        _sync(self._folder)
        return done


class _Frame:
    """One file that is being written; rows wait until they fill a row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.rows = path, 0
        self._schema, self._waiting, self._count = schema, list[pa.RecordBatch](), 0
        path.touch(_MODE)
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def add(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._count += len(batch)
        if self._count >= ROW_GROUP:
            self._write(self._count // ROW_GROUP * ROW_GROUP)

    def finish(self, metadata: Mapping[str, str]) -> None:
        if self._count:
            self._write(self._count)
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()
        _sync(self.path)

    def close(self) -> None:
        self._writer.close()

    def _write(self, rows: int) -> None:
        # Pages end where arrays do, so a row group is always one array per column.
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._writer.write_table(table.slice(0, rows).combine_chunks(), ROW_GROUP)
        rest = table.slice(rows).combine_chunks()
        self._waiting, self._count = rest.to_batches(), len(rest)
        self.rows += rows


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
