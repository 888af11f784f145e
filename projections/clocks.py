"""SQL for both clocks, and rows out of the tables as the structs that they are.

Placeholders: `as_of`, and `known_at` where there is a K.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from psycopg import sql

from projections.engine.description import Projection, Table


def happened(
    alias: str, known_at: datetime | None, occurred: str = "occurred_at", known: str = "known_at"
) -> sql.Composed:
    """The row's event lies before T and was known at K."""
    return sql.SQL("{a}.{occurred} <= %(as_of)s{known}").format(
        a=sql.Identifier(alias),
        occurred=sql.Identifier(occurred),
        known=sql.SQL(" AND {}.{} <= %(known_at)s").format(sql.Identifier(alias), sql.Identifier(known))
        if known_at
        else sql.SQL(""),
    )


def not_followed(
    alias: str, known_at: datetime | None, occurred: str = "next_occurred_at", known: str = "next_known_at"
) -> sql.Composed:
    """What ended the row's time had not happened by T, or was not known at K."""
    return sql.SQL("({a}.{occurred} IS NULL OR {a}.{occurred} > %(as_of)s{known})").format(
        a=sql.Identifier(alias),
        occurred=sql.Identifier(occurred),
        known=sql.SQL(" OR {}.{} > %(known_at)s").format(sql.Identifier(alias), sql.Identifier(known))
        if known_at
        else sql.SQL(""),
    )


def in_force(alias: str, known_at: datetime | None) -> sql.Composed:
    """The row was in force as of T, as known at K."""
    return sql.SQL("{} AND {}").format(happened(alias, known_at), not_followed(alias, known_at))


def position_of(*projections: Projection) -> sql.Composed:
    """SQL for the position that the live generations of all of them reflect."""
    return sql.SQL("least({})").format(sql.SQL(", ").join(p.position for p in projections))


def columns(table: Table, alias: str) -> sql.Composed:
    """All columns of a table under an alias, in the order of its row's fields, for `struct_of`."""
    return sql.SQL(", ").join(
        sql.SQL("{}::text" if c.type == "json" else "{}").format(sql.Identifier(alias, c.name))
        for c in table.columns
    )


@cache
def struct_of(table: Table) -> Callable[[Sequence[Any]], Any]:
    """A function that makes the row of what `columns` selected."""
    decoders = {
        i: msgspec.json.Decoder(c.python).decode for i, c in enumerate(table.columns) if c.type == "json"
    }

    def build(values: Sequence[Any]) -> Any:
        return table.row(
            *(decoders[i](v) if i in decoders and v is not None else v for i, v in enumerate(values))
        )

    return build
