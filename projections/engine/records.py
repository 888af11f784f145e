"""Rows on their way into and out of the database: heads loaded, rows written as JSON (live) or by COPY (rebuild)."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, adapters, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from projections.engine.description import Projection, Table
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
        if inserted := rows.inserted[table.row]:
            statement = sql.SQL(
                "INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::text::json)"
            ).format(table=physical)
            conn.execute(statement, [_encode(list(inserted.values())).decode()])
        if closed := rows.closed[table.row]:
            _close(conn, table, physical, closed)


def _close(conn: Connection[Any], table: Table, physical: sql.Identifier, closed: dict[Key, Key]) -> None:
    names = (*table.key, *table.closing)
    statement = sql.SQL(
        "UPDATE {table} t SET ({columns}) = ROW ({values})"
        " FROM json_populate_recordset(NULL::{table}, %s::text::json) c WHERE ({keys}) = ({ours})"
    ).format(
        table=physical,
        columns=sql.SQL(", ").join(map(sql.Identifier, table.closing)),
        values=sql.SQL(", ").join(sql.Identifier("c", n) for n in table.closing),
        keys=sql.SQL(", ").join(sql.Identifier("t", n) for n in table.key),
        ours=sql.SQL(", ").join(sql.Identifier("c", n) for n in table.key),
    )
    rows = [dict(zip(names, (*key, *values), strict=True)) for key, values in closed.items()]
    found = conn.execute(statement, [_encode(rows).decode()]).rowcount
    if found != len(rows):
        raise LookupError(f"{table.name}: {len(rows) - found} of {len(rows)} rows to close are not there")


def copy_in(
    conn: Connection[Any],
    projection: Projection,
    table: Table,
    generation: int,
    records: Sequence[tuple[Any, ...]],
) -> None:
    """Append rows as tuples to a table by COPY; a head's tuple ends with its streams."""
    if not records:
        return
    columns = [(c.name, c.type) for c in table.columns]
    if table is projection.head:
        columns.append((STREAMS, "json"))
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
