"""The peer's projections: the library's ProjectionRunner with folds equivalent to ours.

Per event one transaction, as the library does it, with the fewest plain statements for the views that our projections
fill from this history: the current deal with its activities, its history of states, its stage visits, its owners, its
timeline, the audit of what moved its forecast, when its amount was confirmed, and its win rate. Either all in one
projection, which is the least work; or a projection for each, as ours are: then those that need to know the deal keep
what they know of it themselves.
"""

import re
from collections.abc import Iterable
from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection
from eventsourcing.utils import get_topic
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from tests.benchmarks.stock_history import StockDeal

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
    "opened": (
        ("deals", _OPENED), ("owners", _OWNED), ("win_rates", _COMPARED), ("states", _STATE), ("visits", _ENTERED),
        ("audit", _AUDITED), ("confirmations", _CONFIRMED), ("timeline", _TOLD),
    ),
    "activity": (("deals", _CHANGED["activity"]), ("timeline", _TOLD)),
    "amount": (
        ("audit", _AUDITED), ("deals", _CHANGED["amount"]), ("states", _FOLLOWED), ("states", _STATE),
        ("confirmations", _CONFIRMED), ("timeline", _TOLD),
    ),
    "stage": (
        ("audit", _AUDITED), ("deals", _CHANGED["stage"]), ("states", _FOLLOWED), ("states", _STATE), ("visits", _LEFT),
        ("visits", _ENTERED), ("timeline", _TOLD),
    ),
    "outcome": (
        ("audit", _AUDITED), ("deals", _CHANGED["outcome"]), ("states", _FOLLOWED), ("states", _STATE),
        ("visits", _LEFT), ("timeline", _TOLD),
    ),
}  # fmt: skip
"""By what changed, the statements that bring all views up, in order."""
VIEWS = ("deals", "states", "visits", "owners", "timeline", "audit", "confirmations", "win_rates")
_KNOW_THE_DEAL = {"states", "visits", "audit"}
_FIELDS = {
    "Opened": ("opened", ("funnel", "stage", "account", "owner", "amount", "region")),
    "ActivityLogged": ("activity", ("kind", "by")),
    "AmountRevised": ("amount", ("amount",)),
    "StageMoved": ("stage", ("stage",)),
    "Closed": ("outcome", ("outcome",)),
}
"""By the event's name, what it changes, and its own attributes."""


class StockViews(PostgresTrackingRecorder):
    """Some of the views, in tables of their own."""

    tables: tuple[str, ...]
    after: dict[str, tuple[str, ...]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sql_create_statements.extend(SQL(statement) for statement in self.tables)  # type: ignore[arg-type]

    def record(self, event: Any, tracking: Tracking) -> None:
        """Fold one event into the views."""
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
            for statement in self.after[field]:
                cursor.execute(statement, parameters)


class StockProjection(Projection[StockViews]):
    """Hands every event that the views want to them."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Fold the event."""
        self.view.record(domain_event, tracking)


def projection_of(name: str, views: Iterable[str]) -> tuple[type[StockProjection], type[StockViews]]:
    """A projection that keeps these views, under a name of its own, and takes no more topics than they need."""
    asked = {*views}
    kept = asked | {"deals"} if asked & _KNOW_THE_DEAL else asked

    def own(statement: str) -> str:
        return re.sub(r"\bstock_(?=[a-z])", f"{name}_", statement)

    tables = tuple(own(t) for t in TABLES.split(";") if re.search(r"stock_(\w+)", t)[1] in kept)  # type: ignore[index]
    after = {
        field: tuple(own(s) for view, s in told if view in kept) if asked & {view for view, _ in told} else ()
        for field, told in _AFTER.items()
    }
    topics = tuple(get_topic(getattr(StockDeal, e)) for e, (field, _) in _FIELDS.items() if after[field])
    view_class = type(f"{name.title()}Views", (StockViews,), {"tables": tables, "after": after})
    return type(f"{name.title()}Projection", (StockProjection,), {"name": name, "topics": topics}), view_class
