"""A place in a log as its readers remember it: which log, in which epoch, up to which position.

A restored backup has the positions of the log that it was made of, and after them other events at positions that
readers of that log know already. So a position alone does not say how far a reader has come.
"""

import re
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from infra.event_store import Head, read_head

_SPELT = re.compile(r"([0-9a-f]{8})\.([1-9][0-9]{0,8})\.([0-9]{1,18})", re.ASCII)
PATTERN = f"^{_SPELT.pattern}$"


class OtherHistory(Exception):
    """What stands up to the place is not what stands here. `shared` is the last position that is the same."""

    def __init__(self, head: Head, shared: int) -> None:
        super().__init__(f"A backup was restored: this is log {head.log_id} in epoch {head.epoch}.")
        self.head = head
        self.shared = shared


class Place(msgspec.Struct, frozen=True):
    """Behind this position in an epoch of a log, of whose id the first eight digits stand for it."""

    log: str
    epoch: int
    position: int

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """The place that `str` gave; None for anything else."""
        found = _SPELT.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def __str__(self) -> str:
        return f"{self.log}.{self.epoch}.{self.position}"


def place_in(log: tuple[UUID, int], position: int) -> Place:
    """Behind a position of the log of this id, in this epoch."""
    return Place(log[0].hex[:8], log[1], position)


def come_back(conn: Connection[Any], place: Place) -> Head:
    """Where the log stands, for a reader who has read up to the place. Raises OtherHistory when the log has other events up
    to there: it is another one, or a backup was restored that does not reach so far.
    """
    head = read_head(conn)
    began = dict(conn.execute("SELECT epoch, after_position FROM dealtrace.epochs").fetchall())
    if place.log != head.log_id.hex[:8] or place.epoch not in began:
        raise OtherHistory(head, 0)
    shared = min((after for epoch, after in began.items() if epoch > place.epoch), default=place.position)
    if place.position > shared:
        raise OtherHistory(head, shared)
    return head
