"""The `dealtrace` program: its verbs, and how a failure is told."""

import os
import signal
import sys
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from api.cli.failure import INTERRUPTED, tell
from api.cli.terminal import note

_DEBUG = "--debug"


def program() -> typer.Typer:
    """The program with all its verbs."""
    from api.cli.actions import add_actions
    from api.cli.imports import add_imports
    from api.cli.operating import add_operating
    from api.cli.questions import add_questions
    from api.cli.recalibrating import add_recalibrating
    from api.cli.recalibration_jobs import add_recalibration_jobs
    from api.cli.replaying import add_replaying
    from api.cli.server import add_server
    from api.cli.upkeep import add_upkeep

    app = typer.Typer(
        name="dealtrace",
        help="The system of record for how B2B deals change.",
        epilog="Data lies in DEALTRACE_HOME (.dealtrace here) or in the server of DATABASE_URL; "
        "see docs/configuration.md.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
    )
    app.callback()(_options)
    for add in (
        add_server,
        add_questions,
        add_recalibrating,
        add_recalibration_jobs,
        add_actions,
        add_imports,
        add_upkeep,
        add_replaying,
        add_operating,
    ):
        add(app)
    return app


def run_program(arguments: list[str]) -> int:
    """Run the program and return its exit code; whatever goes wrong is told as one sentence and a hint."""
    _stop_on_signals()
    debug = _DEBUG in arguments[:1]
    try:
        return int(program()(args=arguments, prog_name="dealtrace", standalone_mode=False) or 0)
    except typer.Exit as ended:
        return ended.exit_code
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nobody reads on; say no more at the end
        return INTERRUPTED
    except typer.Abort:
        return INTERRUPTED
    except (Exception, KeyboardInterrupt) as error:
        if debug and not isinstance(error, TyperException):
            raise
        told = tell(error, _verb(arguments))
        if told.sentence:
            note(f"error: {told.sentence}")
        if told.hint:
            note(f"hint: {told.hint}")
        return told.exit_code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"dealtrace {metadata.version('dealtrace')}")
        raise typer.Exit


def _options(
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Show where an error came from.", show_default=False)
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version.", is_eager=True, callback=_show_version, show_default=False
        ),
    ] = False,
) -> None:
    pass


def _verb(arguments: list[str]) -> str:
    """The words before the first option: what --help can be asked about."""
    words: list[str] = []
    for argument in arguments[_DEBUG in arguments[:1] :]:
        if argument.startswith("-") or len(words) == 2:
            break
        words.append(argument)
    return " ".join(
        words
        if words[:1] and words[0] in ("do", "import", "projections", "rates", "recalibrations")
        else words[:1]
    )


def _stop_on_signals() -> None:
    """Being told to end unwinds as Ctrl-C does, so that an embedded server is never left behind."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)
