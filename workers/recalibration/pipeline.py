"""F2 of the open pipeline at a moment, under any candidate of any record or the rates in force, with its band."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any, Literal
from uuid import UUID

import msgspec
import numpy as np
from psycopg import Connection, sql

from domain.event import Knowledge
from domain.money import plain
from domain.recalibration.band import PRIOR_SPREAD, Band, Spread, band
from domain.recalibration.columns import Floats, ints
from domain.recalibration.forecast import forecast
from domain.recalibration.histories import NO_MONTH
from domain.recalibration.labels import Target, month_bounds
from domain.recalibration.landmarks import Landmarks, snapshot
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates
from domain.recalibration.survivor import Survivor
from domain.recalibration.walk_forward import deal_by_deal
from projections.deals import PROJECTION as DEALS
from projections.engine.knowledge import known_by
from projections.rate_sets import AdoptedRateSet, in_force, rate_sets
from workers.recalibration.reading import Known, histories_of
from workers.recalibration.record import CandidateBody, NoSuchRecord, Record, named
from workers.recalibration.running import learnt_until, rates_of, sample_of

UNTESTED = Spread(PRIOR_SPREAD**2, 0.0)
"""How deals move together under rates that no record tells of."""

Basis = Literal["rates", "estimator"]
"""Whether each deal has the rate of its stage (and age), or a chance of its own by the candidate's estimator."""


class Source(msgspec.Struct, frozen=True):
    """Where the rates come from: a candidate of a record, or an adopted set by its number.

    A set that came into force after the moment asked about is a what-if. `hindsight`: what was learnt from reaches
    beyond that moment, so that nobody could have had these rates then, and the forecast proves nothing.
    """

    basis: Basis
    record: UUID | None = None
    digest: str | None = None
    candidate: str | None = None
    rate_set: int | None = None
    what_if: bool = False
    hindsight: bool = False


class PipelineFigures(msgspec.Struct, frozen=True):
    """Open deals, their amount, F2, and the 80 % band of what they will bring in; amounts as decimal strings.

    `unrated` deals add nothing to F2: they have no rate or, in a dated funnel, no expected month or one that is over.
    """

    deals: int
    amount: str
    f2: str
    p10: str
    p50: str
    p90: str
    unrated: int


class StagePipeline(msgspec.Struct, frozen=True):
    """The same in one stage."""

    stage: str
    deals: int
    amount: str
    f2: str
    p10: str
    p50: str
    p90: str
    unrated: int


class DealPipeline(msgspec.Struct, frozen=True):
    """One open deal. Its band is that of a deal alone, which is won whole or not at all."""

    deal_id: UUID
    external_id: str | None
    stage: str
    amount: str
    rate: float | None
    f2: str
    p10: str
    p50: str
    p90: str


class PipelineForecast(msgspec.Struct, frozen=True):
    """F2 of the pipeline open at a moment, as known then. The bands of the stages do not add up to that of the total."""

    funnel: str
    at: datetime
    target: str
    rates: Source
    seed: int
    position: int
    total: PipelineFigures
    stages: tuple[StagePipeline, ...]
    deals: tuple[DealPipeline, ...]
    knowledge: Knowledge
    claimed_events: int


def forecast_pipeline(
    conn: Connection[Any], funnel: str, at: datetime, rates: str, *, now: datetime, seed: int = 0
) -> PipelineForecast:
    """The forecast, by the knowledge of the connection; `rates` is RECORD:CANDIDATE or `current`.

    Raises UnknownFunnel, NoSuchRecord.
    """
    if rates == "current":
        known = histories_of(conn, funnel, at)
        chosen = _current(conn, rate_sets(conn, funnel), known, now)
    else:
        record_id, name = named(rates)
        record = Record.found(conn, record_id)
        if record.answer.funnel != funnel:
            raise NoSuchRecord(f"The record {record_id} is of the funnel {record.answer.funnel}")
        known = histories_of(conn, funnel, at, record.stages)
        chosen = _of_record(conn, record, record.answer.candidate(name), at)
    rows = snapshot(known.histories, known.cutoff)
    chance = np.full(len(rows), np.nan)
    rated = rows.stage < chosen.stages  # a stage younger than the record has no rate
    if known.target is Target.IN_PERIOD:
        # No period is left for undated and overdue deals to be won in, whatever the rate of their stage.
        ends = month_bounds(rows.close_month, known.tz)[1]
        rated &= (rows.close_month != NO_MONTH) & (ends > known.cutoff)
    chance[rated] = chosen.fitted.probability(rows.where(rated))
    return _Shown(known, rows, chance, chosen.spread, seed).body(
        chosen.source, _external_ids(conn, known, rows)
    )


@dataclass(frozen=True)
class _Chosen:
    """What gives chances to the deals of the first so many stages, and how deals move together under it."""

    source: Source
    fitted: Any
    stages: int
    spread: Spread


def _current(conn: Connection[Any], sets: list[AdoptedRateSet], known: Known, now: datetime) -> _Chosen:
    then = in_force(sets, known.until)
    adopted = then or in_force(sets, now)
    if adopted is None:
        raise NoSuchRecord(f"No rates are in force in the funnel {known.funnel}")
    stages, hindsight = known.histories.stages, learnt_until(conn, adopted) > known.until
    return _Chosen(
        Source("rates", rate_set=adopted.number, what_if=then is None, hindsight=hindsight),
        RateTable(rates_of(adopted, stages)),
        len(stages),
        _spread_of(conn, adopted),
    )


