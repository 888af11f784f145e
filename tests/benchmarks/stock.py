"""The peer: the `eventsourcing` library as its tutorial uses it, on the same server with the same durability."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from infra.postgres import Server, scratch_database


class Deal(Aggregate):
    """A deal the tutorial's way."""

    @event("Opened")
    def __init__(self, funnel: str, stage: str) -> None:
        self.funnel = funnel
        self.stage = stage
        self.amount = "0"
        self.status = "open"

    @event("AmountRevised")
    def revise_amount(self, amount: str) -> None:
        """Set the amount."""
        self.amount = amount

    @event("StageMoved")
    def move(self, stage: str) -> None:
        """Set the stage."""
        self.stage = stage

    @event("Closed")
    def close(self, status: str) -> None:
        """Set the outcome."""
        self.status = status


class Deals(Application[UUID]):
    """An application the tutorial's way: load, decide, save."""

    def open_deal(self) -> UUID:
        """Open a deal."""
        deal = Deal(funnel="tas_plus", stage="verification")
        self.save(deal)
        return deal.id

    def revise_amount(self, deal_id: UUID, amount: str) -> None:
        """Load the deal, revise its amount, save it."""
        deal: Deal = self.repository.get(deal_id)
        deal.revise_amount(amount)
        self.save(deal)


def environment(server: Server) -> dict[str, str]:
    """The library's settings for a database; everything else as it comes."""
    parts = conninfo_to_dict(server.owner_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts["host"]),
        "POSTGRES_PORT": str(parts.get("port", 5432)),
        "POSTGRES_USER": str(parts["user"]),
        "POSTGRES_PASSWORD": str(parts.get("password", "")) or "none",
    }


@contextmanager
def stock_application(server: Server) -> Iterator[tuple[Deals, dict[str, str]]]:
    """The application on a database of its own."""
    with scratch_database(server) as database:
        env = environment(database)
        with Deals(env) as application:
            yield application, env
