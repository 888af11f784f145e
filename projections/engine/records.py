"""Rows on their way into and out of the database: heads loaded, rows written as JSON (live) or by COPY (rebuild)."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import astuple
from psycopg import Connection, adapters, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from projections.engine.description import CLOSING_WITNESSED_AT, WITNESSED_AT, Projection, Table
from projections.engine.folding import Key, Rows
from projections.engine.tables import STREAMS

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode_streams = msgspec.json.Decoder(dict[UUID, int]).decode

Heads = dict[UUID, tuple[Any, dict[UUID, int]]]
"""By partition key: the head, and the last version of each of its streams."""


def load_heads(conn: Connection[Any], projection: Projection, generation: int, keys: list[UUID]) -> Heads:
    """The heads that exist among some partition keys, by one query."""
    head = projection.head
    if head is None or not keys:
        return {}
    (key,) = head.key
    query = sql.SQL("SELECT {}, {}::text, {} FROM {} WHERE {} = ANY(%b)").format(
        sql.Identifier(key),
        sql.Identifier(STREAMS),
        readable(head),
        projection.physical(head, generation),
        sql.Identifier(key),
    )
    build = _builder(head)
    return {
        key: (build(values), _decode_streams(streams))
        for key, streams, *values in conn.execute(query, [keys]).fetchall()
    }


def readable(table: Table) -> sql.Composed:
    """The columns to select so that a row comes as `record` makes it: JSON as its text."""
    return sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(c.name)) if c.type == "json" else sql.Identifier(c.name)
        for c in table.columns
    )


def write_heads(conn: Connection[Any], projection: Projection, generation: int, heads: Heads) -> None:
    """Insert or replace head rows, by one statement."""
    table = projection.head
    if table is None or not heads:
        return
    rows = [
        _encode(head)[:-1] + b',"' + STREAMS.encode() + b'":' + _encode(streams) + b"}"
        for head, streams in heads.values()
        if head is not None
    ]
    columns = [sql.Identifier(n) for n in (*table.names, STREAMS) if n not in table.key]
    statement = sql.SQL(
        "INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::text::json)"
        " ON CONFLICT ({key}) DO UPDATE SET ({columns}) = ROW ({values})"
    ).format(
        table=projection.physical(table, generation),
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(sql.SQL("EXCLUDED.{}").format(c) for c in columns),
    )
    conn.execute(statement, [(b"[" + b",".join(rows) + b"]").decode()])


def write_rows(conn: Connection[Any], projection: Projection, generation: int, rows: Rows) -> None:
    """Insert and close history rows, by one statement for each table and kind."""
    for table in projection.histories:
        physical = projection.physical(table, generation)
        if rows.inserted[table.row]:
            statement = sql.SQL(
                "INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::text::json)"
            ).format(table=physical)
            conn.execute(statement, [_encode(_rows(table, rows)).decode()])
        if closed := rows.closed[table.row]:
            _close(conn, table, physical, closed)


def _rows(table: Table, rows: Rows) -> list[Any]:
    """What was inserted, with the engine's own columns where there is something in them."""
    inserted, opened, closed = _inserted(table, rows)
    if not closed and not any(opened):
        return list(inserted.values())
    return [
        msgspec.structs.asdict(row) | {WITNESSED_AT: at, CLOSING_WITNESSED_AT: closed.get(number)}
        for (number, row), at in zip(inserted.items(), opened, strict=True)
    ]


def _inserted(table: Table, rows: Rows) -> tuple[dict[Key, Any], list[datetime | None], dict[Key, datetime]]:
    """What was inserted, and when the log took in what opened and closed it, where a source claims to have been first."""
    return rows.inserted[table.row], rows.witnessed[table.row], rows.closing_witnessed[table.row]


