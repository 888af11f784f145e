"""The deals of a funnel that were open at the end of each week, as known then: from versions to rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from domain.calendar import weeks_between
from domain.recalibration.columns import DAY, Flags, Ints, ints
from domain.recalibration.histories import ABANDONED, LOST, NO_MONTH, WON, Histories
from domain.recalibration.landmarks import EPOCH, Landmarks, landmarks, microseconds
from projections.deal_states import DealState
from workers.replay.columns import MONEY, TIME, texts
from workers.replay.rules import FunnelRules

_OUTCOMES = {"won": WON, "lost": LOST, "abandoned": ABANDONED}

COLUMNS = (
    pa.field("funnel", pa.string(), False),
    pa.field("deal_id", pa.string(), False),
    pa.field("week", pa.string(), False),
    pa.field("at", TIME, False),
    pa.field("seq", pa.int64(), False),
    pa.field("stage", pa.string(), False),
    pa.field("owner", pa.string()),
    pa.field("amount", MONEY),
    pa.field("expected_close", pa.date32()),
)
"""What both weekly frames begin with; `at` is the last instant of the week, `seq` that of the row of deal_states."""


@dataclass(frozen=True)
class Weekly:
    """Rows of one funnel, ordered by deal and week.

    versions    the rows of deal_states that they come from, those of a deal together, in stream order
    histories   the same in columns; where a deal was voided or merged it ends as if it had been lost
    rows        the landmarks; `grade` is the index of the version in force
    weeks       label by instant of the week's end
    gone        per version, whether its deal was voided or merged in the end
    """

    funnel: str
    cutoff: datetime
    versions: Sequence[DealState]
    histories: Histories
    rows: Landmarks
    weeks: dict[int, str]
    gone: Flags

    @property
    def version(self) -> Ints:
        """Per row, the index of its version."""
        return self.rows.grade

    def where(self, chosen: Flags) -> "Weekly":
        """The chosen rows."""
        return replace(self, rows=self.rows.where(chosen))

    def common(self) -> list[pa.Array]:
        """The arrays of `COLUMNS`."""
        at = self.rows.at.tolist()
        return [
            pa.repeat(pa.scalar(self.funnel), len(at)),
            self.taken(texts([v.deal_id for v in self.versions]), pa.string()),
            pa.array([self.weeks[instant] for instant in at], pa.string()),
            pa.array(self.rows.at, TIME),
            self.taken([v.seq for v in self.versions], pa.int64()),
            self.taken([v.stage for v in self.versions], pa.string()),
            self.taken([v.owner for v in self.versions], pa.string()),
            self.taken([v.amount for v in self.versions], MONEY),
            self.taken([v.expected_close for v in self.versions], pa.date32()),
        ]

    def taken(self, values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """Per row the value of its version."""
        return pa.array(values, kind).take(pa.array(self.version))


def weekly_rows(states: Sequence[DealState], rules: Any, cutoff: datetime) -> Iterator[Weekly]:
    """The weekly rows up to the cut-off of some deals, funnel by funnel in order of key.

    `states` are all rows of deal_states of those deals, the deals in order, each in stream order; `rules` a
    `RulesThen`. Stages and the ages at which visits stall are those at the cut-off, as in recalibration.
    """
    zone = rules.zone(cutoff)
    by_funnel = sorted(states, key=attrgetter("funnel"))  # keeps the order within a funnel
    for funnel, versions in groupby(by_funnel, attrgetter("funnel")):
        yield _of_funnel(funnel, list(versions), rules.funnel(funnel, cutoff), cutoff, zone)


def _of_funnel(
    funnel: str, versions: list[DealState], rules: FunnelRules, cutoff: datetime, zone: tzinfo
) -> Weekly:
    place = {key: index for index, key in enumerate(rules.stall_after_days)}
    for version in versions:
        place.setdefault(version.stage, len(place))
    deals: dict[Any, int] = {}
    columns: list[tuple[int, ...]] = []
    for index, v in enumerate(versions):
        deal = deals.setdefault(v.deal_id, len(deals))
        state = place[v.stage] if v.status == "open" else _OUTCOMES[v.status]
        columns.append((deal, microseconds(v.occurred_at), microseconds(v.known_at), state, _month(v), index))
        last = index + 1 == len(versions) or versions[index + 1].deal_id != v.deal_id
        if last and v.next_occurred_at is not None and v.next_known_at is not None:
            ended = (microseconds(v.next_occurred_at), microseconds(v.next_known_at))
            columns.append((deal, *ended, LOST, NO_MONTH, index))
    deal_of, occurred, known, state_of, month, version_of = (
        np.ascontiguousarray(column) for column in ints(columns).reshape(-1, 6).T
    )
    nothing = np.zeros(len(columns), dtype=np.int64)
    histories = Histories(
        stages=tuple(place),
        stall_after=ints([rules.stall_after_days[key] * DAY if key in rules.stall_after_days else 2**62 for key in place]),
        deal_id=np.arange(len(deals)),
        deal=deal_of,
        occurred_at=occurred,
        known_at=known,
        state=state_of,
        amount=nothing,
        close_month=month,
        grade=version_of,
        team=nothing,
    )  # fmt: skip
    weeks = _weeks(int(histories.visible_from.min()), cutoff, zone)
    rows = landmarks(histories, microseconds(cutoff), sorted(weeks))
    gone = np.zeros(len(deals), dtype=np.bool_)
    gone[deal_of[1:][version_of[1:] == version_of[:-1]]] = True
    return Weekly(
        funnel,
        cutoff,
        versions,
        histories,
        rows.where(np.lexsort((rows.at, rows.deal))),  # type: ignore[arg-type]
        weeks,
        gone[ints([deals[v.deal_id] for v in versions])],
    )


def _month(version: DealState) -> int:
    day = version.expected_close
    return NO_MONTH if day is None else day.year * 12 + day.month - 1


def _weeks(first: int, cutoff: datetime, zone: tzinfo) -> dict[int, str]:
    """The weeks that end in the time from `first` to the cut-off: the last instant of each, and its label."""
    begin = EPOCH + timedelta(microseconds=first)
    if begin > cutoff:
        return {}
    weeks = weeks_between(begin, cutoff, zone)
    return {microseconds(week.as_of): week.label for week in weeks if week.as_of <= cutoff}
