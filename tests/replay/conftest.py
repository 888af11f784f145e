"""Logs to fold again, and the files that come of it, read by a program that shares nothing with their writer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from infra.postgres import Server
from projections.engine.description import Table
from tests.projections.conftest import Playground

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def playground(database: Server) -> Playground:
    return Playground(database)


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own."""
    with duckdb.connect() as conn:
        yield conn


def rows_of(duck: duckdb.DuckDBPyConnection, folder: Path, frame: str) -> list[dict[str, Any]]:
    """The rows of a file, in its order."""
    file = [str(folder / f"{frame}.parquet")]
    types = {row[0]: row[1] for row in duck.execute("DESCRIBE FROM read_parquet(?)", file).fetchall()}
    times = [name for name, kind in types.items() if kind == "TIMESTAMP WITH TIME ZONE"]
    wanted = [f'epoch_us("{name}")' if name in times else f'"{name}"' for name in types]
    found = duck.execute(f"SELECT {', '.join(wanted)} FROM read_parquet(?)", file).fetchall()
    rows = [dict(zip(types, row, strict=True)) for row in found]
    for row in rows:
        row.update(
            {name: EPOCH + timedelta(microseconds=row[name]) for name in times if row[name] is not None}
        )
    return rows


def records_of(duck: duckdb.DuckDBPyConnection, folder: Path, table: Table) -> list[tuple[Any, ...]]:
    """The rows of a projection's table out of its file, as the digest takes them."""

    def value(column: Any, given: Any) -> Any:
        return UUID(given) if column.type == "uuid" and given is not None else given

    return [
        tuple(value(column, row[column.name]) for column in table.columns)
        for row in rows_of(duck, folder, table.name)
    ]


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every Parquet file of a folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
