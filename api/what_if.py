"""The question what a past week would have looked like under other rates or rules."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args

from api.asked import Connection, now, rate_set_of
from api.forecast_params import PeriodParams
from api.forecasts import period_of, sight_of
from api.recalibrations import MAY_READ
from api.refusals import InvalidParameters
from api.roles import require_role
from api.what_if_params import DAYS, PERIOD, WhatIfParams
from domain.calendar import Period, parse_week, week_of
from domain.errors import UnknownCandidate, UnknownRecalibration, UnknownStage
from domain.event import Actor
from domain.playbook import StageRate
from domain.win_rate import Gate, Variant
from projections import what_if as beside
from projections.filters import Filters
from projections.forecast_rows import Then
from projections.playbook import stages_at
from projections.rate_sets import rate_set_in_force
from projections.rules import zone_at
from projections.what_if import Tried, TriedRates, WhatIf
from workers.recalibration.basis import basis_of_record, basis_of_set
from workers.recalibration.record import NoSuchRecord, Record, named


def what_if(conn: Connection, params: WhatIfParams, viewer: Actor) -> WhatIf:
    """A past week's funnel, F1 and F2 under other rates or rules, beside what was shown then."""
    stages_at(conn, params.funnel)  # refuses a funnel that nobody knows
    week = _week(conn, params.week)
    given = {name: getattr(params, name) for name in PERIOD}
    clocks = {"as_of": week.as_of, "known_at": params.known_at or week.as_of}
    at, asked = period_of(conn, PeriodParams.model_validate(given | clocks))
    adopted = rate_set_in_force(conn, params.funnel, at.as_of, at.known_at)
    return beside.what_if(
        conn,
        at,
        week.label,
        asked,
        sight_of(conn, viewer),
        _tried(conn, at, params, viewer),
        shown_by=basis_of_set(conn, adopted, at.as_of) if adopted else None,
        filters=Filters(owner=params.owner),
        team=params.team,
    )


def _week(conn: Connection, label: str | None) -> Period:
    """The week asked about, in the time zone of today; by default the last that is over."""
    today = now(conn)
    zone = zone_at(conn, today)
    this = week_of(today, zone)
    if label is None:
        return week_of(this.start - timedelta(microseconds=1), zone)
    try:
        week = parse_week(label, zone)
    except ValueError as error:
        raise InvalidParameters(
            f"There is no such week: {error}.", field="week", accepted=f"a week before {this.label}"
        ) from None
    if week.end > this.start:
        raise InvalidParameters(
            f"The week {label} is not over.", field="week", accepted=f"a week before {this.label}"
        )
    return week


def _tried(conn: Connection, at: Then, params: WhatIfParams, viewer: Actor) -> Tried:
    stall, lose = (_days(at, name, getattr(params, name)) for name in DAYS)
    for key in {*stall, *lose}:
        _require_order(conn, at, key, stall, lose)
    names = ("best_ranks", "rivals_counted", "no_decision_strength")
    given: dict[str, Any] = {n: v for n in names if (v := getattr(params, n)) is not None}
    gates: frozenset[Gate] = frozenset(
        g for g in get_args(Gate) if g in (params.without_gates or "").split(",")
    )
    return Tried(
        _rates(conn, at, params, viewer),
        stall,
        lose,
        Variant(without=gates, factor=params.no_inside_source_factor, **given),
    )


def _days(at: Then, field: str, text: str | None) -> dict[str, int]:
    """Days by stage of a text such as bidding=10,negotiation=20."""
    found: dict[str, int] = {}
    for item in text.split(",") if text else ():
        stage, _, days = item.partition("=")
        if stage not in at.stall_after_days:
            raise UnknownStage(
                f"The funnel {at.funnel.key!r} has no stage {stage!r}.",
                field=field,
                accepted=", ".join(at.stall_after_days),
            )
        if stage in found:
            raise InvalidParameters(
                f"The stage {stage!r} stands there twice.", field=field, accepted="each stage once"
            )
        found[stage] = int(days)
    return found


def _require_order(conn: Connection, at: Then, key: str, stall: dict[str, int], lose: dict[str, int]) -> None:
    (stage,) = (s for s in stages_at(conn, at.funnel.key, at.as_of, at.known_at).all if s.key == key)
    stalls, lost = stall.get(key, stage.stall_after_days), lose.get(key, stage.lose_after_days)
    if stalls >= lost or stalls < 1:
        raise InvalidParameters(
            f"A deal in {key} would stall after {stalls} days and be pending loss after {lost}.",
            field="stall_after_days" if key in stall else "lose_after_days",
            accepted="at least one day, and fewer to stall than to be pending loss",
        )


def _rates(conn: Connection, at: Then, params: WhatIfParams, viewer: Actor) -> TriedRates | None:
    """The rates to try: an adopted set by its number, or a candidate's of a record."""
    if params.rates is None:
        return None
    if params.rates.isdecimal():
        chosen = rate_set_of(conn, params.funnel, int(params.rates), "rates")
        return TriedRates(chosen.rates, number=chosen.number, basis=basis_of_set(conn, chosen, at.as_of))
    require_role(viewer, MAY_READ, "try the rates of a recalibration")
    return _rates_on_record(conn, at, params, params.rates)


def _rates_on_record(conn: Connection, at: Then, params: WhatIfParams, text: str) -> TriedRates:
    try:
        record_id, name = named(text)
    except NoSuchRecord as error:
        raise InvalidParameters(
            f"{error}.", field="rates", accepted="the number of a rate set, or RECORD:CANDIDATE"
        ) from None
    try:
        answer = Record.found(conn, record_id).answer
    except NoSuchRecord:
        raise UnknownRecalibration(record_id, field="rates") from None
    try:
        candidate = answer.candidate(name)
    except NoSuchRecord as error:
        known = ", ".join(f"{record_id}:{one.full_name}" for one in answer.candidates)
        raise UnknownCandidate(f"{error}.", field="rates", accepted=known) from None
    if answer.funnel != params.funnel:
        raise InvalidParameters(
            f"The record {record_id} is of the funnel {answer.funnel!r}.",
            field="rates",
            accepted=f"a record of {params.funnel!r}",
        )
    rates = tuple(
        StageRate(one.stage, one.age, Decimal(str(one.rate)))
        for one in candidate.rates
        if one.rate is not None
    )
    name = candidate.full_name
    return TriedRates(rates, record=record_id, candidate=name, basis=basis_of_record(answer, name, at.as_of))
