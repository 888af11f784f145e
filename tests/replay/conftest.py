"""Logs to fold again, and the files that come of it, read by a program that shares nothing with their writer."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.postgres import Server
from projections.engine.description import Table
from tests.projections.conftest import Playground

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def playground(database: Server) -> Playground:
    return Playground(database)


class Duck:
    """DuckDB reading the files of a folder."""

    def __init__(self) -> None:
        import duckdb

        self._conn = duckdb.connect()

    def rows(self, folder: Path, frame: str) -> list[dict[str, Any]]:
        """The rows of a file, in its order."""
        types = self.types(folder, frame)
        times = [name for name, kind in types.items() if kind == "TIMESTAMP WITH TIME ZONE"]
        wanted = [f'epoch_us("{name}")' if name in times else f'"{name}"' for name in types]
        found = self.ask(f"SELECT {', '.join(wanted)} FROM read_parquet(?)", folder, frame)
        rows = [dict(zip(types, row, strict=True)) for row in found]
        for row in rows:
            row.update(
                {name: EPOCH + timedelta(microseconds=row[name]) for name in times if row[name] is not None}
            )
        return rows

    def records(self, folder: Path, table: Table) -> list[tuple[Any, ...]]:
        """The rows of a projection's table out of its file, as the digest takes them."""
        ids = {column.name for column in table.columns if column.type == "uuid"}
        return [
            tuple(
                UUID(row[name]) if name in ids and row[name] is not None else row[name]
                for name in table.names
            )
            for row in self.rows(folder, table.name)
        ]

    def types(self, folder: Path, frame: str) -> dict[str, str]:
        """The columns of a file and their types."""
        return {row[0]: row[1] for row in self.ask("DESCRIBE FROM read_parquet(?)", folder, frame)}

    def told(self, folder: Path, frame: str) -> dict[str, str]:
        """What the file says of itself."""
        found = self.ask("SELECT key, value FROM parquet_kv_metadata(?)", folder, frame)
        return {key.decode(): value.decode() for key, value in found if key.startswith(b"dealtrace.")}

    def ask(self, query: str, folder: Path, frame: str) -> list[tuple[Any, ...]]:
        """What a query finds whose one parameter is the file."""
        return self._conn.execute(query, [str(folder / f"{frame}.parquet")]).fetchall()

    def close(self) -> None:
        self._conn.close()


@pytest.fixture
def duck() -> Iterator[Duck]:
    """A reader that has nothing in common with the writer."""
    with closing(Duck()) as reader:
        yield reader


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every Parquet file of a folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
