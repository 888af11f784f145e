"""What the queries share: the moment that is asked about, the filters, the position, and one page of a longer list."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar, get_type_hints

import msgspec

from api import params as p
from api.cursor import cursor_after
from domain.errors import UnknownRateSet
from infra.event_store import read_head
from projections.engine.checkpoints import checkpoints
from projections.engine.description import Projection
from projections.filters import Filters
from projections.organisation import members, organisation_at
from projections.rate_sets import AdoptedRateSet, rate_sets

Connection = Any
"""A psycopg connection, read-only and in one snapshot; the queries of `projections/` use it."""

T = TypeVar("T")


def params_of(query: Callable[..., Any]) -> type[p.Params]:
    """What the query may be asked."""
    model: type[p.Params] = get_type_hints(query)["params"]
    return model


def takes_viewer(query: Callable[..., Any]) -> bool:
    """Whether the answer to the query depends on who asks."""
    return "viewer" in get_type_hints(query)


def moment_of(conn: Connection, params: p.TwoClocks) -> datetime:
    """The moment asked for. By default now, and not before what the log has recorded, whosever clock is late."""
    return params.as_of or now(conn)


def now(conn: Connection) -> datetime:
    """Now, and not before what the log has recorded."""
    return max(datetime.now(UTC), read_head(conn).recorded_at)


def filters_of(
    conn: Connection, params: p.Filters, as_of: datetime | None = None, known_at: datetime | None = None
) -> Filters:
    """The filters asked for; a team is its people, and those of the teams below, at (T, K).

    Raises UnknownTeam for one that was not there.
    """
    found = filters_but_team(params)
    if params.team is None:
        return found
    org = organisation_at(conn, as_of, known_at)
    org.team(params.team)
    return msgspec.structs.replace(found, owners=members(org, params.team))


def filters_but_team(params: p.Filters) -> Filters:
    """The filters asked for, but that of the team, whose people may be others at each moment of an answer."""
    return Filters(
        params.owner,
        params.account,
        params.product_line,
        params.customer_segment,
        params.region,
        params.grade,
    )


def cut_of(conn: Connection, params: p.DealsAtParams, place: tuple[Any, ...] | None = None) -> dict[str, Any]:
    """`as_of`, `known_at` and `filters` for a query. Later pages show the moment of the first, with which `place` begins."""
    as_of = place[0] if place else moment_of(conn, params)
    return {
        "as_of": as_of,
        "known_at": params.known_at,
        "filters": filters_of(conn, params, as_of, params.known_at),
    }


def rate_set_of(conn: Connection, funnel: str, number: int, field: str) -> AdoptedRateSet:
    """The rate set of the funnel with the number that `field` names. Raises UnknownRateSet."""
    sets = {each.number: each for each in rate_sets(conn, funnel)}
    if number not in sets:
        raise UnknownRateSet(
            f"The funnel {funnel!r} has no rate set {number}.",
            field=field,
            accepted=", ".join(map(str, sets)) or "none yet",
        )
    return sets[number]


def position_of(conn: Connection, *wanted: Projection) -> int:
    """The position that all of these projections reflect; 0 while one has not begun."""
    live = checkpoints(conn, wanted, "live")
    if {c.projection for c in live} < {projection.name for projection in wanted}:
        return 0  # one has not begun
    return min((c.position for c in live), default=0)


def page_of(
    found: list[T], params: p.Page, place: Callable[[T], tuple[Any, ...]]
) -> tuple[list[T], str | None]:
    """The page, of which one more was asked for, and the cursor behind it when there is more."""
    page = found[: params.limit]
    return page, cursor_after(place(page[-1]), params) if len(found) > params.limit else None


def beyond(
    found: Iterable[T], params: p.Page, key: Callable[[T], tuple[Any, ...]], after: tuple[Any, ...] | None
) -> list[T]:
    """Of a whole list, sorted by the key, what `page_of` wants: a page and one more, behind the place `after`."""
    rest = [row for row in found if after is None or key(row) > after]
    return rest[: params.limit + 1]
