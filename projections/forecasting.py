"""The forecast of a month, quarter or year at (T, K): F1 beside F2, as far as the viewer may see F1."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import Connection

from domain.exact import rounded
from domain.forecast import Cell, ForecastTable, figures, tabled
from domain.forecast import Figures as DomainFigures
from domain.forecast import Lists as DomainLists
from domain.forecast_sight import Sight
from domain.money import plain
from projections.filters import NO_FILTERS, Filters
from projections.forecast_cells import open_cells, won_cells
from projections.forecast_rows import Horizon, Then, reflected
from projections.organisation import members, team_and_below
from projections.rate_sets import RateTable, in_force, rate_sets

Hidden = str | UnsetType | None
"""An amount of F1: missing for those who never see F1, null where the viewer may not see a deal that is in it."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """F1, F2 and what is won already; amounts as decimal strings, null where F2 could not be computed."""

    open_deals: int
    open_amount: str
    won_deals: int
    won: str
    f2_open: str | None
    f2_final: str | None
    f1_open: Hidden = UNSET
    f1_final: Hidden = UNSET
    difference: Hidden = UNSET


class KeyedFigures(Figures, frozen=True):
    """The same of one stage or owner; a null key for the deals of which it is not known."""

    key: str | None


class TeamFigures(Figures, frozen=True):
    """The same of the deals of a team's own people, how many these are, and what each of them won in the mean."""

    team: str | None
    headcount: int
    won_per_head: str | None


class Lists(msgspec.Struct, frozen=True):
    """Deals that the figures do not speak for, or not well, as `domain.forecast.Lists` has them."""

    undated: tuple[UUID, ...]
    overdue: tuple[UUID, ...]
    without_rate: tuple[UUID, ...]
    without_amount: tuple[UUID, ...]
    without_forecast: tuple[UUID, ...] | UnsetType = UNSET
    month_moved: tuple[UUID, ...] | UnsetType = UNSET


class Forecast(msgspec.Struct, frozen=True):
    """The forecast of a period of one funnel at (T, K).

    `rate_set` is the number of the set that F2 was computed with; with `what_if` it is not the one in force.
    """

    funnel: str
    period: str
    as_of: datetime
    known_at: datetime | None
    rate_set: int | None
    what_if: bool
    formula: str
    position: int
    total: Figures
    by_stage: list[KeyedFigures]
    by_owner: list[KeyedFigures]
    by_team: list[TeamFigures]
    lists: Lists


def within(at: Then, filters: Filters, team: str | None) -> Filters:
    """The filters, and only deals of the people of a team and the teams below it then, where one is named."""
    return filters if team is None else msgspec.structs.replace(filters, owners=members(at.org, team))


def forecast(
    conn: Connection[Any],
    at: Then,
    asked: Horizon,
    sight: Sight,
    *,
    filters: Filters = NO_FILTERS,
    team: str | None = None,
    what_if: RateTable | None = None,
) -> Forecast:
    """The table of the period with its lists, of the deals that pass the filters and are the team's.

    `what_if` is a rate set to take instead of the one in force.
    """
    chosen: RateTable | None = what_if or in_force(rate_sets(conn, at.funnel.key), at.as_of, at.known_at)
    wanted = within(at, filters, team)
    open_ = open_cells(conn, at, asked, at.rates(chosen), sight, wanted)
    won = won_cells(conn, at, asked.period, wanted)
    lists = msgspec.structs.replace(
        open_.lists, without_amount=tuple(sorted([*open_.lists.without_amount, *won.without_amount]))
    )
    table = tabled(
        [*(each.cell for each in open_.by_stage), *won.by_stage],
        [*(each.cell for each in open_.by_owner), *won.by_owner],
        lists,
    )
    unseen = [each.cell for each in open_.by_owner if not each.seen]
    unseen_stages = {each.cell.stage for each in open_.by_stage if not each.seen}
    every = filters.owner is None and team is None
    return Forecast(
        at.funnel.key,
        asked.label,
        at.as_of,
        at.known_at,
        chosen.number if chosen else None,
        what_if is not None,
        table.formula,
        reflected(conn),
        _figures(table.total, sight, shown=not unseen),
        _keyed(table.by_stage, sight, unseen_stages),
        _keyed(table.by_owner, sight, {cell.owner for cell in unseen}),
        _teams(at, table, sight, unseen, team if filters.owner is None else None, every=every),
        _lists(lists, sight),
    )


def f1(found: DomainFigures, sight: Sight, *, shown: bool) -> dict[str, Any]:
    """The fields of F1, as far as the viewer may see them."""
    if not sight.any:
        return {}
    if not shown:
        return {"f1_open": None, "f1_final": None, "difference": None}
    return {
        "f1_open": plain(found.f1_open),
        "f1_final": plain(found.f1_final),
        "difference": _text(found.difference),
    }


def f2(found: DomainFigures) -> dict[str, Any]:
    """The fields that everybody may see."""
    return {
        "open_deals": found.open_deals,
        "open_amount": plain(found.open_amount),
        "won_deals": found.won_deals,
        "won": plain(found.won),
        "f2_open": _text(found.f2_open),
        "f2_final": _text(found.f2_final),
    }


def _figures(found: DomainFigures, sight: Sight, *, shown: bool) -> Figures:
    return Figures(**f2(found), **f1(found, sight, shown=shown))


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _keyed(groups: Sequence[Any], sight: Sight, unseen: AbstractSet[str | None]) -> list[KeyedFigures]:
    return [
        KeyedFigures(key=g.key, **f2(g.figures), **f1(g.figures, sight, shown=g.key not in unseen))
        for g in groups
    ]


_NOTHING = figures(())


def _teams(
    at: Then, table: ForecastTable, sight: Sight, unseen: Sequence[Cell], team: str | None, *, every: bool
) -> list[TeamFigures]:
    """Every team asked about that has people or figures, in order of key; the deals of no team last."""
    found = {group.key: group.figures for group in table.by_team}
    heads: dict[str | None, int] = {}
    for of in at.org.team_of.values():
        heads[of] = heads.get(of, 0) + 1
    asked = set(heads) if every else set(heads) & team_and_below(at.org, team) if team else set()
    closed = {cell.team for cell in unseen}
    return [
        TeamFigures(
            team=key,
            headcount=heads.get(key, 0),
            won_per_head=_per_head(found.get(key, _NOTHING).won, heads.get(key, 0)),
            **f2(found.get(key, _NOTHING)),
            **f1(found.get(key, _NOTHING), sight, shown=key not in closed),
        )
        for key in sorted(asked | set(found), key=lambda name: (name is None, name or ""))
    ]


def _per_head(won: Decimal, heads: int) -> str | None:
    return plain(rounded(Fraction(won) / heads, 2)) if heads else None


def _lists(lists: DomainLists, sight: Sight) -> Lists:
    open_to_all = (lists.undated, lists.overdue, lists.without_rate, lists.without_amount)
    if not sight.any:
        return Lists(*open_to_all)
    return Lists(*open_to_all, lists.without_forecast, lists.month_moved)
