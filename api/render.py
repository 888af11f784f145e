"""Answers for people: any struct as tables and lines, or as CSV. Nothing here knows any one query.

A struct's lists become tables, one row per entry; a struct whose fields are among a table's columns, such as
`total`, becomes that table's last row; what remains are lines above. Structs within rows become columns of their own.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

MISSING = "-"
_FOLDED = 16
"""The least width of a column of words."""
Row = dict[str, Any]

SHOWN: dict[str, tuple[str, ...]] = {
    "DealView": ("deal_id", "amount", "stage", "status", "owner", "name", "expected_close", "external_id"),
    "CellDeal": ("deal_id", "amount", "stage", "owner", "name", "external_id"),
    "TimelineEntry": ("version", "occurred_at", "topic", "data", "actor_id", "known_at"),
    "StageDwell": ("stage", "completed_visits", "mean_days", "median_days", "p75_days", "open_visits",
                   "kaplan_meier_median_days", "kaplan_meier_p75_days"),
    "ProjectionStatus": ("projection", "version", "state", "position", "lag", "lag_seconds", "applied", "ignored",
                         "parked_events", "complete"),
    "Stage": ("key", "label.en", "label.zh", "macro_stage", "stall_after_days", "lose_after_days"),
}  # fmt: skip
"""Columns of the tables whose rows have more than fit a window; JSON and CSV have all of them."""


def human(answer: Any, width: int) -> Iterable[RenderableType]:
    """The answer as lines and tables for a window of so many columns; what does not fit is named below."""
    fields = _fields(answer)
    tables = {name: [_flat(row) for row in value] for name, value in fields.items() if _is_rows(value)}
    totals = {name: value for name, value in fields.items() if tables and name.startswith("total")}
    facts = _flat({n: v for n, v in fields.items() if n not in tables and n not in totals})
    next_cursor = facts.pop("next_cursor", None)
    shown = {name: value for name, value in facts.items() if value is not None and value != ()}
    if tables:
        yield Text("  ".join(f"{_title(n)} {_text(n, v)}" for n, v in shown.items()), style="dim")
    else:
        yield _facts(shown)
    for name, rows in tables.items():
        if any(_is_rows(value) for row in rows for value in row.values()):
            for entry in fields[name]:
                yield Text()
                yield from human(entry, width)
            continue
        main = name == max(tables, key=lambda n: len(tables[n]))
        last = _flat(next(iter(totals.values()))) if totals and main else None
        if len(tables) > 1:
            yield Text(_title(name), style="bold")
        shown_columns = SHOWN.get(type(fields[name][0]).__name__) if rows else None
        names = [n for n in shown_columns or rows[0] if any(row.get(n) is not None for row in rows)] if rows else []
        fit = _fitting(rows, names, width)
        yield _table(rows, last, fit) if rows else Text("Nothing to show.", style="dim")
        if len(fit) < len(names):
            yield Text(f"In a wider window also: {', '.join(map(_title, names[len(fit) :]))}.", style="dim")
    if next_cursor:
        yield Text(f"More: the same with --cursor {next_cursor}", style="dim")


def csv_text(answer: Any) -> str:
    """The rows of the answer's first list as CSV with a header line; without a list, one row of its fields."""
    fields = _fields(answer)
    lists = [value for value in fields.values() if _is_rows(value)]
    rows = [line for row in lists[0] for line in _unnested(_flat(row))] if lists else [_flat(fields)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows([_plain(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _fitting(rows: list[Row], names: list[str], width: int) -> list[str]:
    """As many of the columns, from the first on, as fit the width; at least one."""
    used, fit = 2, []
    for name in names:
        used += 3 + (_width(rows, name) or _FOLDED)
        if used > width and fit:
            break
        fit.append(name)
    return fit


def _width(rows: list[Row], name: str) -> int | None:
    """The width that a column can not do without; None where words may go to the next line."""
    if not all(_is_number(name, row.get(name)) for row in rows) and not _is_word(rows, name):
        return None
    longest_word = max(map(len, _title(name).split()))
    return max(longest_word, *(len(_text(name, row.get(name))) for row in rows))


def _table(rows: list[Row], last: Row | None, names: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=last is not None)
    for name in names:
        number = all(_is_number(name, row.get(name)) for row in rows)
        foot = "" if last is None else _text(name, last[name]) if name in last else "total" if name == names[0] else ""
        table.add_column(
            _title(name),
            justify="right" if number else "left",
            footer=foot,
            min_width=_width(rows, name),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(_text(name, row.get(name))) for name in names))
    return table


def _facts(facts: Row) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(_title(name), Text(_text(name, value)))
    return table


def _fields(answer: Any) -> Row:
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, list | tuple):
        return {"rows": list(answer)}
    return {name: getattr(answer, name) for name in answer.__struct_fields__}


def _is_rows(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return isinstance(value, list) if not value else all(isinstance(item, msgspec.Struct | dict) for item in value)


def _flat(value: Any, prefix: str = "") -> Row:
    """One row: structs inside become columns named after both."""
    found: Row = {}
    for name, inner in _fields(value).items():
        if isinstance(inner, msgspec.Struct | dict) and not _is_money(inner):
            found.update(_flat(inner, f"{prefix}{name}."))
        else:
            found[prefix + name] = inner
    return found


def _unnested(row: Row) -> list[Row]:
    """A row that holds rows becomes as many, each with its other columns in front."""
    inner = next((name for name, value in row.items() if value and _is_rows(value)), None)
    if inner is None:
        return [row]
    outer = {name: value for name, value in row.items() if name != inner}
    return [{**outer, **_flat(entry, f"{inner}.")} for entry in row[inner]]


def _is_money(value: Any) -> bool:
    return isinstance(value, msgspec.Struct) and value.__struct_fields__ == ("amount", "currency")


def _title(name: str) -> str:
    words = name.replace(".", " ").replace("_", " ")
    return words.removesuffix(" us") + " (days)" if words.endswith(" us") else words


def _is_number(name: str, value: Any) -> bool:
    if value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool)) or _is_money(value):
        return True
    return isinstance(value, timedelta) or _as_decimal(name, value) is not None


def _is_word(rows: list[Row], name: str) -> bool:
    """Whether the column holds keys, ids and times, which people copy and which must not be broken."""
    return all(len(text) <= 36 and text.count(" ") <= 1 for text in (_text(name, row.get(name)) for row in rows))


def _as_decimal(name: str, value: Any) -> Decimal | None:
    """Amounts and durations may come as decimal strings, which are exact."""
    numeric = name.rpartition(".")[2].endswith(("amount", "_days", "mean", "median"))
    if numeric and isinstance(value, str) and value.replace(".", "", 1).lstrip("-").isdigit():
        return Decimal(value)
    return None


def _text(name: str, value: Any) -> str:
    """A value the way people read it."""
    decimal = _as_decimal(name, value)
    match value:
        case None:
            return MISSING
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S") + "Z"
        case timedelta():
            return f"{value / timedelta(days=1):,.4f}"
        case int() if name.endswith("_us"):
            return f"{value / 86_400_000_000:,.4f}"
        case int() if not name.endswith(("version", "epoch")):
            return f"{value:,}"
        case float():
            return f"{value:,.4f}"
        case Decimal():
            return f"{value:,f}"
        case str() if decimal is not None:
            return f"{decimal:,f}"
        case msgspec.Raw():
            return _phrase(msgspec.json.decode(value))
        case list() | tuple():
            return ", ".join(_text(name, item) for item in value) or MISSING
        case _ if _is_money(value):
            return f"{value.amount:,f} {value.currency}"
    return str(value)


def _phrase(data: Any) -> str:
    """The fields of an event in a few words: money by its amount, references into the vault left out."""
    if not isinstance(data, dict):
        return str(data)
    if data.keys() == {"amount", "currency"}:
        return f"{Decimal(data['amount']):,f} {data['currency']}"
    kept = {n: v for n, v in data.items() if v not in (None, [], {}) and not (isinstance(v, dict) and "sha256" in v)}
    return ", ".join(f"{_title(n)} {_phrase(v)}" for n, v in kept.items() if not n.endswith("_id"))


def _plain(value: Any) -> Any:
    """A value the way programs read it, as in the JSON."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Sequence):
        return " ".join(str(_plain(item)) for item in value)
    return msgspec.json.encode(value).decode()
