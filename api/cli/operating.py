"""The verbs of the operator: backup, restore, verify, doctor, and adopting another log."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from api.cli.data import body, opened
from api.cli.failure import Failure
from api.cli.options import Form
from api.cli.terminal import Bar, note, progress, show
from infra.backup import (
    BackupExists,
    DamagedBackup,
    LogNotWhole,
    Manifest,
    NotEmpty,
    NotFitting,
    write_backup,
)
from infra.postgres import open_server
from infra.settings import Settings
from infra.verify import Expected
from projections.engine.adopting import adopt_log
from projections.engine.rebuilding import RebuildRunning
from workers.doctor import examine
from workers.restorer import restore_backup
from workers.verifier import prove

_PANEL = "Look after"


def add_operating(app: typer.Typer) -> None:
    """Give the program `backup`, `restore`, `verify` and `doctor`."""
    app.command("backup", rich_help_panel=_PANEL, epilog="Example:  dealtrace backup friday.dealtrace")(
        backup
    )
    app.command("restore", rich_help_panel=_PANEL, epilog="Example:  dealtrace restore friday.dealtrace")(
        restore
    )
    app.command("verify", rich_help_panel=_PANEL, epilog="Example:  dealtrace verify --digests")(verify)
    app.command("doctor", rich_help_panel=_PANEL, epilog="Example:  dealtrace doctor")(doctor)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; there must be none yet.")],
    without_vault: Annotated[
        bool, typer.Option("--without-vault", help="Leave out names, contact details and notes.")
    ] = False,
) -> None:
    """Write a backup of the log and what belongs to it, as of one moment, while others go on writing."""
    with open_server(Settings.from_environment()) as server, progress("Backing up") as bar:
        try:
            made = write_backup(server.app_url, file, without_vault=without_vault, progress=_told(bar))
        except BackupExists as error:
            raise Failure(f"{error}.", "choose another name") from None
        except LogNotWhole as error:
            raise Failure(
                f"The log is not whole, so there is no backup: {error.args[0]}.",
                "dealtrace verify names everything",
            ) from None
        except OSError as error:
            raise Failure(
                f"{file} can not be written: {error.strerror}.", "another file, or room for it"
            ) from None
    note(_made(file, made))


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What dealtrace backup wrote.")],
    least_epoch: Annotated[
        int,
        typer.Option(
            "--epoch",
            metavar="NUMBER",
            min=0,
            help="Begin at least this epoch. To be given when the same backup was restored elsewhere before, one"
            " higher than the epoch there.",
            show_default=False,
        ),
    ] = 0,
) -> None:
    """Restore a backup into an empty database, as its owner; begins a new epoch and makes the projections."""
    with open_server(Settings.from_environment()) as server, progress("Restoring") as bar:
        try:
            outcome = restore_backup(server, file, least_epoch=least_epoch, progress=_told(bar))
        except DamagedBackup as error:
            raise Failure(
                f"The backup is damaged: {error}.", "take another one; nothing was restored"
            ) from None
        except NotEmpty as error:
            hint = "DATABASE_URL and DATABASE_OWNER_URL of an empty database, or an empty DEALTRACE_HOME"
            raise Failure(f"{error}.", hint) from None
        except NotFitting as error:
            raise Failure(f"{error}.", "nothing was restored") from None
        except OSError as error:
            raise Failure(f"{file} can not be read: {error.strerror}.", "the name of a backup") from None
    done = outcome.restored
    note(
        f"Restored {done.position:,} events: log {done.log_id}, now in epoch {done.epoch}, root {done.root}."
    )
    if done.left_out:
        note(f"Not in this backup, so that what they held is gone: {', '.join(done.left_out)}.")
    if outcome.foreign:
        first = outcome.foreign[0]
        raise Failure(
            f"The log is restored. The projections found here are of log {first.log_id}, epoch {first.epoch}, at"
            f" position {first.position}, and answer nothing until they are told to begin anew.",
            "dealtrace projections adopt-log",
        )
    note("The projections reflect all of it.")


def verify(
    until: Annotated[
        int | None, typer.Option("--until", metavar="POSITION", min=0, help="The root at this position.")
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect", metavar="ROOT@POSITION", help="A root noted earlier. May be given several times."
        ),
    ] = None,
    digests: Annotated[
        bool, typer.Option("--digests", help="Fold the log again and compare every projection with it.")
    ] = False,
    form: Form = "table",
) -> None:
    """Read the whole log and check it: positions and versions without gaps, readable bytes; gives the log root."""
    expected = [_expected(text) for text in expect or ()]
    with opened() as server, progress("Reading the log") as bar:
        found = prove(server.app_url, until=until, expected=expected, digests=digests, progress=_told(bar))
    show(msgspec.structs.replace(found, digests=()) if form == "table" else found, body(found), form)
    if form == "table":
        for one in found.digests:
            print(f"{one.live}  {one.projection} v{one.version}")
        sys.stdout.flush()
    if found.problems:
        count = f"{len(found.problems)} problem" + ("s" if len(found.problems) > 1 else "")
        for problem in found.problems if form != "table" else ():
            note(problem)
        raise Failure(f"Found {count}.", "nothing was changed; docs/operating.md says what can be done")
    note(
        "The log is whole, and the projections are what it makes of them." if digests else "The log is whole."
    )


def doctor(form: Form = "table") -> None:
    """Say in words what is wrong with this installation, and what to do. Exit code 1: there is a problem."""
    found = examine()
    if form == "table":
        width = max(len(finding.check) for finding in found.findings)
        for finding in found.findings:
            print(f"{finding.verdict:<8} {finding.check:<{width}}  {finding.sentence}")
            if finding.hint:
                print(f"{'':<8} {'':<{width}}  -> {finding.hint}")
    else:
        show(found, msgspec.json.encode(found), form)
    sys.stdout.flush()
    if found.verdict == "problem":
        raise typer.Exit(1)


def adopt() -> None:
    """Let projections that stand on another log, or on this one before it was restored, begin anew on this one."""
    with opened() as server, progress("Making the projections") as bar:
        try:
            adopted = adopt_log(server.app_url, progress=bar.at)
        except RebuildRunning as error:
            raise Failure(str(error), "the same again when that is done") from None
    if adopted:
        note(f"Made anew from this log: {', '.join(adopted)}.")
    else:
        note("Nothing to do: every projection belongs to this log.")


def _told(bar: Bar) -> Callable[[str, int, int], None]:
    return lambda what, done, total: bar.at(done, total or done, what)


def _made(file: Path, made: Manifest) -> str:
    rows = sum(table.rows for table in made.tables)
    left_out = f", without {', '.join(made.left_out)}" if made.left_out else ""
    return (
        f"Wrote {file}{left_out}: {made.position:,} events, {rows:,} rows in all, {file.stat().st_size:,} bytes.\n"
        f"Note the root, to compare with later: {made.root}@{made.position}"
    )


def _expected(text: str) -> Expected:
    if not (match := re.fullmatch(r"([0-9a-fA-F]{64})@(\d{1,18})", text)):
        raise typer.BadParameter(
            f"--expect must be a root and a position, such as {'0f' * 32}@1000, not {text!r}"
        )
    return Expected(match[1].lower(), int(match[2]))
