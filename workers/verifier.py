"""Everything that can be proven about a database: the log is whole, the projections are what it makes of them."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from infra.event_store import read_head
from infra.snapshot import one_snapshot
from infra.verify import SHOWN, Expected, verify_log
from infra.verify_beside import beside
from projections.engine.adopting import foreign
from projections.engine.catalogue import chosen
from projections.engine.replaying import Compared, compare
from projections.engine.running import run_to_head
from projections.engine.status import status

Progress = Callable[[str, int, int], None]


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found. `root` (hex) stands for the positions 1 to `position`; no problems means whole.

    `digests` are compared on request only.
    """

    log_id: UUID
    epoch: int
    position: int
    root: str
    problems: tuple[str, ...] = ()
    digests: tuple[Compared, ...] = ()


def prove(
    app_url: str,
    *,
    until: int | None = None,
    expected: Sequence[Expected] = (),
    digests: bool = False,
    progress: Progress = lambda *_: None,
) -> Proof:
    """Verify the log up to a position (default: its head), that what lies beside it fits it, that no projection skipped an
    event, and on request that the projections hold what the log makes of them, for which they are brought up to date
    first.
    """
    with one_snapshot(app_url, "dealtrace verify") as conn:
        log = verify_log(
            conn, until, expected=expected, progress=lambda at: progress("Reading the log", at, 0)
        )
        problems = [*log.problems, *beside(conn, read_head(conn), SHOWN), *_projections(conn)]
    compared: list[Compared] = []
    if digests and not problems:
        run_to_head(
            app_url, progress=lambda done, total: progress("Bringing the projections up", done, total)
        )
        with one_snapshot(app_url, "dealtrace verify") as conn:
            compared = compare(
                conn, chosen(), progress=lambda done, total: progress("Folding the log again", done, total)
            )
        problems = [
            f"{c.projection} v{c.version} is not what the log makes of it at position {c.position}: its digest is"
            f" {c.live}, and that of the log folded again {c.replayed}"
            for c in compared
            if c.live != c.replayed
        ]
    return Proof(log.log_id, log.epoch, log.position, log.root, tuple(problems), tuple(compared))


def _projections(conn: Connection[Any]) -> list[str]:
    return [
        f"{f.projection} v{f.version} stands at position {f.position} of log {f.log_id}, epoch {f.epoch}"
        for f in foreign(conn)
    ] + [
        f"{s.projection} v{s.version} skipped events: applied, ignored and parked do not add up to {s.position}"
        for s in status(conn)
        if not s.complete
    ]
