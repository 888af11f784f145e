"""Questions to a filled database, asked as the server asks them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from api.serving import settle
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from infra.readers import open_reader
from infra.sessions import Session
from projections.engine.rebuilding import rebuild
from tests.benchmarks import history
from tests.benchmarks.pairs import console, percentiles, times

T = TypeVar("T")


@contextmanager
def asking(server: Server, log: Iterable[history.Row], *projections: str) -> Iterator[Session]:
    """A reader's session with a database that has this log and these projections, and is at rest."""
    with scratch_database(server) as database:
        migrate(database.owner_url)
        history.write(database.owner_url, log)
        rebuild(database.app_url, projections)
        with psycopg.connect(database.owner_url, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
        settle()
        with open_reader(database.app_url) as session:
            session.limit({"statement_timeout": "0"})  # the peer's SQL over the raw log takes its time
            yield session


def ask(session: Session, question: Callable[[psycopg.Connection[Any]], T]) -> T:
    """The answer, in a transaction of its own."""
    with session.transaction():
        return question(session)


def tell(
    session: Session,
    name: str,
    question: Callable[[psycopg.Connection[Any]], object],
    rounds: int,
    aim: str = "",
) -> None:
    """Print how long the answer takes, and the aim beside it."""
    taken = percentiles(times(lambda: ask(session, question), rounds))
    console.print(f"  {name:<30} {taken}{aim and f' (aim: p99 under {aim})'}", soft_wrap=True)
