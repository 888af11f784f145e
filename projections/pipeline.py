"""The four states of open deals (B3) with their checklists beside, and the weekly flow between the states."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.money import plain
from domain.pipeline import AgeState, Flow, State, flow, state_of
from infra.vault import read_texts
from projections.clocks import happened, in_force, not_followed, position_of
from projections.deals import PROJECTION as DEALS
from projections.filters import NO_FILTERS, Filters
from projections.funnel import PROJECTION as FUNNEL
from projections.playbook import stages_at
from projections.process import PROJECTION as PROCESS
from projections.rules import playbook_at, zone_at
from projections.win_rate_weeks import last_weeks

FORMULA = "four_states/1"
MICROSECOND = timedelta(microseconds=1)


class DealInState(msgspec.Struct, frozen=True):
    """An open deal and its state at (T, K), oldest visit first; its name as it is now.

    `age_state` is what its age alone gives. `required_open` counts the required items of its stage that are not
    ticked, null where the stage has no checklist.
    """

    deal_id: UUID
    name: str | None
    stage: str
    owner: str | None
    amount: str | None
    grade: str | None
    state: State
    age_state: AgeState
    entered_at: datetime
    age_days: float
    required: int
    required_open: int | None


class StageStates(msgspec.Struct, frozen=True):
    """The open deals in one stage by their state: how many, and their amounts as decimal strings."""

    stage: str
    macro_stage: str
    entered: int
    stalled: int
    pending_loss: int
    pending_advance: int
    entered_amount: str
    stalled_amount: str
    pending_loss_amount: str
    pending_advance_amount: str


class StatesTotal(msgspec.Struct, frozen=True):
    """The same over all stages."""

    entered: int
    stalled: int
    pending_loss: int
    pending_advance: int
    entered_amount: str
    stalled_amount: str
    pending_loss_amount: str
    pending_advance_amount: str


class States(msgspec.Struct, frozen=True):
    """A funnel's open deals by stage and state at (T, K)."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    stages: list[StageStates]
    total: StatesTotal


class FlowWeek(msgspec.Struct, frozen=True):
    """How many deals went from which state to which from the end of the week before to the end of this one, or to T.

    Null instead of a state is "not open": opened since, or closed since.
    """

    week: str
    start: datetime
    end: datetime
    flows: list[Flow]


