"""What the queries share: the moment that is asked about, the filters, the position, and one page of a longer list."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from api import params as p
from api.cursor import cursor_after
from api.refusals import InvalidParameters
from domain.organisation import Organisation
from infra.event_store import read_head
from projections.engine.checkpoints import checkpoints
from projections.engine.description import Projection
from projections.filters import Filters
from projections.organisation import members, organisation_at

Connection = Any
"""A psycopg connection, read-only and in one snapshot; the queries of `projections/` use it."""

T = TypeVar("T")


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

    Raises InvalidParameters for a team that was not there.
    """
    owners = None
    if params.team is not None:
        org = organisation_at(conn, as_of, known_at)
        require_team(org, params.team)
        owners = members(org, params.team)
    return Filters(
        params.owner,
        params.account,
        params.product_line,
        params.customer_segment,
        params.region,
        params.grade,
        owners,
    )


def require_team(org: Organisation, team: str) -> None:
    """Raises InvalidParameters for a team that the organisation has not."""
    if team not in org.teams:
        raise InvalidParameters(
            f"There was no team {team!r} then.",
            field="team",
            accepted=", ".join(org.teams) or "none yet",
        )


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
