"""The verbs that do: every command of the registry, with its fields as options, or as JSON."""

import getpass
import sys
from contextlib import suppress
from typing import Annotated, Any, Literal

import typer

from api.actor import ACTOR_IDS, ROLES, may_be_actor_id
from api.body import canonical, checked
from api.cli.data import body, opened, writing
from api.cli.failure import USAGE, Failure
from api.cli.options import argument_of, option, verb_taking
from api.cli.terminal import note, progress, write_answer
from api.commands import answer
from api.strict_json import parse
from domain.command import Command
from domain.errors import Refusal
from domain.event import Actor
from domain.playbook import AdoptRateSet
from domain.registry import COMMANDS
from infra.ids import new_id
from infra.requests import Request
from infra.snapshot import one_snapshot
from workers.recalibration.adopting import claimed, prove

RoleName = Literal[
    "rep", "manager", "director", "sales_operations", "analyst", "auditor", "admin", "integration"
]
assert set(RoleName.__args__) == set(ROLES)  # type: ignore[attr-defined]

EXAMPLES = {
    "open-deal": "--funnel tas_plus --name 'Sensors for a dairy' --owner anna --amount '48000 EUR'",
    "advance-stage": "DEAL --to-stage initiation",
    "regress-stage": "DEAL --to-stage verification --reason 'The budget was cut.'",
    "revise-amount": "DEAL --amount '52000 EUR'",
    "log-activity": "DEAL --kind visit --by anna --occurred-at 2026-03-02T09:30:00Z",
    "reopen-deal": "DEAL --to-stage bidding --reason 'They asked us again.'",
    "define-funnel": '--funnel partner --label \'{"en": "Partner"}\' --stages \'{"key": "lead", ...}\'',
}

WHO: tuple[Any, ...] = (
    option(
        "actor",
        str | None,
        None,
        "--as",
        metavar="NAME",
        help="Who does it, or asks. Default: who is logged in here.",
    ),
    option("role", RoleName, "admin", "--role", metavar="ROLE", help=f"In which role: {', '.join(ROLES)}."),
)
"""Options that say who does it, or who wants to know."""
_HOW: tuple[Any, ...] = (
    option(
        "based_on",
        int | None,
        None,
        "--if-match",
        metavar="VERSION",
        min=0,
        help="Refuse unless it has this version.",
    ),
    option(
        "form",
        Literal["text", "json"],
        "text",
        "--format",
        help="A sentence, or the body of the HTTP answer.",
    ),
)


def add_actions(app: typer.Typer) -> None:
    """Give the program `do` with a verb per command, and `command` for JSON."""
    actions = typer.Typer(
        no_args_is_help=True, help="Do something: one verb per command, one option per field."
    )
    for name, command in COMMANDS.items():
        by_place = argument_of(command)
        example = EXAMPLES.get(name, by_place.removesuffix("_id").upper() if by_place else "")
        actions.command(
            name,
            help=(command.__doc__ or "").strip().splitlines()[0],
            epilog=f"Example:  dealtrace do {name} {example}".rstrip(),
        )(verb_taking(command, do, *WHO, *_HOW))
    app.add_typer(
        actions, name="do", rich_help_panel="Change", epilog="Example:  dealtrace do advance-stage --help"
    )
    app.command(
        "command",
        rich_help_panel="Change",
        epilog='Example:  dealtrace command set-currency \'{"currency": "EUR"}\'',
    )(do_json)


def do_json(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The command, such as advance-stage.")],
    fields: Annotated[
        str, typer.Argument(metavar="JSON", help="Its fields as a JSON object, or - for stdin.")
    ],
    actor: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who does it.")] = None,
    role: Annotated[RoleName, typer.Option("--role", metavar="ROLE", help="In which role.")] = "admin",
    based_on: Annotated[int | None, typer.Option("--if-match", metavar="VERSION", min=0)] = None,
) -> None:
    """Do any command, given as JSON; prints the body of the HTTP answer."""
    if name not in COMMANDS:
        raise Failure(f"There is no command {name!r}.", f"one of {', '.join(COMMANDS)}", USAGE)
    text = sys.stdin.buffer.read() if fields == "-" else fields.encode("utf-8", "surrogateescape")
    given = parse(text)
    if not isinstance(given, dict):
        raise Failure("The fields must be a JSON object.", 'accepted: {"currency": "EUR"} or the like', USAGE)
    do(checked(COMMANDS[name], canonical(given)), actor, role, based_on, "json")


def do(
    command: Command, actor: str | None, role: RoleName, based_on: int | None, form: Literal["text", "json"]
) -> None:
    """Execute the command and say what came of it. Raises a Refusal."""
    request = Request(
        commands=(command,),
        actor=actor_of(actor, role),
        command_id=str(new_id()),
        expected=(based_on,),
    )
    with opened() as server, writing(server) as (_, executor):
        if isinstance(command, AdoptRateSet) and command.evidence is not None and role in command.ALLOWED:
            _require_evidence(server.app_url, command)
        (outcome,) = executor.execute([request])
    if isinstance(outcome, Refusal):
        raise outcome
    (item,) = outcome.items
    if form == "json":
        write_answer(body(answer(item)))
    elif item.event_ids:
        note(f"Done: {item.stream_id} has version {item.version}, the log stands at {item.position}.")
    else:
        note(f"It was so already: {item.stream_id} has version {item.version}.")


def _require_evidence(url: str, command: AdoptRateSet) -> None:
    """As over HTTP, no rate set names evidence that does not hold. Raises a Refusal."""
    with (
        one_snapshot(url, "dealtrace adoption") as conn,
        progress("Proving that the log is the one of the record") as bar,
    ):
        prove(conn, [claimed(conn, command)], bar.at)


def actor_of(name: str | None, role: RoleName) -> Actor:
    """Who does it or asks: as named, or who is logged in here."""
    if name is not None and not may_be_actor_id(name):
        raise Failure("--as names nobody.", f"accepted: {ACTOR_IDS}", USAGE)
    return Actor(name or logged_in(), role, "cli")


def logged_in() -> str:
    """The name of who uses this machine."""
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "cli"
