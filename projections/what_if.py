"""What if other rates or rules had been in force: a past week's funnel and forecast, beside what was shown then."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from psycopg import Connection, sql

from domain.forecast_sight import Sight
from domain.money import plain
from domain.playbook import Stage, StageRate
from domain.win_rate import AS_DEFINED, FORMULA, Variant
from projections.clocks import position_of
from projections.filters import NO_FILTERS, Filters
from projections.forecast_rows import Horizon, Then
from projections.forecasting import Forecast, Hidden, KeyedFigures, forecast, within
from projections.pipeline import FORMULA as STATE_FORMULA
from projections.playbook import stages_at
from projections.process import PROJECTION as PROCESS
from projections.what_if_deals import Judged, JudgedDeal, amount_of, judged, judged_deals
from projections.win_rates import PROJECTION as WIN_RATES


class RatesBasis(msgspec.Struct, frozen=True):
    """What rates rest on: the number of the set that was adopted, and the record and candidate that it was learnt as.

    The record was made from the log up to `position` and what was known by `learnt_until`; both are null for rates set
    by hand. With `hindsight` that is later than the picture: nobody could have had these rates then.
    """

    rate_set: int | None
    record: UUID | None = None
    digest: str | None = None
    candidate: str | None = None
    position: int | None = None
    learnt_until: datetime | None = None
    hindsight: bool = False


class Basis(msgspec.Struct, frozen=True):
    """What both sides' rates rest on; null where none were in force. Each deal has the rate of its stage (and age)."""

    shown: RatesBasis | None
    what_if: RatesBasis | None


class TriedRates(msgspec.Struct, frozen=True):
    """Rates to try: an adopted set by its number, or a candidate of a record."""

    rates: tuple[StageRate, ...]
    number: int | None = None
    record: UUID | None = None
    candidate: str | None = None
    basis: RatesBasis = RatesBasis(None)


class Tried(msgspec.Struct, frozen=True):
    """The rules to try instead of those that were in force; what is not named stays as it was.

    The days are by stage. `variant` is about the win rate of a deal.
    """

    rates: TriedRates | None = None
    stall_after_days: dict[str, int] = {}
    lose_after_days: dict[str, int] = {}
    variant: Variant = AS_DEFINED


class Side(Judged, frozen=True, kw_only=True):
    """A picture of open deals by one set of rules; F2 as a decimal string, null where it could not be computed."""

    f2_open: str | None


class StageBeside(msgspec.Struct, frozen=True):
    """One stage: its open deals and their amount, and what both sets of rules say of them."""

    stage: str
    macro_stage: str
    deals: int
    amount: str
    shown: Side
    what_if: Side
    f1_open: Hidden = UNSET


class TotalSide(Side, frozen=True, kw_only=True):
    """The same of all stages; `f2_final` with what is won, and by how much F1 expects more than F2."""

    f2_final: str | None
    difference: Hidden = UNSET


class TotalBeside(msgspec.Struct, frozen=True):
    """All stages together; F1 does not depend on rates or rules. `won`: in the period, by then."""

    deals: int
    amount: str
    won: str
    shown: TotalSide
    what_if: TotalSide
    f1_open: Hidden = UNSET
    f1_final: Hidden = UNSET


class WhatIf(msgspec.Struct, frozen=True):
    """A funnel at the end of a week, as it was shown then and as other rules would have shown it.

    Forecasts are for `period`. `rate_set` was in force then; `tried_rate_set`, or `record` and `candidate`, say whose
    rates were tried, all three null where the rates stayed as they were.
    """

    funnel: str
    week: str
    as_of: datetime
    known_at: datetime | None
    period: str
    position: int
    rate_set: int | None
    tried_rate_set: int | None
    record: UUID | None
    candidate: str | None
    win_rate_formula: str
    state_formula: str
    forecast_formula: str
    stages: list[StageBeside]
    total: TotalBeside
    basis: Basis


