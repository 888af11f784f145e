"""The verbs that keep running: everything at once, the API alone, the projector alone; and the migration."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated

import typer

from api import queries_playbook
from api.actor import require_loopback
from api.cli.data import catch_up, read
from api.cli.failure import Failure
from api.cli.terminal import note, progress
from api.logs import start_logging
from api.params import NoParams
from infra.connection import LogConnection
from infra.embedded_server import watched_server
from infra.executor import Executor
from infra.group_commit import GroupCommit
from infra.metrics import REGISTRY
from infra.migrations import migrate, not_applied
from infra.postgres import Server, open_server
from infra.readers import Readers
from infra.settings import Settings
from infra.tracing import tracing_to
from workers.demo import write_truth
from workers.first_start import fill_empty_log

STOP_SECONDS = 20
_OURSELVES = (sys.executable, "-c", "from api.cli import main; main()")


def add_server(app: typer.Typer) -> None:
    """Give the program its servers."""
    panel = "Run"
    app.command("run", rich_help_panel=panel, epilog="Example:  dealtrace run")(run)
    app.command("serve", rich_help_panel=panel, epilog="Example:  DEALTRACE_PORT=8500 dealtrace serve")(serve)
    app.command("projector", rich_help_panel=panel, epilog="Example:  dealtrace projector")(projector)
    app.command("migrate", rich_help_panel=panel, epilog="Example:  dealtrace migrate")(bring_up_to_date)


def run(
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Load the demonstration company into an empty log.")
    ] = True,
) -> None:
    """Start everything: PostgreSQL, projections and the API. Ctrl-C stops it, the next run continues."""
    settings = Settings.from_environment()
    start_logging(settings)
    with closing(_listening(settings)) as listener, open_server(settings) as server:
        _migrated(server, settings)
        with progress("Loading the demonstration company"):
            written = fill_empty_log(server.app_url, with_demo=demo)
        if written and demo:
            write_truth(settings.home)
            note(f"An empty log: the demonstration company was loaded, {written:,} events of two years.")
        catch_up(server, take_over=True)
        with _projector_process() as process:
            _serve(server, settings, listener, _welcome(server, settings, listener))
        if process.returncode:
            note("The projector did not stop as it should; nothing is lost, it goes on from where it was.")
    note("Stopped.")


def serve() -> None:
    """Serve the API alone; the projector runs elsewhere."""
    settings = Settings.from_environment()
    start_logging(settings)
    with closing(_listening(settings)) as listener, open_server(settings) as server:
        _migrated(server, settings)
        fill_empty_log(server.app_url)
        _serve(server, settings, listener, f"The API listens on {_address(listener)}; Ctrl-C stops it.")
    note("Stopped.")


def projector(
    switches: Annotated[
        bool,
        typer.Option(
            "--switch", help="Of a new release: let its projections answer as soon as they are filled."
        ),
    ] = False,
    attached: Annotated[
        bool, typer.Option("--attached", hidden=True, help="Stop when stdin is closed.")
    ] = False,
) -> None:
    """Keep the projections up to date with the log; fill those of a new release beside the old ones."""
    from workers.projector import Projector

    settings = Settings.from_environment()
    start_logging(settings)
    with open_server(settings) as server:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        if attached:
            threading.Thread(target=_stop_with_parent, args=[stop], daemon=True).start()
        else:
            note("The projector follows the log; Ctrl-C stops it.")
        with _projector_metrics(settings), tracing_to(settings.traces_url, "projector"):
            Projector(server.app_url, switches=switches).run(stop)


@contextmanager
def _projector_metrics(settings: Settings) -> Iterator[None]:
    """Serve what the projector counts, on the loopback, if that is wanted."""
    from prometheus_client import start_http_server

    if settings.projector_metrics_port is None:
        yield
        return
    try:
        server, thread = start_http_server(settings.projector_metrics_port, "127.0.0.1", REGISTRY)
    except OSError as error:
        raise Failure(
            f"Port {settings.projector_metrics_port} can not be used: {error.strerror}.",
            "choose another DEALTRACE_PROJECTOR_METRICS_PORT",
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def bring_up_to_date() -> None:
    """Bring the database's tables up to date, as their owner."""
    with open_server(Settings.from_environment()) as server:
        applied = migrate(server.owner_url)
    note(
        f"Applied {', '.join(map(str, applied))}." if applied else "Nothing to do: the tables are up to date."
    )


