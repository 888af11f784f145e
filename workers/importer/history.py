"""Rows of a field history to commands: each row is one change of one field of one deal."""

from datetime import datetime
from itertools import takewhile
from uuid import UUID

from domain.command import Command
from domain.deal import (
    AdvanceStage,
    DealCommand,
    RegressStage,
    RenameDeal,
    ReopenDeal,
    ReviseAmount,
    ReviseExpectedClose,
    ReviseOwner,
)
from domain.stream import rfc3339
from workers.importer.mapping import History, Mapping
from workers.importer.meaning import CLOSE, Meanings
from workers.importer.opening import FirstValues, Opener
from workers.importer.place import Place
from workers.importer.plan import Plan, Source
from workers.importer.report import BadRow
from workers.importer.rows import Row

_FIRST_ROWS = 50
"""How many rows of one moment may open a deal together."""


class HistoryPlanner:
    """Plans chunks of history rows. `places` holds the deals that exist, and is kept up to date by planning.

    Planning refuses whatever would be refused later, so that a row which is not taken moves no place.
    """

    def __init__(self, mapping: Mapping, history: History, source: Source, first_values: FirstValues) -> None:
        self._source = source
        self._meanings = Meanings(mapping, history, source)
        self._opener = Opener(self._meanings, source.name, first_values, history.opening)
        self.places: dict[UUID, Place] = {}

    @property
    def opener(self) -> Opener:
        """What opens the deals, and knows which accounts are there."""
        return self._opener

    def plan(self, rows: list[Row], now: datetime, plan: Plan) -> None:
        """Add to the plan what the rows come to. `now` is the database's clock: what lies after it is refused."""
        i = 0
        while i < len(rows):
            row = rows[i]
            i += 1
            try:
                meaning = self._meanings.of(row)
                if meaning is None:
                    plan.ignored += 1
                    continue
                deal_id, at = self._meanings.deal_and_time(row, now)
                place = self.places.get(deal_id)
                if place is not None:
                    self._change(plan, row, meaning, deal_id, place, at)
                    continue
            except BadRow as bad:
                plan.refuse(row, bad)
                continue
            moment = row.moment
            together = [row]
            together += takewhile(lambda r: r.moment == moment, rows[i : i + _FIRST_ROWS - 1])  # noqa: B023
            self._open(plan, together, deal_id, at)
            i += len(together) - 1

    # --- a deal that is not there yet

    def _open(self, plan: Plan, rows: list[Row], deal_id: UUID, at: datetime) -> None:
        """Open the deal by its first rows, all of one moment.

        They stay rows of their own in the ledger, so that a longer export adds only what it has more.
        """
        opening = self._opener.read(plan, rows)
        first, later = opening.first, opening.later
        if first is None:
            return
        try:
            place, opened, closed = self._opener.commands(opening, first, deal_id, at)
            commands: tuple[Command, ...] = (opened, *closed)
            self.places[deal_id] = place
            if not opening.told:
                row, _ = later.pop(0)  # without a row that tells of the opening, all are changes of stage
                commands += self._stage(plan, row, deal_id, place, at)
        except BadRow as bad:
            self.places[deal_id] = Place(self._meanings.funnel, self._meanings.first_stage, "unopened")
            plan.refuse(first, bad)
            because = BadRow("unopened-deal", f"the deal could not be opened, see line {first.line}")
            for row in [*opening.told, *(row for row, _ in later)]:
                if row is not first:
                    plan.refuse(row, because)
            return
        if opening.created is None and self._meanings.has_creation:
            plan.warn(first, "no-created-row", f"the deal {first.deal} has no created row; this one opens it")
        commands = self._opener.account(opened) + commands
        plan.opening.add(len(plan.requests))
        plan.add(first, self._source.request(first, commands, first.cells[2], at))
        for row in opening.told[1:]:
            plan.add(row, self._source.request(row, (), row.cells[2], at))
        for row, meaning in later:
            try:
                self._change(plan, row, meaning, deal_id, place, at)
            except BadRow as bad:
                plan.refuse(row, bad)

    # --- a deal that is there

    def _change(self, plan: Plan, row: Row, meaning: str, deal_id: UUID, place: Place, at: datetime) -> None:
        self._require_can_change(place, row, at)
        if meaning == "stage":
            commands = self._stage(plan, row, deal_id, place, at)
        else:
            commands = (self._attribute(plan, row, meaning, deal_id, place, at),)
        place.last = at
        plan.add(row, self._source.request(row, commands, row.cells[2], at))

    def _require_can_change(self, place: Place, row: Row, at: datetime) -> None:
        if place.status == "unopened":
            raise BadRow("unopened-deal", f"the deal {row.deal} could not be opened, see its first row")
        if place.funnel != self._meanings.funnel:
            raise BadRow(
                "other-funnel", f"the deal is in the funnel {place.funnel!r}, not {self._meanings.funnel!r}"
            )
        if place.last is not None and at < place.last:
            raise BadRow(
                "out-of-order",
                f"{row.cells[1]} lies before the deal's last change, {rfc3339(place.last)};"
                " accepted: each deal's rows in the order of time",
            )

    def _stage(
        self, plan: Plan, row: Row, deal_id: UUID, place: Place, at: datetime
    ) -> tuple[DealCommand, ...]:
        old, meanings = row.cells[4], self._meanings
        stage, outcome = meanings.stage(row.cells[5])
        if (
            place.status in CLOSE
            and outcome != place.status
            and meanings.has_old
            and not meanings.is_closed(old)
        ):
            raise BadRow(
                "change-after-close",
                f"the deal is {place.status} and the row does not reopen it: its old value is {old!r}",
            )
        stands = place.stage if place.status == "open" else place.status
        if meanings.has_old and meanings.stood(old) != stands:
            self._disagree(plan, row, stands)
        if stage is not None:
            command = self._move(deal_id, stage, place, at)
            place.stage, place.status = stage, "open"
            return (command,)
        assert outcome is not None, "a stage value is a stage or an outcome"
        close = CLOSE[outcome](deal_id=deal_id, occurred_at=at)
        was, place.status = place.status, outcome
        if was in ("open", outcome):
            return (close,)
        # From one outcome to another: open again for no time, in the stage it was closed in.
        return ReopenDeal(deal_id=deal_id, to_stage=place.stage, occurred_at=at), close

    def _move(self, deal_id: UUID, stage: str, place: Place, at: datetime) -> DealCommand:
        order = self._meanings.order
        if place.status != "open":
            return ReopenDeal(deal_id=deal_id, to_stage=stage, occurred_at=at)
        if order[stage] < order[place.stage]:
            return RegressStage(deal_id=deal_id, to_stage=stage, occurred_at=at)
        return AdvanceStage(deal_id=deal_id, to_stage=stage, occurred_at=at)

    def _attribute(
        self, plan: Plan, row: Row, meaning: str, deal_id: UUID, place: Place, at: datetime
    ) -> DealCommand:
        if meaning == "created":
            raise BadRow("deal-exists", f"the deal {row.deal} was opened before")
        if meaning in ("amount", "expected_close") and place.status != "open":
            raise BadRow(
                "change-after-close", f"the deal is {place.status}, its {meaning} does not change any more"
            )
        value = self._meanings.value(meaning, row.cells[5])
        match meaning:
            case "amount":
                money = self._meanings.money(value)
                command: DealCommand = ReviseAmount(deal_id=deal_id, amount=money, occurred_at=at)
            case "expected_close":
                command = ReviseExpectedClose(deal_id=deal_id, expected_close=value, occurred_at=at)
            case "owner":
                command = ReviseOwner(deal_id=deal_id, owner=value, occurred_at=at)
            case "name":
                if value is None:
                    raise BadRow("invalid-text", "a deal can not lose its name")
                return RenameDeal(deal_id=deal_id, name=value, occurred_at=at)
            case _:
                raise BadRow(
                    "only-at-opening",
                    f"{meaning} is taken only from rows of the deal's first moment, next to its first row",
                )
        self._compare(plan, row, meaning, getattr(place, meaning))
        setattr(place, meaning, value)
        return command

    # --- what the source believed before

    def _compare(self, plan: Plan, row: Row, meaning: str, known: object) -> None:
        if not self._meanings.has_old:
            return
        try:
            agrees = self._meanings.value(meaning, row.cells[4]) == known
        except BadRow:
            agrees = False
        if not agrees:
            self._disagree(plan, row, known)

    def _disagree(self, plan: Plan, row: Row, known: object) -> None:
        has = "nothing" if known is None else known
        plan.warn(
            row, "old-value-differs", f"{row.cells[3]}: the old value is {row.cells[4]!r}, the log has {has}"
        )
