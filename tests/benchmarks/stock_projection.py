"""The peer's projections: the library's ProjectionRunner with folds equivalent to ours.

Per event one transaction, as the library does it: the current deal, its version history, its stage visits and its
timeline. The database is told not to wait for the disk, as our rebuild does not.
"""

from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

TABLES = """
CREATE TABLE IF NOT EXISTS stock_deals (id uuid PRIMARY KEY, funnel text, stage text, status text, amount numeric);
CREATE TABLE IF NOT EXISTS stock_versions (id uuid, version bigint, at timestamptz, until timestamptz, stage text,
  status text, amount numeric, PRIMARY KEY (id, version));
CREATE TABLE IF NOT EXISTS stock_visits (id uuid, version bigint, stage text, entered timestamptz, "left" timestamptz,
  PRIMARY KEY (id, version));
CREATE TABLE IF NOT EXISTS stock_timeline (id uuid, version bigint, at timestamptz, kind text, data jsonb,
  PRIMARY KEY (id, version))"""


class StockViews(PostgresTrackingRecorder):
    """The four views of the peer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sql_create_statements.extend(SQL(statement) for statement in TABLES.split(";"))  # type: ignore[arg-type]

    def record(self, event: Any, tracking: Tracking) -> None:
        """Fold one event into all views."""
        deal, version, at = event.originator_id, event.originator_version, event.timestamp
        stage, status = getattr(event, "stage", None), getattr(event, "status", None)
        amount = getattr(event, "amount", None)
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            if version == 1:
                cursor.execute(
                    "INSERT INTO stock_deals VALUES (%s, %s, %s, 'open', 0)", (deal, event.funnel, stage)
                )
            else:
                cursor.execute(
                    "UPDATE stock_deals SET stage = coalesce(%s, stage), status = coalesce(%s, status),"
                    " amount = coalesce(%s, amount) WHERE id = %s",
                    (stage, status, amount, deal),
                )
            cursor.execute(
                "UPDATE stock_versions SET until = %s WHERE id = %s AND version = %s", (at, deal, version - 1)
            )
            cursor.execute(
                "INSERT INTO stock_versions SELECT id, %s, %s, NULL, stage, status, amount FROM stock_deals WHERE id = %s",
                (version, at, deal),
            )
            if stage is not None or status is not None:
                cursor.execute(
                    'UPDATE stock_visits SET "left" = %s WHERE id = %s AND "left" IS NULL', (at, deal)
                )
            if stage is not None:
                cursor.execute("INSERT INTO stock_visits VALUES (%s, %s, %s, %s)", (deal, version, stage, at))
            cursor.execute(
                "INSERT INTO stock_timeline VALUES (%s, %s, %s, %s, %s)",
                (deal, version, at, type(event).__name__, Jsonb({"stage": stage, "amount": amount})),
            )


class StockProjection(Projection[StockViews]):
    """Hands every event to the views."""

    topics = ()

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Fold the event."""
        self.view.record(domain_event, tracking)
