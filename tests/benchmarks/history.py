"""A long history of deals, written straight into an empty log: what imports and rebuilds are measured on."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg

from domain.deal import (
    ActivityLogged,
    AmountRevised,
    DealAbandoned,
    DealLost,
    DealOpened,
    DealWon,
    StageAdvanced,
    StageRegressed,
)
from domain.event import Actor, Event, Meta
from domain.money import Money
from domain.playbook import STREAM_ID, CurrencySet
from domain.registry import decide
from domain.templates import TAS_PLUS
from infra.mapper import encode

STAGES = [stage.key for stage in TAS_PLUS.stages]
START = datetime(2020, 1, 1, tzinfo=UTC)
ACTOR = Actor("bench", "integration", "bench")

Row = tuple[UUID, int, str, bytes]


def deal_events(rng: random.Random, accounts: int) -> Iterator[tuple[Event, datetime]]:
    """One deal's life: about ten events with their times."""
    at = START + timedelta(seconds=rng.randrange(5 * 365 * 86_400))
    account = UUID(int=rng.randrange(accounts))
    amount = Money(Decimal(rng.randrange(1_000, 500_000)), "EUR")
    owner, region = f"rep-{rng.randrange(50)}", rng.choice(["north", "south", "east", "west"])
    yield DealOpened("tas_plus", STAGES[0], account_id=account, owner=owner, amount=amount, region=region), at
    stage = 0
    for _ in range(rng.randrange(3, 16)):
        at += timedelta(seconds=rng.randrange(3_600, 20 * 86_400))
        turn = rng.random()
        if turn < 0.45:
            yield ActivityLogged(UUID(int=rng.getrandbits(128)), "visit", owner, rng.randrange(10**10)), at
        elif turn < 0.55:
            new = Money(Decimal(rng.randrange(1_000, 500_000)), "EUR")
            yield AmountRevised(amount, new), at
            amount = new
        elif turn < 0.6 and stage > 0:
            yield StageRegressed(STAGES[stage], STAGES[stage - 1], None), at
            stage -= 1
        elif stage < len(STAGES) - 1:
            yield StageAdvanced(STAGES[stage], STAGES[stage + 1]), at
            stage += 1
    if rng.random() < 0.6:
        outcome = rng.random()
        closing: Event = DealAbandoned(STAGES[stage], None)
        if outcome < 0.35:
            closing = DealWon(STAGES[stage])
        elif outcome < 0.85:
            closing = DealLost(STAGES[stage], None)
        yield closing, at + timedelta(days=3)


def rows(events: int, seed: int = 1) -> Iterator[Row]:
    """(stream id, version, topic, state) of a playbook and then of deals, about as many as asked."""
    rng = random.Random(seed)
    defined = decide(TAS_PLUS, None, None)[0]  # type: ignore[arg-type]
    for version, event in enumerate((defined, CurrencySet("EUR")), 1):
        yield STREAM_ID, version, event.TOPIC, encode(meta(rng, STREAM_ID, START, schema=event.SCHEMA), event)
    written = 2
    while written < events:
        deal_id = UUID(int=rng.getrandbits(128), version=4)
        for version, (event, at) in enumerate(deal_events(rng, max(1, events // 30)), 1):
            yield deal_id, version, event.TOPIC, encode(meta(rng, deal_id, at, schema=event.SCHEMA), event)
            written += 1


def fill(owner_url: str, events: int, seed: int = 1) -> int:
    """Write the history into the empty, migrated log of a database; how many events it has now."""
    return write(owner_url, rows(events, seed))


def write(owner_url: str, history: Iterable[Row]) -> int:
    """Write these rows into the empty, migrated log of a database; how many events it has now."""
    recorded_at, position = datetime.now(UTC), 0
    with psycopg.connect(owner_url) as conn:
        with conn.cursor().copy("COPY dealtrace.events FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["uuid", "int8", "text", "bytea", "int8", "timestamptz"])
            for position, row in enumerate(history, 1):
                copy.write_row((*row, position, recorded_at))
        conn.execute("UPDATE dealtrace.log_head SET position = %s, recorded_at = %s", (position, recorded_at))
        conn.commit()
        conn.autocommit = True
        conn.execute("VACUUM (ANALYZE) dealtrace.events")
    return position


def meta(
    rng: random.Random, stream_id: UUID, at: datetime, partition_key: UUID | None = None, *, schema: int = 1
) -> Meta:
    """An envelope; the partition key is the stream unless another one is given."""
    return Meta(
        event_id=UUID(int=rng.getrandbits(128), version=4),
        schema=schema,
        partition_key=partition_key or stream_id,
        occurred_at=at,
        origin="import",
        actor=ACTOR,
        request_id="",
        command_id="bench",
        correlation_id="bench",
        causation_id="bench",
        playbook_version=2,
        source_recorded_at=at,
    )
