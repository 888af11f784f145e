"""A whole recalibration, from the log to the record: 100 k deals and 2 M events in under 90 s and 2 GB."""

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from domain.deal import (
    ActivityLogged,
    AmountRevised,
    DealLost,
    DealOpened,
    DealWon,
    ExpectedCloseRevised,
    StageAdvanced,
    StageRegressed,
)
from domain.event import Event
from domain.money import Money
from domain.playbook import STREAM_ID, CurrencySet
from domain.registry import decide
from domain.templates import TAS_PLUS
from infra.mapper import encode
from infra.migrations import migrate
from infra.postgres import Server, scratch_database
from projections.engine.rebuilding import rebuild
from tests.benchmarks import history
from tests.benchmarks.pairs import console, peak_megabytes
from workers.recalibration.reading import READ
from workers.recalibration.running import Asked, run_recalibration

DEALS = 100_000
EVENTS_PER_DEAL = 20
DAYS = 730
START = datetime(2024, 1, 1, tzinfo=UTC)
STAGES = history.STAGES


def run(server: Server, scale: float) -> None:
    """Fill a log with two years of dated deals and recalibrate at their end, in a process of its own."""
    deals = int(DEALS * scale)
    with scratch_database(server) as database:
        migrate(database.owner_url)
        events = history.write(database.owner_url, rows(deals))
        rebuild(database.app_url, [projection.name for projection in READ])
        measured = f"from {__name__} import measure; measure({database.app_url!r})"
        done = subprocess.run([sys.executable, "-c", measured], stdout=subprocess.PIPE, check=True)
        seconds, cpu, memory, phases = json.loads(done.stdout)
    console.print(
        f"recalibrating {deals:,} deals, {events:,} events: {seconds:,.1f} s ({cpu:,.1f} s of CPU), "
        f"at most {memory:,.0f} MB; {', '.join(f'{name} {spent:.1f} s' for name, spent in phases.items())}"
    )
    console.print("aim at full scale: under 90 s and 2,000 MB on two cores\n")


def rows(deals: int, seed: int = 1) -> Iterator[history.Row]:
    """The log of so many deals, EVENTS_PER_DEAL each on average."""
    rng = random.Random(seed)
    rules: tuple[Event, ...] = (decide(TAS_PLUS, None, None)[0], CurrencySet("EUR"))  # type: ignore[arg-type]
    for version, event in enumerate(rules, 1):
        yield (
            STREAM_ID,
            version,
            event.TOPIC,
            encode(history.meta(rng, STREAM_ID, START, schema=event.SCHEMA), event),
        )
    for _ in range(deals):
        deal = UUID(int=rng.getrandbits(128), version=4)
        for version, (event, at) in enumerate(_career(rng), 1):
            yield deal, version, event.TOPIC, encode(history.meta(rng, deal, at, schema=event.SCHEMA), event)


def _career(rng: random.Random) -> Iterator[tuple[Event, datetime]]:
    """One deal: it moves on every ten days or so, half of it is work, and its date is put off now and then."""
    at = START + timedelta(days=rng.random() * DAYS)
    close = (at + timedelta(days=rng.randrange(40, 160))).date()
    amount, owner = Money(Decimal(rng.randrange(1_000, 500_000)), "EUR"), f"rep-{rng.randrange(50)}"
    yield DealOpened(TAS_PLUS.funnel, STAGES[0], owner=owner, amount=amount, expected_close=close), at
    stage, left = 0, rng.randrange(EVENTS_PER_DEAL // 2, EVENTS_PER_DEAL * 3 // 2)
    for _ in range(left):
        at += timedelta(days=rng.expovariate(1 / 5))
        if at >= START + timedelta(days=DAYS):
            return
        turn = rng.random()
        if turn < 0.55:
            yield ActivityLogged(UUID(int=rng.getrandbits(128)), "visit", owner, rng.randrange(10**10)), at
        elif turn < 0.65:
            new = Money(Decimal(rng.randrange(1_000, 500_000)), "EUR")
            yield AmountRevised(amount, new), at
            amount = new
        elif turn < 0.75:
            later = close + timedelta(days=rng.randrange(10, 60))
            yield ExpectedCloseRevised(close, later), at
            close = later
        elif turn < 0.78 and stage:
            yield StageRegressed(STAGES[stage], STAGES[stage - 1], None), at
            stage -= 1
        elif stage < len(STAGES) - 1:
            yield StageAdvanced(STAGES[stage], STAGES[stage + 1]), at
            stage += 1
    yield (DealWon if rng.random() < 0.1 + 0.12 * stage else _lost)(STAGES[stage]), at + timedelta(days=3)


def _lost(stage: str) -> DealLost:
    return DealLost(stage, None)


def measure(url: str) -> None:
    """Print seconds, seconds of CPU, peak resident memory in MB, and seconds by what was being done."""
    phases: dict[str, float] = {}
    told = ["", time.perf_counter()]

    def progress(phase: str, _done: int, _total: int) -> None:
        now = time.perf_counter()
        if told[0]:
            phases[str(told[0])] = phases.get(str(told[0]), 0.0) + now - float(told[1])
        told[:] = [phase, now]

    started = time.perf_counter()
    run_recalibration(url, Asked(TAS_PLUS.funnel, START + timedelta(days=DAYS)), progress)
    progress("", 0, 0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    json.dump(
        [time.perf_counter() - started, used.ru_utime + used.ru_stime, peak_megabytes(), phases],
        sys.stdout,
    )
