"""Every question there is, once: HTTP and the command line call the same functions and print the same bytes.

A query takes an open read-only connection and its parameters, and returns a struct; `encode` gives the body.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, get_type_hints
from uuid import UUID

import msgspec

from api import params as p
from api.asked import Connection, filters_of, moment_of, now, page_of, position_of
from api.cursor import place_of
from domain import playbook
from domain.errors import NotAllowed, UnknownDeal
from domain.event import Actor, Role
from domain.pipeline import AgeState, State
from domain.playbook import Funnel
from infra.event_store import Head, read_head
from infra.migrations import not_applied
from infra.streams import load_streams
from projections import deals as deal_list
from projections import funnel as funnel_history
from projections import pipeline, visits
from projections import timeline as deal_timeline
from projections.deals import DealView
from projections.engine.adopting import foreign
from projections.engine.catalogue import catalogue
from projections.engine.preparing import waiting
from projections.engine.status import ProjectionStatus, status
from projections.funnel import CellDeal, Rollup, Snapshot
from projections.playbook import require_known
from projections.timeline import TimelineEntry
from projections.visits import Dwell

MOST_LAG_SECONDS = 60.0
"""Beyond that a projection does not keep up."""

_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")


def encode(answer: Any) -> bytes:
    """The answer as the body of the HTTP response, which is also what `--format json` prints."""
    return _encoder.encode(answer)


class Playbook(msgspec.Struct, frozen=True):
    """The rules in force, with the version of the playbook that they are."""

    version: int
    currency: str | None
    time_zone: str
    fiscal_year_start: int
    funnels: list[Funnel]


def funnels(conn: Connection, params: p.NoParams) -> Playbook:  # noqa: ARG001 -- asked like all
    """The playbook in force: the reporting currency, the calendar, and every funnel with its stages."""
    stream = load_streams(conn, [playbook.STREAM_ID])[playbook.STREAM_ID]
    book = stream.state or playbook.EMPTY
    return Playbook(
        stream.version, book.currency, book.time_zone, book.fiscal_year_start, list(book.funnels.values())
    )


def funnel(conn: Connection, params: p.OneFunnel) -> Funnel:
    """One funnel with its stages.

    Raises UnknownFunnel.
    """
    book = load_streams(conn, [playbook.STREAM_ID])[playbook.STREAM_ID].state or playbook.EMPTY
    found: Funnel = book.funnel(params.funnel)
    return found


def snapshot(conn: Connection, params: p.SnapshotParams) -> Snapshot:
    """Open deals, distinct customers and amount per stage and in total, at a moment, as known at a moment."""
    as_of = moment_of(conn, params)
    return funnel_history.snapshot(
        conn,
        params.funnel,
        as_of=as_of,
        known_at=params.known_at,
        filters=filters_of(conn, params, as_of, params.known_at),
    )


def rollup(conn: Connection, params: p.RollupParams) -> Rollup:
    """The same per macro-stage, which all funnels share: of one funnel, or of all of them."""
    as_of = moment_of(conn, params)
    return funnel_history.rollup(
        conn,
        params.funnel,
        as_of=as_of,
        known_at=params.known_at,
        filters=filters_of(conn, params, as_of, params.known_at),
    )


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
    as_of = place[0] if place else moment_of(conn, params)  # later pages show the same moment
    found = funnel_history.cell(
        conn,
        params.funnel,
        as_of=as_of,
        known_at=params.known_at,
        stage=params.stage,
        macro_stage=params.macro_stage,
        filters=filters_of(conn, params, as_of, params.known_at),
        after=place[1:] if place else None,
        limit=params.limit + 1,
    )
    page, cursor = page_of(found, params, lambda last: (as_of, last.amount, last.deal_id))
    position = position_of(conn, funnel_history.PROJECTION)
    return CellPage(params.funnel, as_of, params.known_at, position, page, cursor)


def dwell(conn: Connection, params: p.DwellParams) -> Dwell:
    """How long deals stay in each stage: completed visits, open visits, and both together."""
    as_of = moment_of(conn, params)
    return visits.dwell(
        conn,
        params.funnel,
        as_of=as_of,
        known_at=params.known_at,
        filters=filters_of(conn, params, as_of, params.known_at),
    )


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


class Projections(msgspec.Struct, frozen=True):
    """Where every projection stands."""

    position: int
    projections: list[ProjectionStatus]


OPERATORS: frozenset[Role] = frozenset(
    {"manager", "director", "sales_operations", "analyst", "auditor", "admin"}
)
"""Who may see how the machinery stands: how many events a projection applied says how many forecasts were set."""


def projections(conn: Connection, params: p.NoParams, viewer: Actor) -> Projections:  # noqa: ARG001 -- asked like all
    """How far each projection has come, whether it is complete, and whether anything is parked. Not for reps."""
    if viewer.role not in OPERATORS:
        raise NotAllowed(
            f"The role {viewer.role} may not see how the projections stand.",
            accepted=", ".join(sorted(OPERATORS)),
        )
    found = status(conn)
    return Projections(read_head(conn).position, found)


def log(conn: Connection, params: p.NoParams) -> Head:  # noqa: ARG001 -- asked like all
    """Where the log stands: its id, epoch, position and the time of its last event."""
    return read_head(conn)


class Readiness(msgspec.Struct, frozen=True):
    """Whether everything can be served; `missing` says in sentences what can not."""

    position: int
    missing: list[str]


def readiness(conn: Connection) -> Readiness:
    """The database answers, it is migrated, and the projections keep up."""
    if todo := not_applied(conn):
        return Readiness(0, [f"The database lacks the migrations {todo}: run dealtrace migrate."])
    missing = [
        f"The projection {f.projection} stands on another log: run dealtrace projections adopt-log."
        for f in foreign(conn)
        if (f.projection, f.version) in {(p.name, p.version) for p in catalogue().values()}
    ]
    missing += (beside := waiting(conn))
    versions = {p.name: p.version for p in catalogue().values()}
    live = {
        s.projection: s for s in status(conn) if s.state == "live" and s.version == versions.get(s.projection)
    }
    for name in catalogue():
        if any(sentence.startswith(f"{name} v") for sentence in beside):
            continue
        if name not in live:
            missing.append(f"The projection {name} has not begun: is the projector running?")
        elif not live[name].complete:
            missing.append(f"The projection {name} has skipped events: rebuild it.")
        elif live[name].lag_seconds > MOST_LAG_SECONDS:
            missing.append(f"The projection {name} lies {live[name].lag_seconds:.0f} s behind the log.")
    return Readiness(read_head(conn).position, missing)


class Reflected(msgspec.Struct, frozen=True):
    """Up to where every answer reflects the log (the position of the slowest projection), and where the log ends."""

    position: int
    head: int


def reflected(conn: Connection) -> Reflected:
    """How far the answers have come."""
    return Reflected(position_of(conn, *catalogue().values()), read_head(conn).position)
