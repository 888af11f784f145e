"""Forecasts of a month (C5, S7): F1 by the managers beside F2 by stage win rates, and how right they were.

Everything here is as of one moment, as known at one; finding the rows of that moment is left to the caller.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import msgspec

from domain.exact import rounded, total, weighted_total

EVENTUALLY = "eventually"
"""The one horizon of an undated funnel; stands where a month's label would."""

ERROR_PLACES = 4

FORMULA = "f1_f2/1"
ACCURACY_FORMULA = "accuracy/1"


# --- Rows ---------------------------------------------------------------------------------------------


class ManagerForecast(msgspec.Struct, frozen=True):
    """The manager forecast in force on a deal: month such as 2011-11, and unweighted amount."""

    month: str
    amount: Decimal


class OpenDeal(msgspec.Struct, frozen=True):
    """An open deal with what was in force on it; None is unknown or not there.

    `stage_rate` is the stage win rate, 0 to 1, that the rate set in force gives to the deal. `team` is the
    owner's at the time asked about.
    """

    deal: UUID
    owner: str | None
    team: str | None
    stage: str
    amount: Decimal | None
    expected_close: date | None
    forecast: ManagerForecast | None = None
    stage_rate: Decimal | None = None
    dated: bool = True

    @property
    def month(self) -> str | None:
        """The expected close's month, EVENTUALLY in an undated funnel, None while undated in a dated one."""
        if not self.dated:
            return EVENTUALLY
        return None if self.expected_close is None else f"{self.expected_close:%Y-%m}"


class WonDeal(msgspec.Struct, frozen=True):
    """A deal won and not reopened since: `stage` it was won from, `month` of the win's date (or EVENTUALLY)."""

    deal: UUID
    owner: str | None
    team: str | None
    stage: str | None
    amount: Decimal | None
    month: str


# --- Figures ------------------------------------------------------------------------------------------


class Figures(msgspec.Struct, frozen=True):
    """F1, F2 and what is won already, of some deals in some months. Amounts are exact, not rounded.

    `open_amount` is the known amount of the `open_deals` expected in those months. F2 and what follows from it
    is None where deals are expected and none of them has both amount and rate: not computed is not zero.
    `difference` is F1 less F2, so above zero the managers expect more than the rates do.
    """

    open_deals: int
    open_amount: Decimal
    won_deals: int
    won: Decimal
    f1_open: Decimal
    f2_open: Decimal | None
    f1_final: Decimal
    f2_final: Decimal | None
    difference: Decimal | None


class Group(msgspec.Struct, frozen=True):
    """The figures of one stage, owner or team; None for deals of which it is not known."""

    key: str | None
    figures: Figures


class Lists(msgspec.Struct, frozen=True):
    """Deals that the figures do not speak for, or not well; each list in order of id.

    Of the months asked about: `without_forecast` and `without_rate` are open and expected in them,
    `without_amount` that or won in them; of those in `month_moved` the forecast's month is not the expected
    close's any more, and one of the two is asked about. Of any month: `undated` has no expected close, that of
    an `overdue` one has passed.
    """

    without_forecast: tuple[UUID, ...]
    month_moved: tuple[UUID, ...]
    undated: tuple[UUID, ...]
    overdue: tuple[UUID, ...]
    without_rate: tuple[UUID, ...]
    without_amount: tuple[UUID, ...]


class ForecastTable(msgspec.Struct, frozen=True):
    """The forecast of some months: in total, by stage, owner and team, and the lists beside it.

    Groups are in order of their key, the unknown one last, and hold every deal that counts in the months.
    """

    total: Figures
    by_stage: tuple[Group, ...]
    by_owner: tuple[Group, ...]
    by_team: tuple[Group, ...]
    lists: Lists
    formula: str = FORMULA


class Cell(msgspec.Struct, frozen=True):
    """What the deals of one stage, owner and team that are expected, or were won, in the months come to.

    Stage, or owner and team, are None where they are not known, or deals are not told apart by them. `weighed` deals
    have both amount and rate; `f2` is the sum of the products. `f1`: of forecasts that count.
    """

    stage: str | None
    owner: str | None
    team: str | None
    open_deals: int = 0
    open_amount: Decimal = Decimal(0)
    weighed: int = 0
    f2: Decimal = Decimal(0)
    f1: Decimal = Decimal(0)
    won_deals: int = 0
    won: Decimal = Decimal(0)


def cell_of_open(deal: OpenDeal) -> Cell:
    """What one open deal comes to in the month that it is expected in."""
    weighed = deal.amount is not None and deal.stage_rate is not None
    return Cell(
        deal.stage,
        deal.owner,
        deal.team,
        open_deals=1,
        open_amount=deal.amount or Decimal(0),
        weighed=int(weighed),
        f2=weighted_total([(deal.amount, deal.stage_rate)])
        if deal.amount and deal.stage_rate
        else Decimal(0),
        f1=deal.forecast.amount if deal.forecast is not None and not _moved(deal) else Decimal(0),
    )


def cell_of_won(deal: WonDeal) -> Cell:
    """What one won deal comes to in the month of its win."""
    return Cell(deal.stage, deal.owner, deal.team, won_deals=1, won=deal.amount or Decimal(0))


