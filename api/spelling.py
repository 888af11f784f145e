"""Single values of an answer: the way people read them in a window, and the way programs read them in CSV."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

MISSING = "-"
_UNCOUNTED = ("version", "epoch")
"""Numbers that name something instead of counting it."""
_FEW_IDS = 3
_AMOUNTS = (
    "amount", "won", "won_per_head", "f1_open", "f2_open", "f1_final", "f2_final", "difference", "actual",
    "f1_before", "f1_after", "f2_before", "f2_after", "f2", "p10", "p50", "p90",
)  # fmt: skip


def title(name: str) -> str:
    """A field's name over a column."""
    return name.replace(".", " ").replace("_", " ")


def is_money(value: Any) -> bool:
    """Whether it is an amount with its currency."""
    return isinstance(value, msgspec.Struct) and value.__struct_fields__ == ("amount", "currency")


def is_number(name: str, value: Any) -> bool:
    """Whether it stands at the right of its column; what is unknown may stand anywhere."""
    if isinstance(value, bool):
        return False
    return (
        value is None
        or isinstance(value, int | float | Decimal)
        or is_money(value)
        or _is_amount(name, value)
    )


def text(name: str, value: Any) -> str:
    """A value the way people read it."""
    if _is_amount(name, value):
        return f"{Decimal(value):,f}"
    if is_money(value):
        return f"{value.amount:,f} {value.currency}"
    for kind, spelled in _SPELLED.items():
        if isinstance(value, kind):
            return str(value) if kind is int and name.endswith(_UNCOUNTED) else spelled(value)
    return str(value)


def plain(value: Any) -> Any:
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
        return " ".join(str(plain(item)) for item in value)
    return msgspec.json.encode(value).decode()


def _is_amount(name: str, value: Any) -> bool:
    """Amounts come as decimal strings, which are exact."""
    if not name.endswith(_AMOUNTS) or not isinstance(value, str):
        return False
    return value.removeprefix("-").replace(".", "", 1).isdecimal()


def _phrase(data: Any) -> str:
    """The fields of an event in a few words: money by its amount, ids and references into the vault left out."""
    if not isinstance(data, dict):
        return str(data)
    if data.keys() == {"amount", "currency"}:
        return f"{Decimal(data['amount']):,f} {data['currency']}"
    said = {n: v for n, v in data.items() if v not in (None, [], {}) and not n.endswith("_id")}
    return ", ".join(
        f"{n[:-3]} {v / 60_000_000:g} min" if n.endswith("_us") else f"{title(n)} {_phrase(v)}"
        for n, v in said.items()
        if not (isinstance(v, dict) and "sha256" in v)
    )


def _items(values: Sequence[Any]) -> str:
    """What stands in a list; structs in a few words each. Of ids nobody reads more than a few: only their number."""
    if len(values) > _FEW_IDS and all(isinstance(value, UUID) for value in values):
        return f"{len(values):,} (ids: --format json)"
    said = [
        _phrase(msgspec.to_builtins(v)) if isinstance(v, msgspec.Struct) and not is_money(v) else text("", v)
        for v in values
    ]
    return ", ".join(said) or MISSING


_SPELLED: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: MISSING,
    bool: lambda value: "yes" if value else "no",
    datetime: lambda value: value.strftime("%Y-%m-%d %H:%M:%S") + "Z",
    int: lambda value: f"{value:,}",
    float: lambda value: f"{value:,.4f}",
    Decimal: lambda value: f"{value:,f}",
    msgspec.Raw: lambda value: _phrase(msgspec.json.decode(value)),
    list: _items,
    tuple: _items,
}
"""How a kind of value is spelt; a kind stands before those it is also one of (bool before int)."""
