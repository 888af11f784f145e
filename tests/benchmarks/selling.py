"""A sales organisation at work, written straight into an empty log: dated deals with forecasts and comparisons."""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from uuid import UUID

from domain.deal import (
    AmountRevised,
    CompellingEventRecorded,
    DealLost,
    DealOpened,
    DealWon,
    ExpectedCloseRevised,
    OurPositionAssessed,
    Result,
    StageAdvanced,
)
from domain.event import Event, TextRef
from domain.manager_forecast import Forecast, ForecastSet, Seen, forecast_stream
from domain.money import Money
from domain.organisation import STREAM_ID as ORGANISATION
from domain.organisation import ManagerAppointed, PersonJoined, TeamCreated
from domain.playbook import STREAM_ID, CurrencySet, RateSetAdopted, StageRate
from domain.registry import decide
from domain.templates import TAS_PLUS
from domain.win_rate import Assessment, Comparison, win_rate
from infra.mapper import encode
from tests.benchmarks.history import STAGES, START, Row, meta

END = START + timedelta(days=730)
"""The moment that the figures are asked for; the deals began in the two years before it."""
TEAMS, PEOPLE = 20, 10
"""Teams, and people in each."""

COMPARED = "east"
"""The region of the deals that have win rates."""

Told = tuple[UUID, Event, datetime]
"""Stream, event, and when it happened."""


def rows(deals: int, *, compared: int = 0, seed: int = 1) -> Iterator[Row]:
    """The log of so many open deals and half as many closed ones; the first `compared` have ten win rates each.

    Of the open ones a twelfth is expected in each month of the coming year, a twentieth is overdue and another
    one undated; half of them have a manager forecast.
    """
    rng = random.Random(seed)
    versions: dict[UUID, int] = {}
    careers = (told for n in range(deals * 3 // 2) for told in _deal(rng, n, deals, compared))
    for stream, event, at in chain(_rules(), careers):
        version = versions[stream] = versions.get(stream, 0) + 1
        deal = event.deal_id if isinstance(event, ForecastSet) else None
        yield stream, version, event.TOPIC, encode(meta(rng, stream, at, deal, schema=event.SCHEMA), event)


def owner(number: int) -> str:
    """The owner of the deal with this number: the first people of the first teams own the first deals."""
    return f"rep-{number % (TEAMS * PEOPLE)}"


def _rules() -> Iterator[Told]:
    defined = decide(TAS_PLUS, None, None)[0]  # type: ignore[arg-type]
    rates = tuple(StageRate(stage, age, Decimal("0.25")) for stage in STAGES for age in ("fresh", "stalled"))
    adopted = RateSetAdopted(UUID(int=1), "tas_plus", 1, START, rates, None, "a start")
    for event in (defined, CurrencySet("EUR"), adopted):
        yield STREAM_ID, event, START
    for team in range(TEAMS):
        yield ORGANISATION, TeamCreated(f"team_{team}", f"Team {team}", None, None), START
        yield ORGANISATION, ManagerAppointed(f"team_{team}", None, f"manager-{team}"), START
    for person in range(TEAMS * PEOPLE):
        yield ORGANISATION, PersonJoined(f"rep-{person}", f"team_{person % TEAMS}", None, None), START


def _deal(rng: random.Random, number: int, open_deals: int, compared: int) -> Iterator[Told]:
    deal = UUID(int=rng.getrandbits(128), version=4)
    ends = number >= open_deals
    at = END - timedelta(days=rng.uniform(30, 700) if ends else rng.uniform(5, 400))
    amount, close = Money(Decimal(rng.randrange(2, 400) * 500), "EUR"), _close(rng)
    account = UUID(int=rng.randrange(open_deals // 3 + 1))
    opened = DealOpened(
        "tas_plus",
        STAGES[0],
        account_id=account,
        owner=owner(number),
        amount=amount,
        expected_close=close,
        region=COMPARED if number < compared else "west",
    )
    yield deal, opened, at
    left, stage, times = END - at, 0, sorted(rng.random() for _ in range(5))
    if number < compared:
        yield from _comparison(rng, deal, at)
    for share in times:
        turn, now = rng.random(), at + left * share * 0.99
        if turn < 0.6 and stage < len(STAGES) - 1:
            yield deal, StageAdvanced(STAGES[stage], STAGES[stage + 1]), now
            stage += 1
        elif turn < 0.8:
            later = _close(rng)
            yield deal, ExpectedCloseRevised(close, later), now
            close = later
        else:
            other = Money(Decimal(rng.randrange(2, 400) * 500), "EUR")
            yield deal, AmountRevised(amount, other), now
            amount = other
    if ends:
        closing = DealWon(STAGES[stage]) if rng.random() < 0.4 else DealLost(STAGES[stage], None)
        yield deal, closing, at + left * 0.995
    elif close is not None and rng.random() < 0.5:
        reviewed = at + left * rng.uniform(0.3, 0.99)
        yield forecast_stream(deal), _forecast(deal, STAGES[stage], amount, close, owner(number)), reviewed


def _close(rng: random.Random) -> date | None:
    luck = rng.random()
    if luck < 0.05:
        return None
    return (END + timedelta(days=rng.uniform(-90, 0) if luck < 0.10 else rng.uniform(0, 365))).date()


def _forecast(deal: UUID, stage: str, amount: Money, close: date, who: str) -> ForecastSet:
    seen = Seen(6, 0, "tas_plus", stage, None, amount, close, who, None, 1, ())
    return ForecastSet(deal, Forecast(f"{close:%Y-%m}", amount), None, "as reviewed", False, seen)


def _comparison(rng: random.Random, deal: UUID, at: datetime) -> Iterator[Told]:
    """Ten weekly assessments after a compelling event."""
    nothing = win_rate(Comparison(compelling_event=True, us=Assessment()))
    text = TextRef(UUID(int=rng.getrandbits(128), version=4), "0" * 64)
    yield deal, CompellingEventRecorded(text, None, Result(nothing, ())), at
    before = None
    for week in range(10):
        us = Assessment(Decimal(rng.randrange(1, 20)) / 2, Decimal(rng.randrange(1, 20)) / 2)
        rate = win_rate(Comparison(compelling_event=True, us=us))
        yield (
            deal,
            OurPositionAssessed(before, us, Result(rate, ("us",))),
            at + timedelta(days=7 * week, hours=1),
        )
        before = us
