"""The verbs about recalibrations that a server runs: which there are, how far one has come, and cancelling it."""

from typing import Annotated

import typer

from api import recalibration_jobs, recalibrations
from api import recalibration_params as p
from api.body import checked_params
from api.cli.actions import WHO, RoleName, actor_of
from api.cli.data import ask_log, body, opened
from api.cli.options import Form, verb_taking
from api.cli.questions import FORMAT
from api.cli.terminal import Format, show
from api.roles import require_role

_Id = Annotated[str, typer.Argument(metavar="RECALIBRATION", help="Its id, which is that of its record.")]
_As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who asks.")]
_Role = Annotated[RoleName, typer.Option("--role", metavar="ROLE", help="In which role.")]


def add_recalibration_jobs(app: typer.Typer) -> None:
    """Give the program `recalibrations`."""
    verbs = typer.Typer(no_args_is_help=True, help="Recalibrations: list them, look at one, cancel one.")
    verbs.command(
        "list",
        help="Recalibrations that were asked for or run here, the latest first.",
        epilog="Example:  dealtrace recalibrations list --state running",
    )(verb_taking(p.RecalibrationsParams, _list, FORMAT, *WHO))
    verbs.command(
        "show",
        help="How far one has come and, when it is done, what it found.",
        epilog="Example:  dealtrace recalibrations show 0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11",
    )(show_one)
    verbs.command(
        "cancel",
        help="Cancel one that waits or runs.",
        epilog="Example:  dealtrace recalibrations cancel 0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11",
    )(cancel)
    app.add_typer(verbs, name="recalibrations", rich_help_panel="Ask")


def show_one(recalibration: _Id, form: Form = "table", actor: _As = None, role: _Role = "admin") -> None:
    """Show one recalibration."""
    viewer = actor_of(actor, role)
    answer = ask_log(
        lambda conn, asked: recalibrations.recalibration(conn, asked, viewer), _named(recalibration)
    )
    show(answer, body(answer), form)


def cancel(recalibration: _Id, form: Form = "table", actor: _As = None, role: _Role = "admin") -> None:
    """Cancel one recalibration."""
    viewer = actor_of(actor, role)
    require_role(viewer, recalibrations.MAY_ASK, "cancel recalibrations")
    with opened() as server:
        answer = recalibration_jobs.cancel(server.app_url, _named(recalibration).recalibration_id)
    show(answer, body(answer), form)


def _list(params: p.RecalibrationsParams, form: Format, actor: str | None, role: RoleName) -> None:
    viewer = actor_of(actor, role)
    answer = ask_log(lambda conn, asked: recalibrations.recalibrations(conn, asked, viewer), params)
    show(answer, body(answer), form)


def _named(text: str) -> p.OneRecalibration:
    return checked_params(p.OneRecalibration, {"recalibration_id": text})
