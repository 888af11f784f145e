"""What a process of a replay does: fold one range after the other into digests and, where wanted, columns."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from projections.engine.catalogue import chosen
from projections.engine.description import Projection
from projections.engine.digests import digest_of_rows
from projections.engine.replaying import Cut, Replayed, replay_range
from projections.engine.uncollected import uncollected
from projections.forecasts import PROJECTION as FORECASTS
from projections.funnel import PROJECTION as FUNNEL


class Job(msgspec.Struct, frozen=True):
    """What to fold. `cutoff`: where weekly rows end; `frames`: whether columns are wanted, too."""

    projections: tuple[str, ...]
    cut: Cut
    cutoff: datetime
    frames: bool


class Part(msgspec.Struct, frozen=True):
    """What came of a range: by table the digest of its rows as a number, by projection what parked, the columns."""

    digests: dict[str, int]
    parked: dict[str, int]
    batches: dict[str, Any]


WEEKLY = ("landmarks", "forecast_rows")
"""The frames made of deal versions and manager forecasts together, week by week."""


def weekly_wanted(projections: Sequence[str]) -> bool:
    """Whether there is what the weekly frames are made of."""
    return FUNNEL.name in projections and FORECASTS.name in projections


class Folder:
    """Folds ranges on a connection of its own."""

    def __init__(self, conn: Connection[Any], job: Job) -> None:
        self._conn, self._job = conn, job
        self._projections = chosen(list(job.projections))
        self._rules: Any = None

    def fold(self, first: UUID, last: UUID) -> Part:
        """The part of the partition keys from `first` to `last`."""
        with uncollected():
            return self._fold(first, last)

    def _fold(self, first: UUID, last: UUID) -> Part:
        replayed = replay_range(self._conn, first, last, self._job.cut, self._projections)
        digests: dict[str, int] = {}
        batches: dict[str, Any] = {}
        for projection in self._projections:
            self._add(projection, replayed[projection.name], digests, batches)
        if self._job.frames and weekly_wanted(self._job.projections):
            batches |= self._weekly(replayed)
        return Part(digests, {name: one.parked for name, one in replayed.items()}, batches)

    def _add(
        self, projection: Projection, replayed: Replayed, digests: dict[str, int], batches: dict[str, Any]
    ) -> None:
        for table in projection.tables:
            records = replayed.records(table)
            if not records:
                continue
            digests[table.name] = int(digest_of_rows([(table, records)]), 16)
            if self._job.frames:
                from workers.replay.columns import batch_of

                batches[table.name] = batch_of(table, records)

    def _weekly(self, replayed: dict[str, Replayed]) -> dict[str, Any]:
        from workers.replay.rules import rules_then
        from workers.replay.weekly_frames import weekly_frames

        if self._rules is None:
            self._rules = rules_then(self._conn, self._job.cut)
        states = replayed[FUNNEL.name].rows["deal_states"]
        forecasts = replayed[FORECASTS.name].rows["set_forecasts"]
        return weekly_frames(states, forecasts, self._rules, self._job.cutoff) if states else {}
