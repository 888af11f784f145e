"""Stage win rates as they were adopted: which set was in force at any moment, as known at any moment."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.event import Recorded
from domain.playbook import Evidence, RateSetAdopted, StageRate
from projections.engine.description import Out, Projection, Table, topics


class AdoptedRateSet(msgspec.Struct, frozen=True):
    """One rate set of a funnel, numbered from 1: its rates, its evidence, and who adopted it, why and when."""

    funnel: str
    number: int
    rate_set: UUID
    effective_from: datetime
    rates: tuple[StageRate, ...]
    evidence: Evidence | None
    reason: str
    position: int
    event_id: UUID
    occurred_at: datetime
    known_at: datetime
    recorded_at: datetime
    claimed: bool
    actor_id: str
    actor_role: str
    actor_auth: str
    on_behalf_of: str | None
    correlation_id: str
    causation_id: str


def fold(_: None, e: Recorded, out: Out) -> None:
    """One row for one adoption."""
    event, meta, actor = e.event, e.meta, e.meta.actor
    out.insert(
        AdoptedRateSet(
            event.funnel,
            event.number,
            event.rate_set,
            event.effective_from,
            event.rates,
            event.evidence,
            event.reason,
            e.position,
            meta.event_id,
            meta.occurred_at,
            e.known_at,
            e.recorded_at,
            meta.source_recorded_at is not None,
            actor.id,
            actor.role,
            actor.auth,
            actor.on_behalf_of,
            meta.correlation_id,
            meta.causation_id,
        )
    )


PROJECTION = Projection(
    name="rate_sets",
    version=1,
    topics=topics(RateSetAdopted),
    fold=fold,
    histories=(
        Table(
            "rate_sets",
            AdoptedRateSet,
            key=("funnel", "number"),
            processing=("position", "event_id", "recorded_at", "correlation_id", "causation_id"),
        ),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------

_decode_rates = msgspec.json.Decoder(tuple[StageRate, ...]).decode
_RATES = AdoptedRateSet.__struct_fields__.index("rates")
_decode_evidence = msgspec.json.Decoder(Evidence).decode


def rate_sets(conn: Connection[Any], funnel: str, known_at: datetime | None = None) -> list[AdoptedRateSet]:
    """Every rate set of a funnel that was known at K, in the order of their numbers."""
    query = sql.SQL(
        "SELECT {} FROM {} WHERE funnel = %(funnel)s"
        " AND (%(known_at)s::timestamptz IS NULL OR known_at <= %(known_at)s) ORDER BY number"
    ).format(
        sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(c.name)) if c.type == "json" else sql.Identifier(c.name)
            for c in PROJECTION.histories[0].columns
        ),
        PROJECTION.view("rate_sets"),
    )
    rows = conn.execute(query, {"funnel": funnel, "known_at": known_at}).fetchall()
    return [_adopted(list(row)) for row in rows]


def _adopted(row: list[Any]) -> AdoptedRateSet:
    row[_RATES] = _decode_rates(row[_RATES])
    row[_RATES + 1] = row[_RATES + 1] and _decode_evidence(row[_RATES + 1])
    return AdoptedRateSet(*row)


def in_force(
    sets: Sequence[AdoptedRateSet], as_of: datetime, known_at: datetime | None = None
) -> AdoptedRateSet | None:
    """Of the sets of one funnel, the latest that was effective by T and known by K; None before the first."""
    begun = [s for s in sets if s.effective_from <= as_of and (known_at is None or s.known_at <= known_at)]
    return max(begun, key=lambda s: (s.effective_from, s.number), default=None)


def rate_set_in_force(
    conn: Connection[Any], funnel: str, as_of: datetime, known_at: datetime | None = None
) -> AdoptedRateSet | None:
    """The rate set in force in a funnel at (T, K); None before the first."""
    return in_force(rate_sets(conn, funnel, known_at), as_of, known_at)


class RateTable(Protocol):
    """Stage win rates: an adopted set with its number, or some that are only tried, with none."""

    @property
    def number(self) -> int | None: ...
    @property
    def rates(self) -> tuple[StageRate, ...]: ...


class Rates:
    """What a rate set gives to a deal, by its stage and the age of its open visit."""

    def __init__(self, chosen: RateTable | None, stall_after_days: dict[str, int]) -> None:
        self._rates = {(r.stage, r.age): r.rate for r in chosen.rates} if chosen else {}
        self._stall_after = {s: d * _DAY_SECONDS for s, d in stall_after_days.items()}

    @property
    def known(self) -> set[tuple[str, bool]]:
        """Stage and whether stalled, of all visits that have a rate."""
        ages = {None: (False, True), "fresh": (False,), "stalled": (True,)}
        return {(stage, stalled) for stage, age in self._rates for stalled in ages[age]}

    def of_age(self, stage: str, *, stalled: bool) -> Decimal | None:
        """The rate of a fresh or stalled visit of the stage; None where the set has none."""
        rate = self._rates.get((stage, None))
        return rate if rate is not None else self._rates.get((stage, "stalled" if stalled else "fresh"))

    def of(self, stage: str, entered_at: datetime, at: datetime) -> Decimal | None:
        """The stage win rate at a time of a deal that entered the stage then; None where the set has none."""
        # without a definition of the stage there is no age at which its visits stall
        stalled = (at - entered_at).total_seconds() > self._stall_after.get(stage, float("inf"))
        return self.of_age(stage, stalled=stalled)


_DAY_SECONDS = 86_400
