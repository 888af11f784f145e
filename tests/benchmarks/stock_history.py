"""The peer's log of the same history: deals the tutorial's way, with the events that ours have."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from domain.deal import ActivityLogged, AmountRevised, DealAbandoned, DealLost, DealOpened, DealWon
from infra.postgres import Server, scratch_database
from tests.benchmarks.history import deal_events
from tests.benchmarks.stock import environment


class StockDeal(Aggregate):
    """A deal and all that happens to one in the history."""

    @event("Opened")
    def __init__(self, funnel: str, stage: str, account: str, owner: str, amount: str, region: str) -> None:
        self.funnel, self.stage, self.account = funnel, stage, account
        self.owner, self.amount, self.region = owner, amount, region
        self.status, self.activities = "open", 0

    @event("ActivityLogged")
    def log_activity(self, kind: str, by: str) -> None:
        """Count one more."""
        self.activities += 1

    @event("AmountRevised")
    def revise_amount(self, amount: str) -> None:
        """Set the amount."""
        self.amount = amount

    @event("StageMoved")
    def move(self, stage: str) -> None:
        """Set the stage."""
        self.stage = stage

    @event("Closed")
    def close(self, outcome: str) -> None:
        """Set the outcome."""
        self.status = outcome


class StockHistory(Application[UUID]):
    """The application of these deals."""


@contextmanager
def stock_history(server: Server, events: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Its log on a database of its own, filled with about so many events: how many, and the library's settings."""
    with scratch_database(server) as database:
        env = environment(database)
        with StockHistory(env) as application:
            rng, written = random.Random(1), 0
            while written < events:
                deal = _live(rng, accounts=max(1, events // 30))
                written += deal.version
                application.save(deal)
            yield written, env


def _live(rng: random.Random, accounts: int) -> StockDeal:
    first, *rest = (told for told, _ in deal_events(rng, accounts))
    assert isinstance(first, DealOpened)
    assert first.amount is not None
    deal = StockDeal(
        funnel=first.funnel,
        stage=first.stage,
        account=str(first.account_id),
        owner=str(first.owner),
        amount=str(first.amount.amount),
        region=str(first.region),
    )
    outcomes = {DealWon: "won", DealLost: "lost", DealAbandoned: "abandoned"}
    for told in rest:
        if isinstance(told, ActivityLogged):
            deal.log_activity(told.kind, str(told.by))
        elif isinstance(told, AmountRevised):
            assert told.to_amount is not None
            deal.revise_amount(str(told.to_amount.amount))
        elif type(told) in outcomes:
            deal.close(outcomes[type(told)])
        else:
            deal.move(told.to_stage)  # type: ignore[attr-defined]
    return deal
