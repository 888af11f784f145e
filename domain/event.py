"""What an event is: its data, the meta it is stored with, and how it comes back from the log."""

from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

Role = Literal[
    "rep",
    "manager",
    "director",
    "sales_operations",
    "analyst",
    "auditor",
    "admin",
    "integration",
    "system",
]
"""On whose authority something is done. `system` is dealtrace itself and never comes from outside."""

Origin = Literal["live", "import", "system"]

Knowledge = Literal["source", "witnessed"]
"""`source`: an imported event was known when its source says so. `witnessed`: everything from its `recorded_at` on."""


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happened. A topic or field here is stored for ever; change it only by an upcaster.

    `GROUP` names the kind group within which `occurred_at` never runs backwards on a stream. `None` makes
    the event a point (an activity, a note), which may be back-dated freely.
    """

    TOPIC: ClassVar[str]
    SCHEMA: ClassVar[int] = 1
    GROUP: ClassVar[str | None] = "state"


class TextRef(msgspec.Struct, frozen=True):
    """Personal text that lies in the vault: where, and the salted SHA-256 (hex) that proves it unchanged."""

    id: UUID
    sha256: str


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who does it, in which role, how that was verified, and for whom when acting for somebody else."""

    id: str
    role: Role
    auth: str
    on_behalf_of: str | None = None


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """The envelope of an event in the log. Times are UTC with microseconds."""

    event_id: UUID
    schema: int
    partition_key: UUID
    occurred_at: datetime
    origin: Origin
    actor: Actor
    request_id: str
    command_id: str
    correlation_id: str
    causation_id: str
    playbook_version: int
    source_recorded_at: datetime | None = None
    corrects: UUID | None = None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in the log. `position` is dense over the log, `version` over the stream."""

    position: int
    stream_id: UUID
    version: int
    topic: str
    recorded_at: datetime
    meta: Meta
    event: Any

    @property
    def known_at(self) -> datetime:
        """Knowledge time: when the source recorded it for imports, else when the log did."""
        return self.meta.source_recorded_at or self.recorded_at