def what_if(
    conn: Connection[Any],
    at: Then,
    week: str,
    asked: Horizon,
    sight: Sight,
    tried: Tried,
    *,
    shown_by: RatesBasis | None = None,
    filters: Filters = NO_FILTERS,
    team: str | None = None,
) -> WhatIf:
    """The funnel of `at`, the end of that week, by the rules then in force, whose rates rest on `shown_by`, and by those
    to try."""
    stages = stages_at(conn, at.funnel.key, at.as_of, at.known_at)
    instead = [_instead(stage, tried) for stage in stages.all]
    other = msgspec.structs.replace(at, stall_after_days={s.key: s.stall_after_days for s in instead})
    shown = _Picture(
        forecast(conn, at, asked, sight, filters=filters, team=team),
        {stage.key: stage for stage in stages.all},
        AS_DEFINED,
    )
    changed = _Picture(
        forecast(conn, other, asked, sight, filters=filters, team=team, what_if=tried.rates),
        {stage.key: stage for stage in instead},
        tried.variant,
    )
    every = judged_deals(conn, at, within(at, filters, team))
    deals = [deal for deal in every if deal.stage in shown.stages]
    by_stage = {stage.key: [d for d in deals if d.stage == stage.key] for stage in stages.all}
    found = stages.showing([key for key, own in by_stage.items() if own])
    return WhatIf(
        at.funnel.key,
        week,
        at.as_of,
        at.known_at,
        asked.label,
        min(shown.forecast.position, _position(conn)),
        shown.forecast.rate_set,
        tried.rates.number if tried.rates else None,
        tried.rates.record if tried.rates else None,
        tried.rates.candidate if tried.rates else None,
        FORMULA if tried.variant == AS_DEFINED else f"{FORMULA} varied",
        STATE_FORMULA,
        shown.forecast.formula,
        [_stage(stage, by_stage[stage.key], shown, changed) for stage in found],
        _total(deals, shown, changed),
        Basis(shown_by, tried.rates.basis if tried.rates else shown_by),
    )


class _Picture:
    """What one set of rules makes of the deals."""

    def __init__(self, forecast: Forecast, stages: dict[str, Stage], variant: Variant) -> None:
        self.forecast, self.stages, self._variant = forecast, stages, variant
        self._by_stage = {figures.key: figures for figures in forecast.by_stage}

    def judge(self, deals: Sequence[JudgedDeal]) -> dict[str, Any]:
        """The fields of `Judged`."""
        return msgspec.structs.asdict(judged(deals, self.stages, self._variant))

    def of(self, stage: str) -> KeyedFigures | None:
        """The figures of a stage; None where no deal of it counts in the period."""
        return self._by_stage.get(stage)


def _instead(stage: Stage, tried: Tried) -> Stage:
    return msgspec.structs.replace(
        stage,
        stall_after_days=tried.stall_after_days.get(stage.key, stage.stall_after_days),
        lose_after_days=tried.lose_after_days.get(stage.key, stage.lose_after_days),
    )


def _stage(stage: Stage, deals: Sequence[JudgedDeal], shown: _Picture, changed: _Picture) -> StageBeside:
    before, after = shown.of(stage.key), changed.of(stage.key)
    return StageBeside(
        stage.key,
        stage.macro_stage,
        len(deals),
        plain(amount_of(deals)),
        Side(**shown.judge(deals), f2_open=before.f2_open if before else "0"),
        Side(**changed.judge(deals), f2_open=after.f2_open if after else "0"),
        before.f1_open if before else _nothing(shown.forecast),
    )


def _nothing(forecast: Forecast) -> Hidden:
    """F1 of no deals: missing for those who never see F1."""
    return UNSET if forecast.total.f1_open is UNSET else "0"


def _total(deals: Sequence[JudgedDeal], shown: _Picture, changed: _Picture) -> TotalBeside:
    total = shown.forecast.total
    return TotalBeside(
        len(deals),
        plain(amount_of(deals)),
        total.won,
        _total_side(deals, shown),
        _total_side(deals, changed),
        total.f1_open,
        total.f1_final,
    )


def _total_side(deals: Sequence[JudgedDeal], picture: _Picture) -> TotalSide:
    total = picture.forecast.total
    return TotalSide(
        **picture.judge(deals), f2_open=total.f2_open, f2_final=total.f2_final, difference=total.difference
    )


def _position(conn: Connection[Any]) -> int:
    ((position,),) = conn.execute(
        sql.SQL("SELECT coalesce({}, 0)").format(position_of(PROCESS, WIN_RATES))
    ).fetchall()
    return int(position)
