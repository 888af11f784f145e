"""Restoring a backup, and what it means for the projections that are there already."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from infra.backup import Restored, read_manifest, restore
from infra.postgres import Server
from infra.sessions import Session
from projections.engine.adopting import Foreign, foreign, highest_epoch, make_from_log, turn_away
from projections.engine.catalogue import chosen

Progress = Callable[[str, int, int], None]


class Outcome(msgspec.Struct, frozen=True):
    """The log as it stands now, and the projections of another log that were found beside it."""

    restored: Restored
    foreign: tuple[Foreign, ...]


def restore_backup(
    server: Server, file: Path, *, least_epoch: int = 0, progress: Progress = lambda *_: None
) -> Outcome:
    """Restore as the owner, then make the projections from the log.

    Projections that hold something of another log or epoch are left, can answer no more, and wait for
    `projections.engine.adopting.adopt_log`. The new epoch is higher than any that a projection here has seen, so none
    can take this log for the one it knows.
    Raises DamagedBackup, NotEmpty, NotFitting, OSError.
    """
    manifest = read_manifest(file)
    with Session.open(server.owner_url, "dealtrace restore") as conn:
        seen = highest_epoch(conn, manifest.log_id)
    restored = restore(
        server.owner_url, file, least_epoch=max(least_epoch, seen + 1), and_then=turn_away, progress=progress
    )
    with Session.open(server.app_url, "dealtrace restore") as conn:
        others = foreign(conn)
    if not others:
        make_from_log(
            server.app_url,
            chosen(),
            progress=lambda done, total: progress("Making the projections", done, total),
        )
    return Outcome(restored, tuple(others))
