"""What the managers of the demonstration company expected of a deal, each with a bias of their own."""

import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from random import Random
from uuid import UUID

from domain.deal import (
    AbandonDeal,
    AdvanceStage,
    JoinDealTeam,
    LeaveDealTeam,
    LoseDeal,
    OpenDeal,
    RegressStage,
    ReopenDeal,
    ReviseAmount,
    ReviseExpectedClose,
    ReviseOwner,
    WinDeal,
)
from domain.manager_forecast import SetForecast, WithdrawForecast
from domain.money import MoneyInput
from workers.demo.company import (
    BIAS,
    CURRENCY,
    DIRECTOR,
    HOPE,
    MONTH_OPEN_DAYS,
    MOVED_ON,
    NOISE,
    SUCCEEDED_ON,
    WORKDAYS,
    Happening,
    manager_of,
    moment,
)

EVERY = 10.0
"""Working days between two 1:1 reviews of a deal."""
MOVES = 2
"""From so many moves on a deal is worth a review."""


_NOTHING = MoneyInput(amount=Decimal(0), currency=CURRENCY)


class _Seen:
    """The deal as its manager sees it."""

    open: bool = True
    moves: int = 0
    owner: str | None = None
    amount: MoneyInput | None = None
    close: date | None = None
    said: tuple[int, int] | None = None
    """Year and month of the forecast that stands."""

    def __init__(self) -> None:
        self.team: set[str] = set()


def with_forecasts(
    rng: Random, deal_id: UUID, career: list[Happening], until: datetime
) -> Iterator[Happening]:
    """The deal's happenings with the forecasts that were set in between."""
    won = next((moment(h.day, until) for h in reversed(career) if isinstance(h.command, WinDeal)), None)
    seen, review = _Seen(), math.inf
    for happening in career:
        while review < min(happening.day, WORKDAYS):
            yield from _review(rng, deal_id, seen, review, won, until)
            review += EVERY
        yield happening
        _take(seen, happening)
        if not seen.open:
            review = math.inf
        elif review == math.inf and seen.moves >= MOVES:
            review = happening.day + 0.5


def _take(seen: _Seen, happening: Happening) -> None:
    match happening.command:
        case OpenDeal(owner=owner, amount=amount, expected_close=close):
            seen.owner, seen.amount, seen.close = owner, amount, close
        case ReviseOwner(owner=owner):
            seen.owner = owner
        case ReviseAmount(amount=amount):
            seen.amount = amount
        case ReviseExpectedClose(expected_close=close):
            seen.close = close
        case AdvanceStage() | RegressStage():
            seen.moves += 1
        case WinDeal() | LoseDeal() | AbandonDeal():
            seen.open, seen.said = False, None
        case ReopenDeal():
            seen.open = True
        case JoinDealTeam(person=person):
            seen.team.add(person)
        case LeaveDealTeam(person=person):
            seen.team.discard(person)


def _review(
    rng: Random, deal_id: UUID, seen: _Seen, day: float, won: datetime | None, until: datetime
) -> Iterator[Happening]:
    """What the manager says in a review. Of a deal that is overdue nothing until its close is moved, except by the
    director, who clears forecasts of months that are locked by now, and takes what has slipped out of them."""
    close = seen.close
    today, luck, hope, spread = moment(day, until).date(), rng.random(), rng.random(), rng.gauss(0, NOISE)
    if any(0 <= change - day < 5 for change in (MOVED_ON, SUCCEEDED_ON)):
        return  # nobody knows who will be in charge
    if close is None or seen.owner is None or luck < 0.2:
        return
    if (close.year, close.month) < (today.year, today.month):
        if hope < HOPE:
            seen.said = (close.year, close.month)
            slipped = SetForecast(deal_id=deal_id, amount=_NOTHING, reason="It slipped; nobody had said so.")
            yield Happening(day, slipped, DIRECTOR, "director")
        return
    manager = manager_of(seen.owner, day)
    if manager in seen.team:
        return  # who works on a deal does not forecast it
    comes = won is not None and (won.year, won.month) == (close.year, close.month)
    amount = Decimal(0)
    if comes or hope < HOPE:
        factor = Decimal(str(round(max(0.0, (1 + BIAS[manager]) * (1 + spread)), 4)))
        assert isinstance(seen.amount, MoneyInput)
        amount = (seen.amount.amount * factor).quantize(Decimal(1))
    money = MoneyInput(amount=amount, currency=CURRENCY)
    forecast = SetForecast(deal_id=deal_id, amount=money, reason="As discussed in the weekly review.")
    if _reported(seen.said, day, until):
        why = "It slipped out of a month that is reported."
        yield Happening(day, WithdrawForecast(deal_id=deal_id, reason=why), DIRECTOR, "director")
        day += 0.005
    yield Happening(day, forecast, manager, "manager")
    seen.said = (close.year, close.month)
    if luck > 0.98:
        withdrawn = WithdrawForecast(deal_id=deal_id, reason="Too early to say.")
        yield Happening(day + 0.01, withdrawn, manager, "manager")
        seen.said = None


def _reported(month: tuple[int, int] | None, day: float, until: datetime) -> bool:
    """Whether the month is locked, or will be in a day, so that only the director takes a forecast out of it."""
    begun = moment(int(day + 1) - MONTH_OPEN_DAYS, until)
    return month is not None and month < (begun.year, begun.month)