def _close(conn: Connection[Any], table: Table, physical: sql.Identifier, closed: dict[Key, Key]) -> None:
    names = (*table.key, *table.closing, CLOSING_WITNESSED_AT)
    closing = [n for n in names if n in table.closing or n in table.witnesses]
    statement = sql.SQL(
        "UPDATE {table} t SET ({columns}) = ROW ({values})"
        " FROM json_populate_recordset(NULL::{table}, %s::text::json) c WHERE ({keys}) = ({ours})"
    ).format(
        table=physical,
        columns=sql.SQL(", ").join(map(sql.Identifier, closing)),
        values=sql.SQL(", ").join(sql.Identifier("c", n) for n in closing),
        keys=sql.SQL(", ").join(sql.Identifier("t", n) for n in table.key),
        ours=sql.SQL(", ").join(sql.Identifier("c", n) for n in table.key),
    )
    rows = [dict(zip(names, (*key, *values), strict=True)) for key, values in closed.items()]
    found = conn.execute(statement, [_encode(rows).decode()]).rowcount
    if found != len(rows):
        raise LookupError(f"{table.name}: {len(rows) - found} of {len(rows)} rows to close are not there")


def copy_rows(conn: Connection[Any], projection: Projection, generation: int, rows: Rows) -> None:
    """Append what was inserted to the history tables by COPY."""
    for table in projection.histories:
        inserted, opened, closed = _inserted(table, rows)
        own = table.witnesses if closed or any(opened) else ()
        records: list[tuple[Any, ...]]
        if CLOSING_WITNESSED_AT in own:
            closing = closed.get
            records = [
                astuple(row) + (_as_stored(at), _as_stored(closing(number)))  # noqa: RUF005 -- half the time
                for (number, row), at in zip(inserted.items(), opened, strict=True)
            ]
        elif own:
            records = [
                astuple(row) + (_as_stored(at),)  # noqa: RUF005 -- likewise
                for row, at in zip(inserted.values(), opened, strict=True)
            ]
        else:
            records = list(map(astuple, inserted.values()))
        copy_in(conn, projection, table, generation, records, [(name, "int8") for name in own])


@lru_cache(4096)
def _as_stored(moment: datetime | None) -> int | None:
    """A time as PostgreSQL's binary form has it, written as the integer that it is: much quicker than as a time.

    What came in together was recorded at one time, so it is mostly known already.
    """
    return None if moment is None else (moment - _YEAR_2000) // _MICROSECOND


_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def copy_in(
    conn: Connection[Any],
    projection: Projection,
    table: Table,
    generation: int,
    records: Sequence[tuple[Any, ...]],
    own: Sequence[tuple[str, str]] = (),
) -> None:
    """Append rows as tuples to a table by COPY; they end with the values of the engine's `own` columns (name, type)."""
    if not records:
        return
    columns = [*((c.name, c.type) for c in table.columns), *own]
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        projection.physical(table, generation),
        sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
    )
    with conn.cursor() as cursor:
        cursor.adapters.register_dumper(None, _JsonDumper)
        with cursor.copy(statement) as copy:
            copy.set_types([kind for _, kind in columns])
            write = copy.write_row
            for record in records:
                write(record)


class _JsonDumper(Dumper):
    """Anything structured as PostgreSQL's json, whose binary form is its text."""

    format = Format.BINARY
    oid = adapters.types["json"].oid
    dump = staticmethod(_encode)  # type: ignore[assignment]  # without a frame of Python's between


@cache
def record(table: Table) -> Callable[[Any], tuple[Any, ...]]:
    """A function that makes the tuple of column values of a row: structured ones as JSON text."""
    structured = [i for i, c in enumerate(table.columns) if c.type == "json"]
    if not structured:
        return msgspec.structs.astuple

    def with_json(row: Any) -> tuple[Any, ...]:
        values = list(msgspec.structs.astuple(row))
        for i in structured:
            if values[i] is not None:
                values[i] = _encode(values[i]).decode()
        return tuple(values)

    return with_json


@cache
def _builder(table: Table) -> Callable[[list[Any]], Any]:
    """A function that makes the row of its column values as they come from the database."""
    row = table.row
    decoders = {
        i: msgspec.json.Decoder(c.python).decode for i, c in enumerate(table.columns) if c.type == "json"
    }

    def build(values: list[Any]) -> Any:
        for i, decode in decoders.items():
            if values[i] is not None:
                values[i] = decode(values[i])
        return row(*values)

    return build
