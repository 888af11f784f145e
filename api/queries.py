"""Questions about funnels and deals. HTTP and the command line ask by the same functions, and print the same bytes.

A query takes an open read-only connection and its parameters, and returns a struct; `encode` gives the body.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, get_type_hints
from uuid import UUID

import msgspec

from api import params as p
from api.asked import Connection, cut_of, filters_of, now, page_of, position_of
from api.cursor import place_of
from domain.errors import UnknownDeal
from domain.pipeline import AgeState, State
from projections import deals as deal_list
from projections import funnel as funnel_history
from projections import pipeline, visits
from projections import timeline as deal_timeline
from projections.deals import DealView
from projections.funnel import CellDeal, Rollup, Snapshot
from projections.playbook import require_known
from projections.timeline import TimelineEntry
from projections.visits import Dwell

_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")


def encode(answer: Any) -> bytes:
    """The answer as the body of the HTTP response, which is also what `--format json` prints."""
    return _encoder.encode(answer)


def snapshot(conn: Connection, params: p.FunnelAtParams) -> Snapshot:
    """Open deals, distinct customers and amount per stage and in total, at a moment, as known at a moment."""
    return funnel_history.snapshot(conn, params.funnel, **cut_of(conn, params))


def rollup(conn: Connection, params: p.RollupParams) -> Rollup:
    """The same per macro-stage, which all funnels share: of one funnel, or of all of them."""
    return funnel_history.rollup(conn, params.funnel, **cut_of(conn, params))


class CellPage(msgspec.Struct, frozen=True):
    """Some of the deals behind a figure, and how to get the next ones: null after the last."""

    funnel: str
    as_of: datetime
    known_at: datetime | None
    position: int
    deals: list[CellDeal]
    next_cursor: str | None


def snapshot_deals(conn: Connection, params: p.SnapshotDealsParams) -> CellPage:
    """The deals behind one cell of the funnel, by falling amount, page by page."""
    place = place_of(params, tuple[datetime, Decimal | None, UUID])
    at = cut_of(conn, params, place)
    found = funnel_history.cell(
        conn,
        params.funnel,
        **at,
        stage=params.stage,
        macro_stage=params.macro_stage,
        after=place[1:] if place else None,
        limit=params.limit + 1,
    )
    page, cursor = page_of(found, params, lambda last: (at["as_of"], last.amount, last.deal_id))
    position = position_of(conn, funnel_history.PROJECTION)
    return CellPage(params.funnel, at["as_of"], params.known_at, position, page, cursor)


def dwell(conn: Connection, params: p.FunnelAtParams) -> Dwell:
    """How long deals stay in each stage: completed visits, open visits, and both together."""
    return visits.dwell(conn, params.funnel, **cut_of(conn, params))


class DealPage(msgspec.Struct, frozen=True):
    """Some deals, and how to get the next ones: null after the last. `position`: what the page reflects."""

    deals: list[DealView]
    next_cursor: str | None
    position: int


def deals(conn: Connection, params: p.DealsParams) -> DealPage:
    """Deals as they are now: filtered, searched, sorted, page by page.

    Raises UnknownFunnel or UnknownStage.
    """
    if params.funnel is not None or params.stage is not None:
        require_known(conn, params.funnel, params.stage)
    filters = filters_of(conn, params)
    where = deal_list.DealFilter(
        **msgspec.structs.asdict(filters),
        funnel=params.funnel,
        stage=params.stage,
        status=(params.status,) if params.status else (),
        external_id=params.external_id,
        amount_from=params.amount_from,
        amount_to=params.amount_to,
        opened_from=params.opened_from,
        opened_to=params.opened_to,
        closed_from=params.closed_from,
        closed_to=params.closed_to,
        search=params.q,
    )
    found = deal_list.deals(
        conn,
        where,
        sort=params.sort,
        descending=params.order == "desc",
        after=place_of(params, tuple[get_type_hints(DealView)[params.sort], UUID]),  # type: ignore[misc]
        limit=params.limit + 1,
    )
    page, cursor = page_of(found, params, lambda last: (getattr(last, params.sort), last.deal_id))
    return DealPage(page, cursor, position_of(conn, deal_list.PROJECTION))


class DealDetails(DealView, frozen=True):
    """The deal, and its state as `/v1/funnels/{funnel}/states/deals` has it; null once it is closed."""

    state: State | None = None
    age_state: AgeState | None = None
    age_days: float | None = None
    required_open: int | None = None
    state_formula: str = pipeline.FORMULA


def deal(conn: Connection, params: p.OneDeal) -> DealDetails:
    """One deal as it is now, also a voided or merged one.

    Raises UnknownDeal.
    """
    found = deal_list.deal(conn, params.deal_id)
    if found is None:
        raise UnknownDeal(params.deal_id)
    told = msgspec.structs.asdict(found)
    if found.status == "open":
        as_of = max(now(conn), found.changed_at)
        _, judged = pipeline.open_deals(conn, found.funnel, as_of=as_of, deal_id=found.deal_id)
        told |= {
            n: getattr(one, n) for one in judged for n in ("state", "age_state", "age_days", "required_open")
        }
    return DealDetails(**told)


class TimelinePage(msgspec.Struct, frozen=True):
    """Some events of a deal, and how to get the next ones: null after the last."""

    deal_id: UUID
    events: list[TimelineEntry]
    next_cursor: str | None
    position: int


def timeline(conn: Connection, params: p.TimelineParams) -> TimelinePage:
    """What happened to a deal, by both clocks, and who did it; page by page.

    Raises UnknownDeal.
    """
    found = deal_timeline.timeline(
        conn,
        params.deal_id,
        order=params.sort,
        newest_first=params.order == "desc",
        after=place_of(params, tuple[datetime, int]),
        limit=params.limit + 1,
    )
    if not found and params.cursor is None:
        raise UnknownDeal(params.deal_id)
    page, cursor = page_of(found, params, lambda last: (last.occurred_at, last.version))
    return TimelinePage(params.deal_id, page, cursor, position_of(conn, deal_timeline.PROJECTION))