def _migrated(server: Server, settings: Settings) -> None:
    """An external database whose owner's login we were not given is migrated by somebody else."""
    if server.embedded or settings.database_owner_url:
        migrate(server.owner_url)
    elif read(server, not_applied):
        raise Failure(
            "The database has not been brought up to date.", "DATABASE_OWNER_URL=... dealtrace migrate"
        )


def _listening(settings: Settings) -> socket.socket:
    """The socket of the API, bound before anything else is started. Raises NotLoopback or Failure."""
    require_loopback(settings.host)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Failure(
            f"{settings.host} is no address to listen on: {error.strerror}.", "DEALTRACE_HOST"
        ) from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        reason = "is in use already" if error.errno == 98 else f"can not be used: {error.strerror}"
        hint = f"choose another one, such as DEALTRACE_PORT={settings.port + 1}, or 0 for any free one"
        raise Failure(f"Port {settings.port} {reason}.", hint) from None
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _serve(server: Server, settings: Settings, listener: socket.socket, welcome: str) -> None:
    """Serve until a signal comes; then finish what was accepted."""
    import uvicorn

    from api.app import create_app
    from api.serving import HttpServer
    from workers.recalibration.keeper import Keeper

    class Api(HttpServer):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            note(welcome)

    with (
        watched_server(settings.home) if server.embedded else nullcontext(),
        tracing_to(settings.traces_url, "api"),
        closing(LogConnection(server.app_url)) as log,
        closing(GroupCommit(Executor(log))) as group_commit,
        closing(Readers(server.app_url)) as readers,
        closing(Keeper(server.app_url)) as keeper,
    ):
        app = create_app(group_commit=group_commit, readers=readers, host=settings.host, keeper=keeper)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning" if settings.log_level == "info" else settings.log_level,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        with suppress(KeyboardInterrupt):  # uvicorn hands on the signal that it has obeyed
            Api(config).run(sockets=[listener])


@contextmanager
def _projector_process() -> Iterator[subprocess.Popen[bytes]]:
    """The projector in a process of its own, so that it never waits for the server's interpreter.

    It ends with its stdin, so that none is left when this process is killed.
    """
    process = subprocess.Popen([*_OURSELVES, "projector", "--attached"], stdin=subprocess.PIPE)  # noqa: S603
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stop_with_parent(stop: threading.Event) -> None:
    while os.read(0, 1):
        pass
    stop.set()


def _welcome(server: Server, settings: Settings, listener: socket.socket) -> str:
    """Where everything is, and lines that can be typed as they stand."""
    address, ourselves = _address(listener), _as_typed()
    where = f"embedded, in {settings.home}" if server.embedded else "external"
    funnel = read(server, lambda conn: queries_playbook.funnels(conn, NoParams())).funnels[0].key
    headers = "-H 'X-Actor-Id: anna' -H 'X-Actor-Role: rep'"
    here = [f"  export DEALTRACE_HOME={settings.home.absolute()}"] if "DEALTRACE_HOME" in os.environ else []
    return "\n".join(
        [
            "",
            f"  API         {address}  (every address there is: {address}/openapi.json)",
            f"  PostgreSQL  {server.version}, {where}",
            "",
            "Try, in another terminal:",
            *here,
            f"  {ourselves} funnel --funnel {funnel}",
            f"  {ourselves} deals --sort amount --limit 5",
            f"  {ourselves} do open-deal --funnel {funnel} --name 'Sensors for a dairy' --owner anna",
            f"  curl {headers} {address}/v1/funnels/{funnel}/snapshot",
            f"  curl {headers} '{address}/v1/deals?status=open&limit=5'",
            "",
            "Ctrl-C stops everything.",
        ]
    )


def _as_typed() -> str:
    """How this program is called from here."""
    program = Path(sys.argv[0])
    if program.name != "dealtrace" or shutil.which("dealtrace") == str(program.absolute()):
        return "dealtrace"
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else str(program)
