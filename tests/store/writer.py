"""A process that does its share of work on a log, for tests that kill it. Run it again and it resumes.

`python -m tests.store.writer URL NAME COUNT` prints a line for each command that was answered: its number, and the
position and event ids of the answer. Commands, ids and deals depend on NAME alone.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import closing
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg

from domain.command import Command
from domain.deal import AdvanceStage, LogActivity, OpenDeal, ReopenDeal, WinDeal
from domain.templates import TAS_PLUS
from infra.connection import LogConnection
from infra.executor import Executor
from tests.store.log import ask, done


def chosen_id(name: str) -> UUID:
    """The id that a client chooses for this name: a random one as far as anybody can tell."""
    return UUID(bytes=uuid5(NAMESPACE_URL, name).bytes, version=4)


SHARED = [chosen_id(f"shared {n}") for n in range(3)]
"""Deals that all writers work on, so that they get in each other's way."""


def commands(name: str, count: int) -> Iterator[tuple[Command, ...]]:
    """The requests of this writer: single commands and batches over several deals; the first opens its deal."""
    chance, own = random.Random(name), chosen_id(name)
    yield (OpenDeal(deal_id=own, funnel="tas_plus", name=f"deal of {name}"),)
    for n in range(count - 1):
        call = LogActivity(deal_id=own, kind="call", note=f"{name} {n}")
        match chance.randrange(6):
            case 0 | 1:
                yield (call,)
            case 2:
                stage = chance.choice(TAS_PLUS.stages).key
                yield (AdvanceStage(deal_id=own, to_stage=stage),)  # often refused
            case 3:
                yield WinDeal(deal_id=own), ReopenDeal(deal_id=own, to_stage="bidding", reason="-")
            case 4:
                yield call, LogActivity(deal_id=chance.choice(SHARED), kind="call")
            case _:
                yield call, LogActivity(deal_id=UUID(int=n), kind="call")  # refused: nothing of it happens


def work(url: str, name: str, count: int) -> Iterator[str]:
    """Do it, one request at a time."""
    with closing(LogConnection(url)) as connection:
        executor = Executor(connection)
        for number, batch in enumerate(commands(name, count)):
            (answer,) = executor.execute([ask(*batch, command_id=f"{name} {number}", digest=b"%d" % number)])
            if isinstance(answer, Exception):
                yield f"{number} refused {type(answer).__name__}"
            else:
                ids = ",".join(str(event_id) for item in done(answer).items for event_id in item.event_ids)
                yield f"{number} {answer.position} {ids}"


def rollbacks(url: str, count: int) -> None:
    """Take positions and give them up again, in the middle of everybody else's work."""
    for n in range(count):
        try:
            with psycopg.connect(url, autocommit=True) as conn, conn.transaction(force_rollback=True):
                conn.execute(
                    "UPDATE dealtrace.log_head SET position = position + 3, recorded_at = clock_timestamp()"
                )
                conn.execute(
                    "INSERT INTO dealtrace.events SELECT %s, 1, 'deal.won', '', position, recorded_at"
                    " FROM dealtrace.log_head",
                    [uuid5(NAMESPACE_URL, f"never {n}")],
                )
        except psycopg.OperationalError:
            continue  # killed: rolled back in another way


if __name__ == "__main__":
    for line in work(sys.argv[1], sys.argv[2], int(sys.argv[3])):
        print(line, flush=True)
