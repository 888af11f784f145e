"""The rules that a replay needs beside a deal's own events: funnels, calendar and rate sets, as at any moment.

Folded from the playbook's stream by the live folds, and asked as the live queries ask their tables.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any, TypeVar

from psycopg import Connection

from domain.calendar import time_zone
from domain.playbook import STREAM_ID
from infra.log_reader import read_streams
from projections import playbook, rate_sets
from projections.engine.description import Projection, Table
from projections.engine.folding import Rows, fold_key
from projections.engine.replaying import Cut
from projections.playbook import FunnelDefinition, PlaybookSettings
from projections.rate_sets import AdoptedRateSet, Rates, in_force

Row = TypeVar("Row", FunnelDefinition, PlaybookSettings)


@dataclass(frozen=True)
class FunnelRules:
    """A funnel at a moment: its stages in order, later ones last, and after how many days a visit stalls."""

    dated: bool
    stall_after_days: dict[str, int]
    rate_set: AdoptedRateSet | None

    @cached_property
    def rates(self) -> Rates:
        """What the rate set in force gives to the funnel's deals."""
        return Rates(self.rate_set, self.stall_after_days)


class RulesThen:
    """The rules at any moment, as known at that moment; the first ones where history is older than they are."""

    def __init__(
        self,
        definitions: Iterable[FunnelDefinition],
        settings: Iterable[PlaybookSettings],
        adopted: Iterable[AdoptedRateSet],
    ) -> None:
        self._definitions: dict[str, list[FunnelDefinition]] = {}
        self._sets: dict[str, list[AdoptedRateSet]] = {}
        self._settings = list(settings)
        for definition in definitions:
            self._definitions.setdefault(definition.funnel, []).append(definition)
        for one in adopted:
            self._sets.setdefault(one.funnel, []).append(one)

    def zone(self, at: datetime) -> tzinfo:
        """The time zone of weeks and periods."""
        return time_zone(_then(self._settings, at).time_zone if self._settings else "UTC")

    def funnel(self, funnel: str, at: datetime) -> FunnelRules:
        """The funnel as it was defined; one that never was is undated, and none of its visits stalls."""
        adopted = in_force(self._sets.get(funnel, []), at, at)
        known = self._definitions.get(funnel)
        if known is None:
            return FunnelRules(False, {}, adopted)
        then = _then(known, at)
        stages = {s.key: s.stall_after_days for s in then.stages}
        later = {s.key: s.stall_after_days for s in known[-1].stages if s.key not in stages}
        return FunnelRules(then.dated, stages | later, adopted)


def rules_then(conn: Connection[Any], cut: Cut) -> RulesThen:
    """The rules of the log up to the cut's position, by its knowledge."""
    whole = Cut(cut.upto, knowledge=cut.knowledge)
    events = sorted(whole.of(read_streams(conn, [STREAM_ID], cut.upto)), key=lambda e: e.version)
    rows = _fold_of(events)
    book, sets = playbook.PROJECTION, rate_sets.PROJECTION
    definitions, settings = (rows(book, table) for table in book.histories)
    return RulesThen(definitions, settings, rows(sets, sets.histories[0]))


def _fold_of(events: list[Any]) -> Callable[[Projection, Table], list[Any]]:
    def rows(projection: Projection, table: Table) -> list[Any]:
        made = Rows(projection)
        made.add(fold_key(projection, None, {}, [e for e in events if e.topic in projection.topics]).written)
        return list(made.inserted[table.row].values())

    return rows


def _then(rows: list[Row], at: datetime) -> Row:
    """The row in force at the moment, else the first."""
    return next((row for row in rows if _stood(row, at)), rows[0])


def _stood(row: FunnelDefinition | PlaybookSettings, at: datetime) -> bool:
    over, known = row.next_occurred_at, row.next_known_at
    return max(row.occurred_at, row.known_at) <= at and not (
        over is not None and known is not None and max(over, known) <= at
    )
