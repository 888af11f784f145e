"""What the fields and values of a history mean: cells to values, by the mapping."""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from domain.deal import AbandonDeal, DealCommand, LoseDeal, WinDeal
from domain.money import MoneyInput
from workers.importer.mapping import History, Mapping, Outcome
from workers.importer.plan import Source
from workers.importer.report import BadRow
from workers.importer.rows import Row
from workers.importer.values import amount_parser, date_parser, label, personal_text, time_parser

_money = lru_cache(maxsize=10_000)(  # amounts repeat a lot
    lambda amount, currency: MoneyInput(amount=amount, currency=currency)
)

CLOSE: dict[str, Callable[..., DealCommand]] = {"won": WinDeal, "lost": LoseDeal, "abandoned": AbandonDeal}
"""The command that closes a deal, by its outcome."""


class Meanings:
    """Reads cells of history rows. Every method raises BadRow for what the mapping does not know."""

    def __init__(self, mapping: Mapping, history: History, source: Source) -> None:
        self._history = history
        self.source = source
        self._currency = mapping.currency
        self.funnel = mapping.funnel.key
        self.order = {stage.key: i for i, stage in enumerate(mapping.funnel.stages)}
        self.first_stage = mapping.funnel.stages[0].key
        self.has_old = history.columns.old is not None
        self.has_creation = "created" in history.fields.values()
        self._time = time_parser(mapping.time.formats, mapping.zone)
        self._values: dict[str, Callable[[str], Any]] = {
            "amount": amount_parser(mapping.numbers, mapping.currency),
            "expected_close": date_parser(mapping.time.date_formats, mapping.zone),
            "owner": label,
            "name": personal_text,
            "account": source.account_id,
            "product_line": label,
            "customer_segment": label,
            "region": label,
        }

    def of(self, row: Row) -> str | None:
        """What the row's field is to us; None when it is to be passed over."""
        field = row.cells[3]
        meaning = self._history.fields.get(field)
        if meaning is None and self._history.unknown_fields == "error":
            accepted = ", ".join(self._history.fields)
            raise BadRow("unknown-field", f"the field {field!r} is not in the mapping; accepted: {accepted}")
        return None if meaning == "ignore" else meaning

    def fields(self, meaning: str) -> list[str]:
        """The fields of the source that mean it."""
        return [field for field, m in self._history.fields.items() if m == meaning]

    def deal_and_time(self, row: Row, now: datetime) -> tuple[UUID, datetime]:
        """Which deal changed, and when, which must not be after now."""
        deal_id, at = self.source.deal_id(row.cells[0]), self._time(row.cells[1])
        if at > now:
            raise BadRow("in-the-future", f"{row.cells[1]} lies in the future")
        return deal_id, at

    def value(self, meaning: str, text: str) -> Any:
        """The value of an attribute; None for an empty cell."""
        return self._values[meaning](text) if text else None

    def money(self, amount: Any) -> MoneyInput | None:
        """An amount that `value` gave, in the mapping's currency."""
        return None if amount is None else _money(amount, self._currency)

    def stage(self, text: str) -> tuple[str | None, Outcome | None]:
        """The stage or else the outcome that a stage value names."""
        stage, outcome = self._history.stages.get(text), self._history.closed.get(text)
        if stage is None and outcome is None:
            accepted = ", ".join([*self._history.stages, *self._history.closed])
            raise BadRow("unknown-stage", f"the stage {text!r} is not in the mapping; accepted: {accepted}")
        return stage, outcome

    def is_closed(self, text: str) -> bool:
        """Whether a stage value names an outcome."""
        return text in self._history.closed

    def stood(self, text: str) -> str | None:
        """The stage key or outcome that an old stage value names, None when it names none."""
        return self._history.stages.get(text) or self._history.closed.get(text)
