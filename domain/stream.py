"""The order of time on one stream: what it holds, and when the next event may have happened."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from domain.errors import InTheFuture, OutOfOrder
from domain.event import Event

TOLERANCE = timedelta(seconds=5)
"""How far `occurred_at` may lie ahead of the database's clock, for clocks that differ a little."""


class Stream(msgspec.Struct, frozen=True):
    """The events of one aggregate, folded: its state, version (0: none yet), and the times of each kind group."""

    id: UUID
    version: int = 0
    state: Any = None
    aggregate: str = ""
    """The kind of stream, as its first event's topic says; empty while there is none."""
    last_occurred_at: dict[str, datetime] = {}
    last_known_at: datetime | None = None

    def then(
        self,
        event: Event,
        evolve: Callable[[Any, Any], Any],
        occurred_at: datetime,
        known_at: datetime,
    ) -> "Stream":
        """The stream after one more event, known at the source's claim of an import, else when recorded."""
        occurred, known = self.last_occurred_at, self.last_known_at
        if (
            event.GROUP is not None
        ):  # points are back-dated freely, and their sources claim knowledge one by one
            occurred, known = {**occurred, event.GROUP: occurred_at}, known_at
        aggregate = self.aggregate or event.TOPIC.partition(".")[0]
        return Stream(self.id, self.version + 1, evolve(self.state, event), aggregate, occurred, known)


def occurrence(stream: Stream, events: tuple[Event, ...], wanted: datetime | None, now: datetime) -> datetime:
    """When the events happened: as wanted, or the later of now and the last of their kind groups.

    Raises OutOfOrder before the last state event of the same kind group, InTheFuture over 5 s ahead of now.
    """
    last = None
    for event in events:
        before = stream.last_occurred_at.get(event.GROUP) if event.GROUP is not None else None
        if before is not None and (last is None or before > last):
            last = before
    if wanted is None:
        return now if last is None else max(now, last)
    if wanted > now + TOLERANCE:
        raise InTheFuture(
            f"occurred_at {rfc3339(wanted)} lies in the future; it is now {rfc3339(now)}.",
            field="occurred_at",
            accepted=f"a time up to {rfc3339(now)}",
        )
    if last is not None and wanted < last:
        raise OutOfOrder(
            f"occurred_at {rfc3339(wanted)} lies before the last change of this kind, {rfc3339(last)}.",
            field="occurred_at",
            accepted=f"a time from {rfc3339(last)} on; activities may be back-dated freely",
        )
    return wanted


def rfc3339(moment: datetime) -> str:
    """A UTC time as messages spell it, so that it can be sent back."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
