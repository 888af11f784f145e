"""The verbs about the machinery: how far the projections are, rebuilding them, and the log itself."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from api import params as p
from api import queries_system
from api.cli.actions import logged_in
from api.cli.data import ask_log, body, catch_up, opened, read
from api.cli.failure import USAGE, Failure
from api.cli.operating import adopt
from api.cli.options import Form, verb_taking
from api.cli.questions import FORMAT
from api.cli.releases import Processes, Throttle, add_releases
from api.cli.terminal import Format, note, progress, show
from domain.event import Actor
from projections.engine.catalogue import catalogue, chosen
from projections.engine.checkpoints import Moved
from projections.engine.comparing import Disagreement
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.digests import digest
from projections.engine.parking import parked
from projections.engine.rebuilding import Cancelled, NotServing, RebuildRunning, rebuild
from projections.engine.unparking import unpark


def add_upkeep(app: typer.Typer) -> None:
    """Give the program `projections` and `log`."""
    app.command(
        "log", help="Where the log stands: its id, epoch and position.", rich_help_panel="Look after",
        epilog="Example:  dealtrace log --format json",
    )(verb_taking(p.NoParams, _log, FORMAT))  # fmt: skip
    projections = typer.Typer(
        no_args_is_help=True, help="What is computed from the log: status, rebuild, digest, parked."
    )
    projections.command(
        "status", help="How far each projection has come.", epilog="Example:  dealtrace projections status"
    )(verb_taking(p.NoParams, _status, FORMAT))
    add_releases(projections)
    projections.command("rebuild", epilog="Example:  dealtrace projections rebuild")(rebuild_some)
    projections.command("digest", epilog="Example:  dealtrace projections digest --format json")(digests)
    projections.command("parked", epilog="Example:  dealtrace projections parked")(parked_keys)
    projections.command("unpark", epilog="Example:  dealtrace projections unpark deals")(unpark_some)
    projections.command("adopt-log", epilog="Example:  dealtrace projections adopt-log")(adopt)
    app.add_typer(projections, name="projections", rich_help_panel="Look after")


def rebuild_some(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Which ones. Default: all.")
    ] = None,
    processes: Processes = None,
    throttle: Throttle = 0.0,
    compare: Annotated[
        bool, typer.Option("--compare", help="Do not switch unless the new rows equal the old ones.")
    ] = False,
) -> None:
    """Make projections anew from the whole log, beside the old ones, and switch over when they are ready."""
    wanted = [projection.name for projection in _named(names)]
    with opened() as server, progress(f"Rebuilding {', '.join(wanted)}") as bar:
        try:
            rebuild(
                server.app_url,
                wanted,
                processes=processes,
                throttle=throttle,
                progress=bar.at,
                compare=compare,
            )
        except (RebuildRunning, Cancelled) as error:
            raise Failure(str(error), "the same again goes on from there") from None
        except NotServing as error:
            raise Failure(
                str(error), "dealtrace projections prepare fills it, switch lets it answer"
            ) from None
        except Disagreement as error:
            raise Failure(
                str(error), "the same without --compare switches over; rows are lost by it"
            ) from None
    note(f"Rebuilt {', '.join(wanted)}.")


def digests(form: Form = "table") -> None:
    """One hash per projection over all its rows: the same however they came to be."""
    with opened() as server:
        catch_up(server)
        found = read(server, lambda conn: [Digest(p.name, p.version, digest(conn, p)) for p in chosen()])
    show(found, body(found), form)


def parked_keys(form: Form = "table") -> None:
    """The deals whose events wait because a projection failed on one of them, and the errors."""
    with opened() as server:
        catch_up(server)
        found = read(server, lambda conn: parked(conn, chosen()))
    show(found, body(found), form)
    if not found:
        note("Nothing waits.")


def unpark_some(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which projection. Default: all.")
    ] = None,
    key: Annotated[
        UUID | None, typer.Option("--key", metavar="ID", help="Only this deal (or account). Default: all.")
    ] = None,
) -> None:
    """Try again what waits, once a release has mended its cause. Exit code 1: some still waits."""
    wanted = _named([name] if name else None)
    with opened() as server:
        catch_up(server)
        with connect(server.app_url) as conn:
            applied = sum(_unparked(conn, projection, key) for projection in wanted)
            left = [k for k in parked(conn, wanted) if key in (None, k.key)]
    note(f"Applied {applied:,} events that waited.")
    if left:
        first = left[0]
        raise Failure(
            f"{sum(k.events for k in left):,} events still wait, first in {first.projection} those of {first.key}:"
            f" {first.error}.",
            "dealtrace projections parked names all; docs/operating.md",
        )


def _unparked(conn: Any, projection: Projection, key: UUID | None) -> int:
    while True:
        try:
            return unpark(conn, projection, key)
        except Moved:
            continue  # the projector was quicker; what was applied so far stays


class Digest(msgspec.Struct, frozen=True):
    """The digest of one projection, in hex."""

    projection: str
    version: int
    digest: str


def _named(names: list[str] | None) -> list[Projection]:
    try:
        return chosen(names)
    except KeyError as unknown:
        raise Failure(f"{unknown.args[0]}.".capitalize(), f"one of {', '.join(catalogue())}", USAGE) from None


def _log(params: p.NoParams, form: Format) -> None:
    answer = ask_log(queries_system.log, params)
    show(answer, body(answer), form)


def _status(params: p.NoParams, form: Format) -> None:
    operator = Actor(logged_in(), "admin", "cli")
    answer = ask_log(lambda conn, asked: queries_system.projections(conn, asked, operator), params)
    show(answer, body(answer), form)
