"""Rows of projections as Arrow columns.

A UUID and a structured value (JSON) become text, which every reader of Parquet takes; a decimal has 15 digits before
the point and 4 after it, which holds every amount and win rate; a time is UTC microseconds.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
import pyarrow as pa

from projections.engine.description import Table

MONEY = pa.decimal128(19, 4)
RATE = pa.decimal128(7, 6)
TIME = pa.timestamp("us", tz="UTC")

_TYPES: dict[str, pa.DataType] = {
    "uuid": pa.string(),
    "text": pa.string(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "timestamptz": TIME,
    "date": pa.date32(),
    "numeric": MONEY,
    "json": pa.string(),
}


@cache
def schema_of(table: Table) -> pa.Schema:
    """The columns of a table, in the order of its row's fields."""
    return pa.schema([pa.field(c.name, _TYPES[c.type], c.nullable) for c in table.columns])


def batch_of(table: Table, records: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    """Records, as `projections.engine.records.record` makes them, in columns."""
    schema = schema_of(table)
    values = zip(*records, strict=True) if records else ((),) * len(schema)
    spelled = _spellings(table)
    arrays = [
        pa.array(spell(column), field.type)
        for spell, column, field in zip(spelled, values, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def texts(ids: Sequence[Any]) -> Any:
    """UUIDs as their canonical texts."""
    return msgspec.to_builtins(list(ids))


@cache
def _spellings(table: Table) -> tuple[Callable[[Sequence[Any]], Any], ...]:
    return tuple(texts if c.type == "uuid" else _as_they_are for c in table.columns)


def _as_they_are(values: Sequence[Any]) -> Sequence[Any]:
    return values
