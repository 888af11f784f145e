"""Answers for people: any struct as tables and lines, or as CSV. Nothing here knows any one query.

A struct's lists become tables, one row per entry; a struct whose fields are among a table's columns, such as
`total`, becomes that table's last row; what remains are lines above. Structs within rows become columns of their own.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from api.spelling import is_money, is_number, plain, text, title

_FOLDED = 16
"""The least width of a column of words."""
Row = dict[str, Any]

SHOWN: dict[str, tuple[str, ...]] = {
    "DealView": ("deal_id", "amount", "stage", "status", "owner", "name", "expected_close", "external_id"),
    "CellDeal": ("deal_id", "amount", "stage", "owner", "name", "external_id"),
    "TimelineEntry": ("version", "occurred_at", "topic", "data", "actor_id", "known_at"),
    "StageDwell": ("stage", "completed_visits", "mean_days", "median_days", "p75_days", "open_visits",
                   "kaplan_meier_median_days", "kaplan_meier_p75_days"),
    "DealInState": ("deal_id", "stage", "state", "age_days", "required_open", "amount", "owner", "name"),
    "OverdueDeal": ("deal_id", "stage", "age_days", "norm_days", "kaplan_meier_p75_days", "visits", "owner", "name"),
    "StaleDeal": ("deal_id", "stage", "last_confirmed_at", "amount", "expected_close", "owner", "name"),
    "CurveWeek": ("week", "value", "status", "refreshed", "weeks_since_assessed", "moved_by.topic", "gates"),
    "WinRateAlert": ("deal_id", "before", "now", "fall", "stage", "owner", "moved_by.topic", "name"),
    "ProjectionStatus": ("projection", "version", "state", "percent", "position", "lag", "lag_seconds", "applied", "ignored",
                         "parked_events", "complete"),
    "KeyedFigures": ("key", "won", "f1_open", "f2_open", "f1_final", "f2_final", "difference", "open_deals",
                     "open_amount", "won_deals"),
    "TeamFigures": ("team", "headcount", "won", "won_per_head", "f1_open", "f2_open", "f1_final", "f2_final",
                    "difference", "open_deals", "open_amount", "won_deals"),
    "Week": ("week", "won", "f1_open", "f2_open", "f1_final", "f2_final", "difference", "rate_set", "open_deals"),
    "AuditEntry": ("position", "occurred_at", "field", "old", "new", "actor_id", "actor_role", "f1_before", "f1_after",
                   "f2_before", "f2_after", "reason", "deal_id", "kind", "on_behalf_of", "after_lock", "rate_set"),
    "AdoptedRateSet": ("number", "effective_from", "actor_id", "reason", "position"),
    "StageBeside": ("stage", "deals", "amount", "f1_open", "shown.f2_open", "what_if.f2_open", "shown.stalled",
                    "what_if.stalled", "shown.pending_loss", "what_if.pending_loss", "shown.win_rate", "what_if.win_rate",
                    "shown.with_number", "what_if.with_number"),
    "Stage": ("key", "label.en", "label.zh", "macro_stage", "stall_after_days", "lose_after_days"),
}  # fmt: skip
"""Columns of the tables whose rows have more than fit a window; JSON and CSV have all of them."""


_EXPECTED = {"knowledge": "source", "claimed_events": 0}
"""Facts that a window shows only when they are something else; JSON has them always."""


def human(answer: Any, width: int) -> Iterable[RenderableType]:
    """The answer as lines and tables for a window of so many columns; what does not fit is named below."""
    fields = _fields(answer)
    tables = {name: [_flat(row) for row in value] for name, value in fields.items() if _is_rows(value)}
    totals = {name: value for name, value in fields.items() if tables and name.startswith("total")}
    facts = _flat({n: v for n, v in fields.items() if n not in tables and n not in totals})
    next_cursor = facts.pop("next_cursor", None)
    shown = {
        name: value
        for name, value in facts.items()
        if value is not None and value != () and value != _EXPECTED.get(name, ...)
    }
    if tables:
        for _, line in groupby(shown.items(), lambda fact: fact[0].rpartition(".")[0]):  # inner structs apart
            yield Text("  ".join(f"{title(n)} {text(n, v)}" for n, v in line), style="dim")
    else:
        yield _facts(shown)
    for name, rows in tables.items():
        if any(_is_rows(value) for row in rows for value in row.values()):
            for entry in fields[name]:
                yield Text()
                yield from human(entry, width)
            continue
        if len(tables) > 1:
            yield Text(title(name), style="bold")
        total = _flat(next(iter(totals.values()))) if totals else None
        if total and len(tables) > 1 and not (rows and total.keys() <= rows[0].keys()):
            total = None
        yield from _fitted(fields[name], rows, total, width)
    if next_cursor:
        yield Text(f"More: the same with --cursor {next_cursor}", style="dim")


def csv_text(answer: Any) -> str:
    """The rows of the answer's first list as CSV with a header line; without a list, one row of its fields."""
    fields = _fields(answer)
    lists = [value for value in fields.values() if _is_rows(value)]
    rows = [line for row in lists[0] for line in _unnested(_flat(row))] if lists else [_flat(fields)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = dict.fromkeys(name for row in rows for name in row)
    if names:
        writer.writerow(names)
        writer.writerows([plain(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def _fitted(entries: list[Any], rows: list[Row], total: Row | None, width: int) -> Iterator[RenderableType]:
    """As many of the columns, from the first on, as fit the width, and the names of the others."""
    if not rows:
        yield Text("Nothing to show.", style="dim")
        return
    chosen = SHOWN.get(type(entries[0]).__name__) or tuple(rows[0])
    names = [name for name in chosen if any(row.get(name) is not None for row in rows)]
    used, fit = 2, 0
    for name in names:
        used += 3 + (_width([*rows, total or {}], name) or _FOLDED)
        fit += used <= width or not fit
    yield _table(rows, total, names[:fit])
    if names[fit:]:
        yield Text(f"In a wider window also: {', '.join(map(title, names[fit:]))}.", style="dim")


def _width(rows: list[Row], name: str) -> int | None:
    """The width that a column can not do without; None where words may go to the next line."""
    if not all(is_number(name, row.get(name)) for row in rows) and not _is_word(rows, name):
        return None
    words = [*title(name).split(), *(text(name, row.get(name)) for row in rows)]
    return max(map(cell_len, words))


def _table(rows: list[Row], total: Row | None, names: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=total is not None)
    for name in names:
        table.add_column(
            title(name),
            justify="right" if all(is_number(name, row.get(name)) for row in rows) else "left",
            footer=text(name, total[name]) if total and name in total else "",
            width=_width([*rows, total or {}], name),
            overflow="fold",
        )
    if total is not None:
        first = table.columns[0]
        first.footer, first.width = "total", first.width and max(first.width, len("total"))
    for row in rows:
        table.add_row(*(Text(text(name, row.get(name))) for name in names))
    return table


def _facts(facts: Row) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(title(name), Text(text(name, value)))
    return table


def _fields(answer: Any) -> Row:
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, list | tuple):
        return {"rows": list(answer)}
    fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


def _is_rows(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if not value:
        return isinstance(value, list)
    return all(isinstance(item, msgspec.Struct | dict) for item in value)


def _flat(value: Any, prefix: str = "") -> Row:
    """One row: structs inside become columns named after both."""
    found: Row = {}
    for name, inner in _fields(value).items():
        if isinstance(inner, msgspec.Struct | dict) and not is_money(inner):
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


def _is_word(rows: list[Row], name: str) -> bool:
    """Whether the column holds keys, ids and times, which people copy and which must not be broken."""
    return all(
        len(text) <= 36 and text.count(" ") <= 1 for text in (text(name, row.get(name)) for row in rows)
    )
