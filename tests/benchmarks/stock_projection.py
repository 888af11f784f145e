"""The peer's projections: the library's ProjectionRunner with folds equivalent to ours.

Per event one transaction, as the library does it, with the fewest plain statements for the views that our projections
fill from this history: the current deal with its activities, its history of states, its stage visits, its owners, its
timeline, the audit of what moved its forecast, when its amount was confirmed, and its win rate. The database is told
not to wait for the disk, as our rebuild does not.
"""

from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

TABLES = """
CREATE TABLE IF NOT EXISTS stock_deals (id uuid PRIMARY KEY, version bigint, funnel text, stage text, status text,
  amount numeric, owner text, account text, region text, opened timestamptz, entered timestamptz, closed timestamptz,
  changed timestamptz, activities bigint, last_activity timestamptz);
CREATE TABLE IF NOT EXISTS stock_states (id uuid, version bigint, at timestamptz, until timestamptz, funnel text,
  stage text, status text, amount numeric, owner text, account text, region text, PRIMARY KEY (id, version));
CREATE TABLE IF NOT EXISTS stock_visits (id uuid, version bigint, funnel text, stage text, account text, region text,
  entered timestamptz, "left" timestamptz, left_by text, owner text, PRIMARY KEY (id, version));
CREATE TABLE IF NOT EXISTS stock_owners (id uuid, version bigint, owner text, at timestamptz, PRIMARY KEY (id, version));
CREATE TABLE IF NOT EXISTS stock_timeline (id uuid, version bigint, at timestamptz, kind text, data jsonb,
  PRIMARY KEY (id, version));
CREATE TABLE IF NOT EXISTS stock_audit (position bigint PRIMARY KEY, id uuid, field text, at timestamptz, funnel text,
  owner text, old text, new text, stage text, status text, amount numeric);
CREATE TABLE IF NOT EXISTS stock_confirmations (id uuid, version bigint, at timestamptz, PRIMARY KEY (id, version));
CREATE TABLE IF NOT EXISTS stock_win_rates (id uuid PRIMARY KEY, version bigint, status text, value numeric)"""

_OPENED = (
    "INSERT INTO stock_deals VALUES (%(id)s, %(version)s, %(funnel)s, %(stage)s, 'open', %(amount)s, %(owner)s,"
    " %(account)s, %(region)s, %(at)s, %(at)s, NULL, %(at)s, 0, NULL)"
)
_OWNED = "INSERT INTO stock_owners VALUES (%(id)s, %(version)s, %(owner)s, %(at)s)"
_COMPARED = "INSERT INTO stock_win_rates VALUES (%(id)s, %(version)s, 'not_computed', NULL)"
_CONFIRMED = "INSERT INTO stock_confirmations VALUES (%(id)s, %(version)s, %(at)s)"
_TOLD = "INSERT INTO stock_timeline VALUES (%(id)s, %(version)s, %(at)s, %(kind)s, %(data)s)"
_AUDITED = (
    "INSERT INTO stock_audit SELECT %(position)s, id, %(field)s, %(at)s, funnel, owner,"
    " CASE %(field)s WHEN 'stage' THEN stage WHEN 'amount' THEN amount::text ELSE status END, %(new)s, stage, status,"
    " amount FROM stock_deals WHERE id = %(id)s"
)
_CHANGED = {
    "activity": "UPDATE stock_deals SET version = %(version)s, activities = activities + 1, last_activity = %(at)s"
    " WHERE id = %(id)s",
    "amount": "UPDATE stock_deals SET version = %(version)s, amount = %(amount)s, changed = %(at)s WHERE id = %(id)s",
    "stage": "UPDATE stock_deals SET version = %(version)s, stage = %(stage)s, entered = %(at)s, changed = %(at)s"
    " WHERE id = %(id)s",
    "outcome": "UPDATE stock_deals SET version = %(version)s, status = %(outcome)s, closed = %(at)s, changed = %(at)s"
    " WHERE id = %(id)s",
}
_FOLLOWED = "UPDATE stock_states SET until = %(at)s WHERE id = %(id)s AND until IS NULL"
_STATE = (
    "INSERT INTO stock_states SELECT id, version, %(at)s, NULL, funnel, stage, status, amount, owner, account, region"
    " FROM stock_deals WHERE id = %(id)s"
)
_LEFT = (
    'UPDATE stock_visits v SET "left" = %(at)s, left_by = %(field)s, owner = d.owner FROM stock_deals d'
    ' WHERE d.id = v.id AND v.id = %(id)s AND v."left" IS NULL'
)
_ENTERED = (
    "INSERT INTO stock_visits SELECT id, version, funnel, stage, account, region, %(at)s FROM stock_deals"
    " WHERE id = %(id)s"
)

_AFTER = {
    "opened": (_OPENED, _OWNED, _COMPARED, _STATE, _ENTERED, _AUDITED, _CONFIRMED, _TOLD),
    "activity": (_CHANGED["activity"], _TOLD),
    "amount": (_AUDITED, _CHANGED["amount"], _FOLLOWED, _STATE, _CONFIRMED, _TOLD),
    "stage": (_AUDITED, _CHANGED["stage"], _FOLLOWED, _STATE, _LEFT, _ENTERED, _TOLD),
    "outcome": (_AUDITED, _CHANGED["outcome"], _FOLLOWED, _STATE, _LEFT, _TOLD),
}
"""By what changed, the statements that bring all views up."""
_FIELDS = {
    "Opened": ("opened", ("funnel", "stage", "account", "owner", "amount", "region")),
    "ActivityLogged": ("activity", ("kind", "by")),
    "AmountRevised": ("amount", ("amount",)),
    "StageMoved": ("stage", ("stage",)),
    "Closed": ("outcome", ("outcome",)),
}
"""By the event's name, what it changes, and its own attributes."""


class StockViews(PostgresTrackingRecorder):
    """The eight views of the peer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sql_create_statements.extend(SQL(statement) for statement in TABLES.split(";"))  # type: ignore[arg-type]

    def record(self, event: Any, tracking: Tracking) -> None:
        """Fold one event into all views."""
        name = type(event).__name__
        field, names = _FIELDS[name]
        data = {n: getattr(event, n) for n in names}
        parameters = {
            **data,
            "id": event.originator_id,
            "version": event.originator_version,
            "at": event.timestamp,
            "position": tracking.notification_id,
            "kind": name,
            "data": Jsonb(data),
            "field": field,
            "new": data.get("outcome") or data.get("stage") or data.get("amount"),
        }
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            for statement in _AFTER[field]:
                cursor.execute(statement, parameters)


class StockProjection(Projection[StockViews]):
    """Hands every event to the views."""

    topics = ()

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Fold the event."""
        self.view.record(domain_event, tracking)
