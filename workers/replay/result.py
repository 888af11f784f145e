"""What a replay found, as it is printed and as it is kept beside the files."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.event import Knowledge


class ReplayedLog(msgspec.Struct, frozen=True):
    """The log that was folded; `root` (hex) is computed for files only, since it reads the log once more."""

    log_id: UUID
    epoch: int
    position: int
    root: str | None


class ReplayedProjection(msgspec.Struct, frozen=True):
    """The digest (hex) of what a projection's fold made, and that of its live tables where both are of one cut.

    `parked` counts the events that the fold could not take; where a clock cuts, those of deals not opened by then.
    """

    projection: str
    version: int
    digest: str
    live: str | None
    equal: bool | None
    parked: int


class Frame(msgspec.Struct, frozen=True):
    """One file: its rows, and the digest (hex) of these rows alone; null for weekly frames, which no table holds."""

    frame: str
    rows: int
    file: str
    digest: str | None


class Replay(msgspec.Struct, frozen=True):
    """What a replay found. `cutoff` is where weekly rows end."""

    log: ReplayedLog
    as_of: datetime | None
    known_at: datetime | None
    knowledge: Knowledge
    cutoff: datetime
    events: int
    projections: tuple[ReplayedProjection, ...]
    frames: tuple[Frame, ...] = ()

    @property
    def unequal(self) -> tuple[str, ...]:
        """The projections whose live tables hold something else."""
        return tuple(p.projection for p in self.projections if p.equal is False)
