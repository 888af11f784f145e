"""The open deals of a funnel at (T, K) with what states and win rates are judged from, by any rules."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from psycopg import Connection, sql

from domain.exact import total
from domain.pipeline import State, state_of
from domain.playbook import Stage
from domain.win_rate import AS_DEFINED, RatedDeal, Variant, WinRate, roll_up, win_rate
from projections.clocks import happened, in_force, not_followed
from projections.filters import Filters
from projections.forecast_rows import Then
from projections.funnel import PROJECTION as FUNNEL
from projections.process import PROJECTION as PROCESS
from projections.rules import playbook_at
from projections.win_rates import NOTHING_KNOWN
from projections.win_rates import PROJECTION as WIN_RATES


class JudgedDeal(msgspec.Struct, frozen=True):
    """An open deal; `age` of its visit in microseconds, `missing` required items of its stage, None without a list.

    `value` is the win rate in force, of which `compared` is the whole; both None while nothing was compared.
    """

    stage: str
    amount: Decimal | None
    age: int
    missing: int | None
    value: Decimal | None
    compared: str | None

    def state(self, stages: dict[str, Stage]) -> State | None:
        """Its state by these definitions of the stages; None in a stage without one."""
        stage = stages.get(self.stage)
        if stage is None:
            return None
        return state_of(self.age, stage.stall_after_days, stage.lose_after_days, self.missing).state

    def win_rate(self, variant: Variant) -> Decimal | None:
        """Its win rate by a variant of the formula, of what was known about the parties then."""
        if variant == AS_DEFINED:
            return self.value
        inputs = (_decode(self.compared) if self.compared else NOTHING_KNOWN).inputs
        return win_rate(inputs, variant).value


class Judged(msgspec.Struct, frozen=True):
    """Open deals by their states, and their win rates: the amount-weighted mean of those that have a number."""

    entered: int
    stalled: int
    pending_loss: int
    pending_advance: int
    win_rate: Decimal | None
    with_number: int
    not_computed: int


def judged(deals: Iterable[JudgedDeal], stages: dict[str, Stage], variant: Variant) -> Judged:
    """The deals by these definitions of the stages and this variant of the win rate."""
    every = list(deals)
    states = [deal.state(stages) for deal in every]
    rates = roll_up(RatedDeal(deal.amount, deal.win_rate(variant)) for deal in every)
    return Judged(
        entered=states.count("entered"),
        stalled=states.count("stalled"),
        pending_loss=states.count("pending_loss"),
        pending_advance=states.count("pending_advance"),
        win_rate=rates.mean,
        with_number=rates.with_number,
        not_computed=rates.not_computed,
    )


def amount_of(deals: Iterable[JudgedDeal]) -> Decimal:
    """The known amounts of some deals."""
    return total(deal.amount for deal in deals if deal.amount is not None)


def judged_deals(conn: Connection[Any], at: Then, filters: Filters) -> list[JudgedDeal]:
    """The open deals that pass the filters; one query."""
    as_of, known_at = at.as_of, at.known_at
    lists = playbook_at(conn, as_of, known_at).checklists.get(at.funnel.key, {})
    required = {key: each.required() for key, each in lists.items() if each.items}
    query = sql.SQL(
        "SELECT s.stage, s.amount, (extract(epoch FROM %(as_of)s::timestamptz - s.entered_at) * 1000000)::bigint,"
        " t.items, w.value, w.win_rate::text FROM {states} s LEFT JOIN"
        " (SELECT t.deal_id, t.stage, count(DISTINCT t.item) AS items FROM {ticks} t"
        " JOIN unnest(%(stages)s::text[], %(items)s::text[]) AS r(stage, item)"
        " ON r.stage = t.stage AND r.item = t.item WHERE {ticked} AND {still} GROUP BY t.deal_id, t.stage) t"
        " ON t.deal_id = s.deal_id AND t.stage = s.stage"
        " LEFT JOIN {rates} w ON w.deal_id = s.deal_id AND {rated}"
        " WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {then}{filters}"
    ).format(
        states=FUNNEL.view("deal_states"),
        ticks=PROCESS.view("item_ticks"),
        rates=WIN_RATES.view("win_rate_changes"),
        ticked=happened("t", known_at),
        still=not_followed("t", known_at, "unticked_at", "unticked_known_at"),
        rated=in_force("w", known_at),
        then=in_force("s", known_at),
        filters=filters.where("s"),
    )
    rows = conn.execute(query, _parameters(at, filters, as_of, known_at, required)).fetchall()
    return [
        JudgedDeal(
            stage,
            amount,
            age,
            len(required[stage]) - (items or 0) if stage in required else None,
            value,
            compared,
        )
        for stage, amount, age, items, value, compared in rows
    ]


def _parameters(
    at: Then,
    filters: Filters,
    as_of: datetime,
    known_at: datetime | None,
    required: dict[str, Any],
) -> dict[str, Any]:
    return filters.parameters() | {
        "funnel": at.funnel.key,
        "as_of": as_of,
        "known_at": known_at,
        "stages": [key for key, items in required.items() for _ in items],
        "items": [item for items in required.values() for item in items],
    }


_decode = msgspec.json.Decoder(WinRate).decode
