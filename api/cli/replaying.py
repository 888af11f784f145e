"""The verb that folds the log again: proof that the live tables are the log's, and its frames as files."""

from pathlib import Path

import msgspec
import typer

from api.cli.actions import RoleName
from api.cli.data import body, catch_up, opened
from api.cli.failure import USAGE, Failure
from api.cli.options import option, verb_taking
from api.cli.questions import FORMAT
from api.cli.terminal import Bar, Format, note, progress, show
from api.replay_params import ReplayParams
from infra.postgres import Server
from projections.engine.catalogue import catalogue
from workers.replay.result import Replay
from workers.replay.running import Asked, BeyondLog, run_replay

_OUT = option(
    "out", Path | None, None, "--out", metavar="DIR",
    help="Write every frame as a Parquet file into this folder; files of an earlier replay are replaced.",
)  # fmt: skip
_SEEING = ("director", "analyst", "auditor", "admin")
"""Who may see everybody's manager forecasts, which are in the files."""
_ROLE = option(
    "role",
    RoleName,
    "admin",
    "--role",
    metavar="ROLE",
    help=f"In which role; for files {', '.join(_SEEING)}.",
)


def add_replaying(app: typer.Typer) -> None:
    """Give the program `replay`."""
    app.command(
        "replay",
        help="Fold the log again, up to a position or a moment, and compare with the live tables; --out keeps it.",
        epilog="Example:  dealtrace replay --as-of 2026-03-31T22:00:00Z --out march",
        rich_help_panel="Look after",
    )(verb_taking(ReplayParams, _replay, _OUT, _ROLE, FORMAT))


def _replay(params: ReplayParams, out: Path | None, role: RoleName, form: Format) -> None:
    if out is not None and role not in _SEEING:
        raise Failure(
            f"The files hold the forecasts of all managers, which the role {role} may not see.",
            f"accepted: {', '.join(_SEEING)}",
        )
    with opened() as server:
        catch_up(server)
        with progress("Folding the log") as bar:
            found = _run(server, params, out, bar)
    show(found if form != "table" else _Shown.of(found), body(found), form)
    if found.unequal:
        raise Failure(
            f"Not what the log makes of them: {', '.join(found.unequal)}.",
            "dealtrace projections rebuild makes them anew",
        )
    if form == "table":
        note(_said(found, out))


def _run(server: Server, params: ReplayParams, out: Path | None, bar: Bar) -> Replay:
    asked = Asked(
        params.to_position,
        params.as_of,
        params.known_at,
        params.knowledge,
        params.projection,
        out,
        params.processes,
    )
    try:
        return run_replay(server.app_url, asked, lambda what, done, total: bar.at(done, total, what))
    except KeyError as unknown:
        raise Failure(f"{unknown.args[0]}.".capitalize(), f"one of {', '.join(catalogue())}", USAGE) from None
    except BeyondLog as error:
        raise Failure(f"{error}.", "a smaller --to-position") from None
    except OSError as error:
        raise Failure(
            f"{out} can not be written: {error.strerror}.", "another folder, or room for it"
        ) from None


class _ShownProjection(msgspec.Struct, frozen=True):
    """One projection in a window."""

    projection: str
    version: int
    digest: str
    live: str
    parked: int


class _ShownFrame(msgspec.Struct, frozen=True):
    """One file in a window."""

    file: str
    rows: int


class _Shown(msgspec.Struct, frozen=True):
    """A replay in a window: the whole digests are in the JSON."""

    position: int
    events: int
    projections: tuple[_ShownProjection, ...]
    frames: tuple[_ShownFrame, ...]

    @classmethod
    def of(cls, found: Replay) -> "_Shown":
        """What a window has room for."""
        words = {True: "equal", False: "UNEQUAL", None: "not compared"}
        return cls(
            found.log.position,
            found.events,
            tuple(
                _ShownProjection(p.projection, p.version, p.digest, words[p.equal], p.parked)
                for p in found.projections
            ),
            tuple(_ShownFrame(f.file, f.rows) for f in found.frames),
        )


def _said(found: Replay, out: Path | None) -> str:
    compared = [p for p in found.projections if p.equal is not None]
    if len(compared) == len(found.projections):
        said = "Every live table is what the log makes of it."
    elif compared:
        said = "The live tables that stand at this position are what the log makes of them."
    else:
        said = "Nothing to compare with: the live tables are of the whole log."
    files = f" Wrote {len(found.frames)} files into {out}." if out is not None else ""
    return said + files
