"""What is asked of the log, and what became of it."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.command import Command
from domain.event import Actor, Origin
from infra.event_store import LedgerRow


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One command, or a batch that is done together or not at all, from one actor.

    `digest` identifies the request body under (actor, `command_id`); without it no result is remembered.
    `expected` holds per command the version it is based on, None for any. Imports give the source's own time of
    recording and the identity of the row.
    """

    commands: tuple[Command, ...]
    actor: Actor
    command_id: str
    request_id: str = ""
    correlation_id: str = ""
    digest: bytes | None = None
    expected: tuple[int | None, ...] = ()
    origin: Origin = "live"
    source_recorded_at: datetime | None = None
    row: LedgerRow | None = None


class ItemResult(msgspec.Struct, frozen=True):
    """What became of one command: the stream's version after it, and its events (none: it was so already).

    `ids` are those that say what the command was about, by the names of its fields; a fresh one is among them.
    """

    command: str
    stream_id: UUID
    version: int
    position: int
    event_ids: tuple[UUID, ...]
    ids: dict[str, UUID] = {}


class Result(msgspec.Struct, frozen=True):
    """What became of a request. `position` is where a reader must have come to see all of it."""

    items: tuple[ItemResult, ...]
    position: int
    repeated: bool = False
