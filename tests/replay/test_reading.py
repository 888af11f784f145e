"""What a fold gets to see of the log: every stream whole and in order, and nothing that nobody knows."""

import random
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import pytest

from domain.deal import AmountRevised, DealOpened
from domain.event import Event
from domain.money import Money
from infra.mapper import UnknownTopic, encode
from projections.engine.catalogue import chosen
from projections.engine.ranges import each_key, unhandled
from tests.benchmarks import history
from tests.projections.conftest import Playground
from workers.replay.running import Asked, run_replay

FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
LENGTHS = (3, 2_500, 1, 998, 1_000, 7)
"""Of streams shorter than a page of the reader, longer than two, and just as long."""


def streams() -> Iterator[history.Row]:
    rng, amount = random.Random(1), Money(Decimal(1_000), "EUR")
    for number, length in enumerate(LENGTHS, 1):
        deal = UUID(int=number << 64)
        for version in range(1, length + 1):
            event: Event = AmountRevised(amount, amount)
            if version == 1:
                event = DealOpened("sales", "lead", amount=amount)
            meta = history.meta(rng, deal, history.START, schema=event.SCHEMA)
            yield deal, version, event.TOPIC, encode(meta, event)


def test_every_stream_comes_whole_and_once_however_long_it_is(playground: Playground) -> None:
    playground.without_projections()
    upto = history.write(playground.owner_url, streams())
    with playground.connected() as conn:
        read = [
            (key.int >> 64, [e.version for e in events]) for key, events in each_key(conn, FIRST, LAST, upto)
        ]
    assert read == [(number, list(range(1, length + 1))) for number, length in enumerate(LENGTHS, 1)]


def test_of_what_no_projection_wants_nothing_is_read(playground: Playground) -> None:
    playground.without_projections()
    upto = history.write(playground.owner_url, streams())
    unwanted = unhandled(chosen(["visits"]))
    assert AmountRevised.TOPIC in unwanted
    assert DealOpened.TOPIC not in unwanted
    with playground.connected() as conn:
        read = [[e.topic for e in events] for _, events in each_key(conn, FIRST, LAST, upto, unwanted)]
    assert read == [[DealOpened.TOPIC]] * len(LENGTHS)


def test_an_unknown_topic_stops_the_replay_of_any_projection(playground: Playground) -> None:
    playground.without_projections()
    *known, last = streams()
    history.write(playground.owner_url, [*known, (*last[:2], "deal.of_tomorrow", last[3])])
    for name in ("visits", "rate_sets"):
        with pytest.raises(UnknownTopic, match=r"deal\.of_tomorrow"):
            run_replay(playground.app_url, Asked(projections=(name,), processes=1))
