"""The data behind a verb: the database opened, brought up to date, and closed again."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from api import queries
from api.cli.failure import Failure
from api.cli.terminal import progress
from api.waiting import with_waiting
from infra.connection import LogConnection
from infra.executor import Executor
from infra.migrations import migrate, not_applied
from infra.postgres import Server, open_server
from infra.readers import Readers
from infra.settings import Settings
from projections.engine.connecting import connect
from projections.engine.preparing import waiting
from projections.engine.running import run_to_head
from workers import releaser
from workers.first_start import fill_empty_log


@contextmanager
def opened() -> Iterator[Server]:
    """The server of the settings. An embedded one is ours, so its tables are brought up to date; an external one
    is migrated by `dealtrace migrate` and `dealtrace run` alone."""
    with open_server(Settings.from_environment()) as server:
        if server.embedded:
            migrate(server.owner_url)
        elif read(server, not_applied):
            raise Failure("The database has not been brought up to date.", "dealtrace migrate")
        yield server


def catch_up(server: Server, *, take_over: bool = False) -> int:
    """Bring the projections to the head of the log and return it, with a bar when it takes long.

    With `take_over`, and beside an embedded server always, a new release's projections are filled and switched to
    first: nobody else waits for an operator to do so.
    """
    if take_over or server.embedded:
        with progress("Making the projections of this release") as bar:
            releaser.take_over(server.app_url, progress=bar.at)
    with progress("Bringing the projections up to date") as bar:
        reached = run_to_head(server.app_url, progress=bar.at)
    if take_over or server.embedded:
        return reached
    with connect(server.app_url) as conn:
        sentences = waiting(conn)
    if sentences:
        raise Failure(
            f"This release does not answer yet: {' '.join(sentences.values())}",
            "dealtrace projections status",
        )
    return reached


def ask(query: Callable[[Any, Any], Any], params: Any) -> Any:
    """The answer to a query, on projections that reflect the whole log."""
    with opened() as server:
        catch_up(server)
        return read(server, lambda conn: with_waiting(conn, query(conn, params), params, None))


def ask_log(query: Callable[[Any, Any], Any], params: Any) -> Any:
    """The answer to a query about the log or the projections as they are."""
    with opened() as server:
        return read(server, lambda conn: query(conn, params))


def read(server: Server, query: Callable[[Any], Any]) -> Any:
    """What the query finds in one snapshot of the database."""
    with closing(Readers(server.app_url, readers=1)) as readers:
        return asyncio.run(readers.run(query))


@contextmanager
def writing(server: Server, *, dry_run: bool = False) -> Iterator[tuple[LogConnection, Executor]]:
    """A connection that appends to the log, which has at least the default playbook unless nothing is written."""
    if not dry_run:
        fill_empty_log(server.app_url)
    with closing(LogConnection(server.app_url)) as connection:
        yield connection, Executor(connection)


def body(answer: Any) -> bytes:
    """The body that HTTP would have sent."""
    return queries.encode(answer)
