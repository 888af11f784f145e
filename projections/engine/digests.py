"""Digests: what a projection holds, in one number that does not depend on how it came to be.

The digest of a projection is the sum modulo 2^256 of SHA-256 over each of its rows, so order does not matter. A row is
the UTF-8 JSON array `["<table>", <value>, ...]` of its business columns in the order of the row's fields, without
spaces, where

    a time is integer microseconds since 1970-01-01 UTC      a date is "YYYY-MM-DD"
    a decimal is its plain spelling as a string              a UUID is its canonical lower-case text
    a structured value has its object keys sorted            null is null

The table's name carries neither version nor generation. The engine's own column (the versions of the key's streams)
and the columns that a table declares as `processing` are not part of it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec
from psycopg import Connection, sql

from domain.event import Recorded
from domain.money import plain
from projections.engine.catalogue import chosen
from projections.engine.description import Projection, Table
from projections.engine.folding import Rows, by_key, fold_key
from projections.engine.records import readable, record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = msgspec.json.Encoder(order="sorted").encode
_ROWS_AT_ONCE = 10_000

Row = tuple[Any, ...]


def digest(conn: Connection[Any], projection: Projection, generation: int | None = None) -> str:
    """The digest of the live tables, or of those of one generation, in hex."""
    total = 0
    with conn.transaction():
        for table in projection.tables:
            named = projection.physical(table, generation) if generation else projection.view(table.name)
            query = sql.SQL("SELECT {} FROM {}").format(readable(table), named)
            with conn.cursor(name="digest") as cursor:
                cursor.itersize = _ROWS_AT_ONCE
                cursor.execute(query)
                total += _sum(table, cursor)
    return _hex(total)


def digest_of_rows(tables: Iterable[tuple[Table, Iterable[Row]]]) -> str:
    """The digest of rows held in memory, by their tables, in hex."""
    return _hex(sum(_sum(table, rows) for table, rows in tables))


def replay(events: Iterable[Recorded], projections: Sequence[Projection] | None = None) -> dict[str, str]:
    """Fold events in memory, without a database: each projection's digest by its name.

    The events may come in any order that keeps each stream's own.
    """
    groups = by_key(events)
    digests = {}
    for projection in projections or chosen():
        rows, heads = Rows(projection), []
        for own in groups.values():
            folded = fold_key(projection, None, {}, [e for e in own if e.topic in projection.topics])
            rows.add(folded.written)
            if folded.head is not None:
                heads.append(folded.head)
        tables = [(t, map(record(t), rows.inserted[t.row].values())) for t in projection.histories]
        if projection.head:
            tables.append((projection.head, map(record(projection.head), heads)))
        digests[projection.name] = digest_of_rows(tables)
    return digests


def _sum(table: Table, rows: Iterable[Row]) -> int:
    canonical = _canonical(table)
    return sum(int.from_bytes(sha256(canonical(row)).digest(), "big") for row in rows)


def _hex(total: int) -> str:
    return f"{total % 2**256:064x}"


@cache
def _canonical(table: Table) -> Callable[[Row], bytes]:
    business = [i for i, column in enumerate(table.columns) if column.name not in table.processing]
    kinds = [table.columns[i].type for i in business]
    spell = {place: _SPELLING[kind] for place, kind in enumerate(kinds) if kind in _SPELLING}

    def canonical(row: Row) -> bytes:
        values = [row[i] for i in business]
        for place, spelled in spell.items():
            if values[place] is not None:
                values[place] = spelled(values[place])
        return _encode([table.name, *values])

    return canonical


_SPELLING: dict[str, Callable[[Any], Any]] = {
    "timestamptz": lambda moment: (moment - _EPOCH) // _MICROSECOND,
    "numeric": plain,
    "json": msgspec.json.decode,
}