def figures(cells: Iterable[Cell]) -> Figures:
    """The figures of what all the cells hold together, given in any order."""
    every = list(cells)
    expected = sum(cell.open_deals for cell in every)
    f1 = total(cell.f1 for cell in every)
    f2 = None if expected and not any(cell.weighed for cell in every) else total(cell.f2 for cell in every)
    won = total(cell.won for cell in every)
    return Figures(
        open_deals=expected,
        open_amount=total(cell.open_amount for cell in every),
        won_deals=sum(cell.won_deals for cell in every),
        won=won,
        f1_open=f1,
        f2_open=f2,
        f1_final=total((won, f1)),
        f2_final=None if f2 is None else total((won, f2)),
        difference=None if f2 is None else total((f1, f2.copy_negate())),
    )


def tabled(by_stage: Sequence[Cell], by_owner: Sequence[Cell], lists: Lists) -> ForecastTable:
    """The table of what the cells hold: the same deals twice, told apart by stage, and by owner and team."""
    return ForecastTable(
        total=figures(by_stage),
        by_stage=_groups(lambda cell: cell.stage, by_stage),
        by_owner=_groups(lambda cell: cell.owner, by_owner),
        by_team=_groups(lambda cell: cell.team, by_owner),
        lists=lists,
    )


def forecast_table(
    months: AbstractSet[str], open_deals: Iterable[OpenDeal], won_deals: Iterable[WonDeal], today: date
) -> ForecastTable:
    """The forecast of a month, of the months of a quarter, or of EVENTUALLY, from all rows in any order.

    This is the definition, deal by deal; where a database sums up by itself it must come to the same.
    A forecast counts while its month is the one the deal is expected in; a quarter is the sum of its months,
    so a forecast for October of a deal now expected in November counts in neither. `today` is the local date
    at the time asked about; a deal expected today is not overdue.
    """
    every = list(open_deals)
    expected = [deal for deal in every if deal.month in months]
    won = [deal for deal in won_deals if deal.month in months]
    counted: list[OpenDeal | WonDeal] = [*expected, *won]
    cells = [*map(cell_of_open, expected), *map(cell_of_won, won)]
    return tabled(
        cells,
        cells,
        Lists(
            without_forecast=_ids(deal for deal in expected if deal.forecast is None),
            month_moved=_ids(deal for deal in every if _moved(deal) and _touches(deal, months)),
            undated=_ids(deal for deal in every if deal.month is None),
            overdue=_ids(
                deal
                for deal in every
                if deal.dated and deal.expected_close is not None and deal.expected_close < today
            ),
            without_rate=_ids(deal for deal in expected if deal.stage_rate is None),
            without_amount=_ids(deal for deal in counted if deal.amount is None),
        ),
    )


def _moved(deal: OpenDeal) -> bool:
    return deal.forecast is not None and deal.forecast.month != deal.month


def _touches(deal: OpenDeal, months: AbstractSet[str]) -> bool:
    return deal.month in months or (deal.forecast is not None and deal.forecast.month in months)


def _ids(deals: Iterable[OpenDeal | WonDeal]) -> tuple[UUID, ...]:
    return tuple(sorted(deal.deal for deal in deals))


def _groups(key: Callable[[Cell], str | None], cells: Iterable[Cell]) -> tuple[Group, ...]:
    members: dict[str | None, list[Cell]] = {}
    for cell in cells:
        members.setdefault(key(cell), []).append(cell)
    ordered = sorted(members, key=lambda name: (name is None, name or ""))
    return tuple(Group(name, figures(members[name])) for name in ordered)


# --- Accuracy -----------------------------------------------------------------------------------------


class Snapshot(msgspec.Struct, frozen=True):
    """What was forecast for a month so many weeks before its close, and what the month brought."""

    weeks_before_close: int
    forecast: Decimal
    actual: Decimal


class Accuracy(msgspec.Struct, frozen=True):
    """Errors of some forecasts relative to the actual, in 4 places; None where the actual is 0 in sum.

    `bias` is sum(F - actual) / sum(actual), above zero where too much was forecast; `wape`, the weighted
    absolute percentage error, is sum|F - actual| / sum(actual).
    """

    snapshots: int
    bias: Decimal | None
    wape: Decimal | None
    formula: str = ACCURACY_FORMULA


class LeadAccuracy(msgspec.Struct, frozen=True):
    """The accuracy of forecasts made so many weeks before the month's close."""

    weeks_before_close: int
    accuracy: Accuracy


def accuracy(snapshots: Iterable[Snapshot]) -> Accuracy:
    """Bias and WAPE pooled over snapshots in any order."""
    rows = list(snapshots)
    errors = [total((row.forecast, row.actual.copy_negate())) for row in rows]
    actual = Fraction(total(row.actual for row in rows))
    if not actual:
        return Accuracy(len(rows), None, None)
    return Accuracy(
        snapshots=len(rows),
        bias=rounded(Fraction(total(errors)) / actual, ERROR_PLACES),
        wape=rounded(Fraction(total(error.copy_abs() for error in errors)) / actual, ERROR_PLACES),
    )


def accuracy_by_lead(snapshots: Iterable[Snapshot]) -> tuple[LeadAccuracy, ...]:
    """The accuracy for each number of weeks before close, the longest lead first."""
    rows = list(snapshots)
    leads = sorted({row.weeks_before_close for row in rows}, reverse=True)
    return tuple(
        LeadAccuracy(lead, accuracy(row for row in rows if row.weeks_before_close == lead)) for lead in leads
    )
