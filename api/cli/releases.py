"""The verbs of a release beside another one: prepare, switch, rollback, retire."""

from typing import Annotated

import typer

from api.cli.data import body, opened, read
from api.cli.failure import Failure
from api.cli.options import Form
from api.cli.terminal import note, progress, show
from projections.engine.comparing import Disagreement
from projections.engine.preparing import prepare
from projections.engine.rebuilding import Cancelled, RebuildRunning
from projections.engine.releasing import Moved, NothingToDo, NotReady, roll_back, switch
from projections.engine.retiring import StillServing, retire
from projections.engine.switches import switches

Despite = Annotated[
    str | None,
    typer.Option("--despite", metavar="REASON", help="Do it all the same, for this reason, which is kept."),
]


Processes = Annotated[
    int | None, typer.Option("--processes", metavar="NUMBER", min=1, help="Default: one per CPU.")
]
Throttle = Annotated[
    float,
    typer.Option("--throttle", metavar="TIMES", min=0.0, help="Rest that many times as long as it works."),
]


def add_releases(app: typer.Typer) -> None:
    """Give `projections` its verbs for releases."""
    app.command("prepare", epilog="Example:  dealtrace projections prepare --throttle 1")(prepare_release)
    app.command("switch", epilog="Example:  dealtrace projections switch")(switch_release)
    app.command("rollback", epilog="Example:  dealtrace projections rollback")(roll_back_release)
    app.command("switches", epilog="Example:  dealtrace projections switches")(all_switches)
    app.command("retire", epilog="Example:  dealtrace projections retire")(retire_others)


def prepare_release(processes: Processes = None, throttle: Throttle = 0.0) -> None:
    """Fill this release's projections beside those of the release that serves. Ctrl-C stops it; it goes on again."""
    with opened() as server, progress("Filling the projections of this release") as bar:
        try:
            filled = prepare(server.app_url, processes=processes, throttle=throttle, progress=bar.at)
        except (RebuildRunning, Cancelled) as error:
            raise Failure(
                str(error), "dealtrace projections status; the same again goes on from there"
            ) from None
    if filled:
        note(f"Filled {', '.join(filled)}. Next: dealtrace projector, and dealtrace projections switch.")
    else:
        note("Nothing to fill.")


def switch_release(despite: Despite = None) -> None:
    """Let this release's projections answer, all at once, if they agree with those that answer now."""
    with opened() as server:
        try:
            moved = switch(server.app_url, despite=despite)
        except NotReady as error:
            raise Failure(str(error), "dealtrace projections prepare; dealtrace projections status") from None
        except Disagreement as error:
            raise Failure(
                f"No switch: {error}",
                "a mended release, or --despite REASON if it is meant to be so",
            ) from None
    _tell(moved, "Nothing to do: this release answers already.")


def roll_back_release(despite: Despite = None) -> None:
    """Take the switch to this release back: the other one, which still runs, serves alone again."""
    with opened() as server:
        try:
            moved = roll_back(server.app_url, despite=despite)
        except NothingToDo as error:
            raise Failure(str(error), "dealtrace projections status") from None
        except NotReady as error:
            raise Failure(str(error), "start the other release's projector, or --despite REASON") from None
    _tell(moved, "Nothing to do.")


def retire_others(
    running_too: Annotated[
        bool, typer.Option("--running-too", help="Also what another release's projector still follows.")
    ] = False,
) -> None:
    """Drop the tables of every other release. Its switch can not be taken back any more."""
    with opened() as server:
        try:
            gone = retire(server.app_url, running_too=running_too)
        except StillServing as error:
            raise Failure(str(error), "stop the other release, or switch to this one, first") from None
    for one in gone:
        note(f"Dropped {one.projection} v{one.version}, {one.tables} tables.")
    if not gone:
        note("Nothing to do: there are no tables but those of this release.")


def all_switches(form: Form = "table") -> None:
    """When which version was switched to, taken back or retired, and for what reason despite which findings."""
    with opened() as server:
        found = read(server, switches)
    show(found, body(found), form)
    if not found:
        note("There was none.")


def _tell(moved: list[Moved], nothing: str) -> None:
    for one in moved:
        before = f"v{one.from_version}" if one.from_version else "nothing"
        note(f"{one.projection}: v{one.to_version} instead of {before}, at position {one.position:,}.")
    if not moved:
        note(nothing)