class StateFlow(msgspec.Struct, frozen=True):
    """The weekly flow between the states of a funnel's open deals, up to T, as known at K."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    formula: str
    weeks: list[FlowWeek]


_STATES: tuple[State, ...] = ("entered", "stalled", "pending_loss", "pending_advance")


def states(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
) -> States:
    """Open deals by stage and state at (T, K). Raises UnknownFunnel."""
    position, found = open_deals(conn, funnel, as_of=as_of, known_at=known_at, filters=filters)
    stages = stages_at(conn, funnel, as_of, known_at).showing({d.stage for d in found})
    rows = [
        StageStates(s.key, s.macro_stage, *_figures(d for d in found if d.stage == s.key)) for s in stages
    ]
    return States(funnel, as_of, known_at, position, FORMULA, rows, StatesTotal(*_figures(found)))


def _figures(deals: Iterable[DealInState]) -> list[Any]:
    counts = dict.fromkeys(_STATES, 0)
    amounts = dict.fromkeys(_STATES, Decimal())
    for deal in deals:
        counts[deal.state] += 1
        amounts[deal.state] += Decimal(deal.amount or 0)
    return [*counts.values(), *map(plain, amounts.values())]


def open_deals(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
    deal_id: UUID | None = None,
) -> tuple[int, list[DealInState]]:
    """The position, and every open deal, or this one, with its state, oldest visit first, without names.

    Raises UnknownFunnel.
    """
    stages = {s.key: s for s in stages_at(conn, funnel, as_of, known_at).all}
    lists = playbook_at(conn, as_of, known_at).checklists.get(funnel, {})
    required = {key: lists[key].required() for key in stages if key in lists and lists[key].items}
    query = sql.SQL(
        "SELECT {position}, found.* FROM (SELECT 1) one LEFT JOIN (SELECT s.deal_id, s.stage, s.owner, s.amount,"
        " s.grade, s.entered_at, coalesce(t.items, 0) AS ticked FROM {states} s LEFT JOIN"
        " (SELECT t.deal_id, t.stage, count(DISTINCT t.item) AS items FROM {ticks} t"
        " JOIN unnest(%(stages)s::text[], %(items)s::text[]) AS r(stage, item)"
        " ON r.stage = t.stage AND r.item = t.item WHERE {ticked} AND {still}{of_ticks} GROUP BY t.deal_id, t.stage) t"
        " ON t.deal_id = s.deal_id AND t.stage = s.stage"
        " WHERE s.funnel = %(funnel)s AND s.status = 'open' AND {then}{of_states}{filters}"
        ") found ON true ORDER BY found.entered_at, found.deal_id"
    ).format(
        position=position_of(FUNNEL, PROCESS),
        states=FUNNEL.view("deal_states"),
        ticks=PROCESS.view("item_ticks"),
        ticked=happened("t", known_at),
        still=not_followed("t", known_at, "unticked_at", "unticked_known_at"),
        then=in_force("s", known_at),
        of_ticks=sql.SQL(" AND t.deal_id = %(deal_id)s" if deal_id else ""),
        of_states=sql.SQL(" AND s.deal_id = %(deal_id)s" if deal_id else ""),
        filters=filters.where("s"),
    )
    parameters = {
        **filters.parameters(),
        "funnel": funnel,
        "as_of": as_of,
        "known_at": known_at,
        "deal_id": deal_id,
        "stages": [key for key, items in required.items() for _ in items],
        "items": [item for items in required.values() for item in items],
    }
    rows = conn.execute(query, parameters).fetchall()
    found = []
    for _, found_id, key, owner, amount, grade, entered_at, ticked in rows:
        if key not in stages:  # also the one row of nulls where no deal is open
            continue
        asked = len(required.get(key, ()))
        missing = asked - ticked if key in required else None
        age = (as_of - entered_at) // MICROSECOND
        state = state_of(age, stages[key].stall_after_days, stages[key].lose_after_days, missing)
        found.append(
            DealInState(
                found_id,
                None,
                key,
                owner,
                None if amount is None else plain(amount),
                grade,
                state.state,
                state.age_state,
                entered_at,
                days(age),
                asked,
                missing,
            )
        )
    return rows[0][0], found


def days(microseconds: int) -> float:
    """In days, rounded half-even to 4 places."""
    return float(round(Fraction(microseconds, 86_400_000_000), 4))


def names_of(conn: Connection[Any], deals: Iterable[UUID]) -> dict[UUID, str]:
    """The names of deals as they are now, of those that have one."""
    query = sql.SQL("SELECT deal_id, name_id FROM {} WHERE deal_id = ANY(%s) AND name_id IS NOT NULL").format(
        DEALS.view("deals")
    )
    ids = dict(conn.execute(query, [list(deals)]).fetchall())
    texts = read_texts(conn, ids.values())
    return {deal: texts[name] for deal, name in ids.items() if name in texts}


def state_flow(
    conn: Connection[Any],
    funnel: str,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    filters: Filters = NO_FILTERS,
    weeks: int = 4,
) -> StateFlow:
    """The flow between the states in each of the last `weeks` weeks, the one that holds T included, as known at K.

    Every week's end is judged by the playbook in force then. Raises UnknownFunnel.
    """
    periods = last_weeks(as_of, zone_at(conn, as_of, known_at), weeks)
    moments = [periods[0].start - MICROSECOND, *(week.as_of for week in periods[:-1]), as_of]
    found: list[dict[str, State]] = []
    position = 0
    for moment in moments:
        position, deals = open_deals(conn, funnel, as_of=moment, known_at=known_at, filters=filters)
        found.append({str(deal.deal_id): deal.state for deal in deals})
    shown = [
        FlowWeek(week.label, week.start, week.end, list(flow(found[i], found[i + 1])))
        for i, week in enumerate(periods)
    ]
    return StateFlow(funnel, as_of, known_at, position, FORMULA, shown)
