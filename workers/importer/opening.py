"""How a deal is opened by the rows of its first moment, with or without a `created` row among them."""

from contextlib import suppress
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from domain.account import OpenAccount
from domain.deal import DealCommand, ExternalInput, OpenDeal
from workers.importer.mapping import Outcome
from workers.importer.meaning import CLOSE, Meanings
from workers.importer.place import Place
from workers.importer.plan import Plan
from workers.importer.report import BadRow
from workers.importer.rows import Row

ATTRIBUTES = {
    "amount": "amount",
    "expected_close": "expected_close",
    "owner": "owner",
    "name": "name",
    "account": "account_id",
    "product_line": "product_line",
    "customer_segment": "customer_segment",
    "region": "region",
}
"""Meanings that a deal can have from its opening, and the field of `OpenDeal` that holds them."""

FirstValues = dict[tuple[str, str], str]
"""(deal, field) as the source writes them, to the old value of the field's first change."""


class Opening(msgspec.Struct):
    """What the rows of a deal's first moment say.

    `told` are those that describe the opening itself, the `created` row first; `later` those that are changes
    already, with their meaning.
    """

    told: list[Row] = []
    later: list[tuple[Row, str]] = []
    created: Row | None = None
    given: Row | None = None
    """The row that gives the stage without an old one."""
    attributes: dict[str, Any] = {}

    @property
    def first(self) -> Row | None:
        """The row that stands for the opening; None when no row is good for one."""
        if self.told:
            return self.told[0]
        return self.later[0][0] if self.later else None

    def take(self, row: Row, meanings: Meanings) -> bool:
        """One more row of the moment; whether it means anything. Raises BadRow."""
        meaning = meanings.of(row)
        if meaning is None:
            return False
        if meaning == "created" and self.created is None:
            self.created = row
            self.told.insert(0, row)
        elif meaning == "stage" and self.given is None and not row.cells[4]:
            self.given = row
            self.told.append(row)
        elif (field := ATTRIBUTES.get(meaning)) and field not in self.attributes:
            self.attributes[field] = meanings.value(meaning, row.cells[5])
            self.told.append(row)
        else:
            self.later.append((row, meaning))
        return True


class Opener:
    """Opens deals. `first_values` is empty unless `where` is `look_ahead`."""

    def __init__(
        self,
        meanings: Meanings,
        source: str,
        first_values: FirstValues,
        where: Literal["first_rows", "look_ahead"],
    ) -> None:
        self._meanings = meanings
        self._source = source
        self._first_values = first_values
        self._look_ahead = where == "look_ahead"
        self.accounts: set[UUID] = set()
        """Those that are open, or will be by what was planned."""

    def read(self, plan: Plan, rows: list[Row]) -> Opening:
        """What the rows say; bad ones are refused, those of ignored fields counted."""
        opening = Opening()
        for row in rows:
            try:
                plan.ignored += not opening.take(row, self._meanings)
            except BadRow as bad:
                plan.refuse(row, bad)
        return opening

    def commands(
        self, opening: Opening, first: Row, deal_id: UUID, at: datetime
    ) -> tuple[Place, OpenDeal, tuple[DealCommand, ...]]:
        """Where the deal begins, and what opens and then closes it. Raises BadRow for an unknown stage."""
        stage, outcome = self._stage(opening, first)
        attributes = self._attributes(first, opening.attributes)
        command = OpenDeal(
            deal_id=deal_id,
            funnel=self._meanings.funnel,
            stage=stage,
            external=ExternalInput(source=self._source, id=first.deal),
            occurred_at=at,
            **{**attributes, "amount": self._meanings.money(attributes.get("amount"))},
        )
        known = {name: attributes.get(name) for name in ("amount", "expected_close", "owner")}
        place = Place(self._meanings.funnel, stage, outcome or "open", at, **known)
        if outcome is None:
            return place, command, ()
        return place, command, (CLOSE[outcome](deal_id=deal_id, occurred_at=at),)

    def account(self, deal: OpenDeal) -> tuple[OpenAccount, ...]:
        """What opens the deal's account, which must be there already unless it is named for the first time."""
        account_id = deal.account_id
        if account_id is None or account_id in self.accounts:
            return ()
        self.accounts.add(account_id)
        external = ExternalInput(source=self._source, id=self._meanings.source.accounts[account_id])
        return (OpenAccount(account_id=account_id, external=external, occurred_at=deal.occurred_at),)

    def accounts_of(self, rows: list[Row]) -> set[UUID]:
        """The accounts that the rows may open, and that are not known to be there."""
        fields = self._meanings.fields("account")
        texts = {row.cells[5] for row in rows if row.cells[3] in fields} if fields else set()
        if fields and self._first_values:
            texts.update(self._first_value(row.deal, "account") for row in rows)
        found = set()
        for text in texts:
            with suppress(BadRow):  # planning reports it
                found.add(self._meanings.value("account", text))
        return found - self.accounts - {None}

    def _stage(self, opening: Opening, first: Row) -> tuple[str, Outcome | None]:
        """The stage the deal was opened in, and the outcome when it was closed right away.

        The most certain of: a stage given at the same moment, the value of the created row, the old value of
        the first change of stage, the funnel's first stage.
        """
        if opening.given is not None:
            value = opening.given.cells[5]
        elif opening.created is not None and not self._look_ahead:
            value = opening.created.cells[5]
        else:
            moves = (row.cells[4] for row, meaning in opening.later if meaning == "stage")
            value = next(moves, "") or self._first_value(first.deal, "stage")
            if not value:
                return self._meanings.first_stage, None
        stage, outcome = self._meanings.stage(value)
        return stage or self._meanings.first_stage, outcome

    def _attributes(self, first: Row, told: dict[str, Any]) -> dict[str, Any]:
        """The attributes told, and those that later changes show to have been there."""
        if not self._look_ahead:
            return told
        found = dict(told)
        for meaning, field in ATTRIBUTES.items():
            if field not in found and (text := self._first_value(first.deal, meaning)):
                with suppress(BadRow):  # the change itself will be reported: its old value differs
                    found[field] = self._meanings.value(meaning, text)
        return found

    def _first_value(self, deal: str, meaning: str) -> str:
        texts = (self._first_values.get((deal, field), "") for field in self._meanings.fields(meaning))
        return next(filter(None, texts), "")
