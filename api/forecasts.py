"""Questions about forecasts, what they rest on, and who changed them. What a viewer may not see is not answered."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec

from api import forecast_params as p
from api.asked import Connection, filters_but_team, moment_of, now, page_of, position_of, rate_set_of
from api.cursor import place_of
from api.params import TwoClocks
from api.refusals import InvalidParameters
from domain.event import Actor
from domain.forecast import FORMULA
from domain.forecast_sight import BLIND, Sight, forecast_sight, persons
from projections import forecast_audit as audit_rows
from projections import forecast_audit_page as audit_page
from projections import forecast_weeks as weeks
from projections import forecasting
from projections import organisation as organisation_history
from projections import rate_set_history as rates_since
from projections import rate_sets as rates
from projections.forecast_audit_page import Asked, AuditEntry
from projections.forecast_rows import Horizon, Then, horizon, then
from projections.forecast_stints import ever_worked_on_a_deal, stints_of
from projections.forecast_weeks import ForecastAccuracy, ForecastWeeks
from projections.forecasting import Forecast
from projections.organisation import OrganisationView, organisation_at
from projections.playbook import stages_at
from projections.rate_set_history import RateSetInHistory, rate_set_history

T = TypeVar("T")
_YEARS = range(1901, 2200)


def forecast(conn: Connection, params: p.ForecastParams, viewer: Actor) -> Forecast:
    """F2, F1 as far as the viewer may see it, and what is won, of a period: in total, by stage, owner and team."""
    at, asked = period_of(conn, params)
    number = params.rate_set
    what_if = None if number is None else rate_set_of(conn, params.funnel, number, "rate_set")
    return forecasting.forecast(
        conn,
        at,
        asked,
        sight_of(conn, viewer),
        filters=filters_but_team(params),
        team=params.team,
        what_if=what_if,
    )


def forecast_weeks(conn: Connection, params: p.ForecastWeeksParams, viewer: Actor) -> ForecastWeeks:
    """The forecast of a period at the end of each of the last weeks before its close, as it was shown then."""
    at, asked = period_of(conn, params)
    return weeks.forecast_weeks(
        conn, at, asked, sight_of(conn, viewer), filters=filters_but_team(params), team=params.team
    )


def forecast_accuracy(conn: Connection, params: p.ForecastAccuracyParams, viewer: Actor) -> ForecastAccuracy:
    """How right the forecasts of past months were, by manager and team: bias, WAPE, late changes."""
    at = _at(conn, params.funnel, params)
    if not at.funnel.dated:
        raise InvalidParameters(
            f"The funnel {params.funnel!r} is undated; its forecasts are for no month.",
            field="funnel",
            accepted="a dated funnel",
        )
    months = _checked(
        lambda: weeks.months_over(at, params.from_month, params.to_month),
        "from_month",
        "1 to 12 months that are over, the first one first",
    )
    return weeks.forecast_accuracy(conn, at, months, sight_of(conn, viewer))


class AuditPage(msgspec.Struct, frozen=True):
    """Some entries of the audit, and how to get the next ones: null after the last."""

    entries: list[AuditEntry]
    next_cursor: str | None
    position: int
    formula: str = FORMULA


def forecast_audit(conn: Connection, params: p.ForecastAuditParams, viewer: Actor) -> AuditPage:
    """Every change of a manager forecast and every move of F2: who, when, from what, to what, why; page by page."""
    if params.funnel is not None:
        at = then(conn, params.funnel, now(conn), None)
        if params.month is not None:
            _horizon(at, "month", params.month)
    place = place_of(params, tuple[int])
    found = audit_page.forecast_audit(
        conn,
        Asked(params.funnel, params.month, params.deal, params.manager),
        sight_of(conn, viewer),
        as_of=now(conn),
        newest_first=params.order == "desc",
        after=place[0] if place else None,
        limit=params.limit + 1,
    )
    page, cursor = page_of(found, params, lambda last: (last.position,))
    return AuditPage(page, cursor, position_of(conn, audit_rows.PROJECTION, rates.PROJECTION))


class RateSets(msgspec.Struct, frozen=True):
    """The rate sets of a funnel, in the order of their numbers; `in_force` is the number of the one that is now."""

    funnel: str
    in_force: int | None
    rate_sets: list[RateSetInHistory]
    formula: str = rates_since.FORMULA


def rate_sets(conn: Connection, params: p.RateSetsParams) -> RateSets:
    """Every set of stage win rates of a funnel: when, by whom, why and on what evidence, and how it has done since."""
    stages_at(conn, params.funnel)
    at = now(conn)
    found = rate_set_history(conn, params.funnel, at)
    current = rates.in_force(found, at)
    return RateSets(params.funnel, current.number if current else None, found)


def organisation(conn: Connection, params: p.OrganisationParams) -> OrganisationView:
    """Teams, who manages them and who belongs to them, at a moment."""
    return organisation_history.organisation(conn, as_of=moment_of(conn, params), known_at=params.known_at)


def sight_of(conn: Connection, viewer: Actor) -> Sight:
    """What the viewer may see of F1 as the organisation is today, whatever moment is asked about."""
    org = organisation_at(conn)
    if not forecast_sight(viewer, org).any:
        return BLIND
    return forecast_sight(viewer, org, stints_of(conn, persons(viewer)))


def sees_all_of_f1(conn: Connection, viewer: Actor) -> bool:
    """Whether sums of F1 over all deals of any time are for the viewer: whoever sees everybody's, and never had a deal
    whose forecast such a sum would give away."""
    sight = sight_of(conn, viewer)
    return sight.any and sight.owners is None and not ever_worked_on_a_deal(conn, persons(viewer))


def period_of(conn: Connection, params: p.PeriodParams) -> tuple[Then, Horizon]:
    given = [name for name in ("month", "quarter", "year") if getattr(params, name) is not None]
    if len(given) > 1:
        raise InvalidParameters(
            "Only one period can be asked about.", field=given[1], accepted=f"{given[0]} or {given[1]}"
        )
    at = _at(conn, params.funnel, params)
    if params.team is not None:
        at.org.team(params.team)
    field = given[0] if given else "as_of"
    return at, _horizon(at, field, params.month, params.quarter, params.year)


def _horizon(
    at: Then, field: str, month: str | None = None, quarter: str | None = None, year: str | None = None
) -> Horizon:
    accepted = (
        "2026-03, FY2026-Q1, FY2026 and their like" if at.funnel.dated else "no period, or month=eventually"
    )
    return _checked(lambda: horizon(at, month, quarter, year), field, accepted)


def _at(conn: Connection, funnel: str, params: TwoClocks) -> Then:
    for field in ("as_of", "known_at"):
        moment: datetime | None = getattr(params, field)
        if moment is not None and moment.year not in _YEARS:
            raise InvalidParameters(
                f"There is no forecast in the year {moment.year}.", field=field, accepted="1901 to 2199"
            )
    return then(conn, funnel, moment_of(conn, params), params.known_at)


def _checked(read: Callable[[], T], field: str, accepted: str) -> T:
    """What a function makes of a label; its ValueError as a refusal of the parameter."""
    try:
        return read()
    except ValueError as error:
        raise InvalidParameters(
            f"There is no such period: {error}.", field=field, accepted=accepted
        ) from None