def _spread_of(conn: Connection[Any], adopted: AdoptedRateSet) -> Spread:
    """How deals move together under an adopted set: as its evidence says, so that the same rates have the same band."""
    if adopted.evidence is None:
        return UNTESTED
    try:
        record = Record.found(conn, adopted.evidence.record)
        return _spread(record, record.answer.candidate(adopted.evidence.candidate).full_name)
    except NoSuchRecord:  # a log brought here without its records
        return UNTESTED


def _spread(record: Record, name: str) -> Spread:
    shared = record.spreads.get(name)
    return UNTESTED if shared is None else Spread(shared.common, shared.team)


def _of_record(conn: Connection[Any], record: Record, candidate: CandidateBody, at: datetime) -> _Chosen:
    answer, stages = record.answer, record.stages
    table = Rates(
        ints([-1 if r.rate is None else round(r.rate * 1_000_000) for r in candidate.rates]).reshape(
            len(stages), -1
        )
    )
    fitted: Any = RateTable(table)
    basis: Basis = "rates"
    spread = _spread(record, candidate.full_name)
    if candidate.full_name == Survivor().name:
        with known_by(conn, answer.knowledge):
            sample, _ = sample_of(histories_of(conn, answer.funnel, answer.until, stages), record.first)
        again = Survivor().fit(sample)
        # Only an estimator that still finds what the record says may speak for it.
        if again is not None and np.array_equal(again.rates.micros, table.micros):
            fitted, basis = again, "estimator"
            spread = _spread(record, deal_by_deal(candidate.full_name))
    source = Source(basis, answer.record, answer.digest, candidate.full_name, hindsight=answer.until > at)
    return _Chosen(source, fitted, len(stages), spread)


@dataclass(frozen=True)
class _Shown:
    """Rows and their chances, on the way to figures."""

    known: Known
    rows: Landmarks
    chance: Floats
    spread: Spread
    seed: int

    def body(self, source: Source, external: dict[UUID, str | None]) -> PipelineForecast:
        known, rows = self.known, self.rows
        stages = known.histories.stages
        f2 = forecast(rows, self.chance, len(stages))
        everything = np.ones(len(rows), dtype=np.bool_)
        by_stage = [rows.stage == place for place in range(len(stages))]
        return PipelineForecast(
            funnel=known.funnel,
            at=known.until.astimezone(UTC),
            target=known.target.value,
            rates=source,
            seed=self.seed,
            position=known.position,
            total=PipelineFigures(*self._figures(everything, f2.total)),
            stages=tuple(
                StagePipeline(stage, *self._figures(here, value))
                for stage, here, value in zip(stages, by_stage, f2.per_stage, strict=True)
            ),
            deals=tuple(
                self._deal(place, int(each), external) for place, each in enumerate(f2.per_deal.tolist())
            ),
            knowledge=known.knowledge,
            claimed_events=known.claimed,
        )

    def _figures(self, here: Any, f2: int) -> tuple[int, str, str, str, str, str, int]:
        rows, chance = self.rows.where(here), np.nan_to_num(self.chance[here])
        fan = Band(0, 0, 0)
        if len(rows):
            fan = band(rows.amount, chance, rows.team, self.spread, Random(self.seed))  # noqa: S311 -- no secret
        return (
            len(rows),
            self._money(sum(rows.amount.tolist())),
            self._money(f2, 6),
            self._money(fan.p10),
            self._money(fan.p50),
            self._money(fan.p90),
            int(np.isnan(self.chance[here]).sum()),
        )

    def _deal(self, place: int, f2: int, external: dict[UUID, str | None]) -> DealPipeline:
        deal, chance = self.known.deals[self.rows.deal[place]], float(self.chance[place])
        amount = int(self.rows.amount[place])
        # With chance p a deal brings in its amount, else nothing: the quantile q is the amount where 1 - p < q.
        p10, p50, p90 = (self._money(amount if 1.0 - chance < q else 0) for q in (0.1, 0.5, 0.9))
        return DealPipeline(
            deal_id=deal,
            external_id=external.get(deal),
            stage=self.known.histories.stages[self.rows.stage[place]],
            amount=self._money(amount),
            rate=None if np.isnan(chance) else chance,
            f2=self._money(f2, 6),
            p10=p10,
            p50=p50,
            p90=p90,
        )

    def _money(self, minor_units: int, finer: int = 0) -> str:
        """So many minor units, or parts of 10^finer of them, as a decimal string, exactly."""
        return plain(Decimal(minor_units).scaleb(-self.known.decimals - finer))


def _external_ids(conn: Connection[Any], known: Known, rows: Landmarks) -> dict[UUID, str | None]:
    wanted = [known.deals[index] for index in rows.deal.tolist()]
    query = sql.SQL("SELECT deal_id, external_id FROM {} WHERE deal_id = ANY(%s)").format(DEALS.view("deals"))
    return dict(conn.execute(query, [wanted]).fetchall())
