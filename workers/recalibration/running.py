"""A whole recalibration of one funnel from the log, kept as a record."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from random import Random
from typing import Any

import msgspec
import numpy as np
from psycopg import Connection

from domain.calendar import fiscal_quarter
from domain.event import Knowledge
from domain.recalibration.candidate import Candidate, Fitted
from domain.recalibration.columns import Floats, ints
from domain.recalibration.folds import Unit, folds
from domain.recalibration.landmarks import EPOCH, microseconds, week_ends
from domain.recalibration.matching import ForecastMatch
from domain.recalibration.rate_table import Current
from domain.recalibration.rates import AGES, Rates
from domain.recalibration.recalibrate import STANDARD, Recalibration, Result, recalibrate
from domain.recalibration.sample import Sample
from domain.recalibration.walk_forward import Walk, bands, spread_of
from domain.stream import rfc3339
from infra.ids import new_id
from infra.sessions import Session
from infra.snapshot import one_snapshot
from infra.verify import log_root
from projections.engine.knowledge import known_by
from projections.engine.uncollected import uncollected
from projections.rate_sets import AdoptedRateSet, rate_set_in_force
from workers.recalibration.dwell import dwell
from workers.recalibration.managers import forecast_match
from workers.recalibration.reading import Known, histories_of
from workers.recalibration.record import (
    CandidateBody,
    CurrentRates,
    LogPoint,
    NoSuchRecord,
    NotApplicable,
    RecalibrationBody,
    Record,
    SharedMovement,
    StageEvidence,
    TestedWeek,
    fraction,
)

LOOK_BACK_QUARTERS = 4
"""Landmark rows begin with the fourth fiscal quarter before the one of the cut-off, or with history."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much of it is done, how much there is to do)."""


class NothingKnown(Exception):
    """The funnel has no history by the cut-off, by this knowledge, so nothing can be learned."""


@dataclass(frozen=True)
class Asked:
    """What to recalibrate: the cut-off is included. Without a period the length of folds follows from the history.

    By what was witnessed, every fold too knows only what this log had recorded by then.
    """

    funnel: str
    until: datetime
    period: Unit | None = None
    seed: int = 0
    replicates: int = 200
    knowledge: Knowledge = "source"


def run_recalibration(
    url: str,
    asked: Asked,
    progress: Progress = lambda *_: None,
    keep: Callable[[Record], None] | None = None,
) -> Record:
    """Recalibrate on projections that are up to date, and keep the record, or give it to `keep` instead.

    Raises UnknownFunnel, NothingKnown.
    """
    with (
        uncollected(),
        one_snapshot(url, "dealtrace recalibration") as conn,
        known_by(conn, asked.knowledge),
    ):
        progress("Reading histories", 0, 1)
        known = histories_of(conn, asked.funnel, asked.until)
        adopted = rate_set_in_force(conn, asked.funnel, asked.until, asked.until)
        root = log_root(
            conn, known.position, progress=lambda at: progress("Reading the log", at, known.position)
        ).root
        sample, first = sample_of(known)
        managers = forecast_match(conn, known, sample.rows)
        learnt = {} if adopted is None else {"current": microseconds(learnt_until(conn, adopted))}
    tests = folds(first, known.cutoff, asked.period, known.tz, known.fiscal_year_start)
    standard: list[Candidate] = [*STANDARD, managers]
    if adopted is not None:
        standard.append(Current(rates_of(adopted, known.histories.stages)))
    count = _Counter(progress, len(standard) * (1 + asked.replicates + len(tests)))
    told = [_Told(candidate, count) for candidate in standard]
    found = recalibrate(
        sample,
        told,
        tests,
        Random(asked.seed),  # noqa: S311 -- no secret
        asked.replicates,
        learnt_until=learnt,
        asked={
            "funnel": asked.funnel,
            "period": asked.period and asked.period.value,
            "knowledge": asked.knowledge,
        },
    )
    record = Record(
        answer=_answer(known, found, LogPoint(known.position, root), adopted),
        stages=known.histories.stages,
        first=first,
        period=asked.period.value if asked.period else None,
        seed=asked.seed,
        replicates=asked.replicates,
        libraries={name: metadata.version(name) for name in ("dealtrace", "numpy", "scipy")},
        spreads={name: _movement(found.walk, name, int(sample.won.sum())) for name in found.walk.chance},
        tested=_tested(found.walk, found.decision.recommended, managers, asked.seed, known.decimals),
        dwell=dwell(sample),
    )
    if keep is not None:
        keep(record)
        return record
    with closing(Session.open(url, "dealtrace recalibration")) as session:
        record.keep(session)
    return record


def sample_of(known: Known, first: int | None = None) -> tuple[Sample, int]:
    """What estimators see, and the first instant of the look-back. Raises NothingKnown."""
    if not known.histories.deals:
        way = "known" if known.knowledge == "source" else "recorded in this log"
        raise NothingKnown(f"Nothing was {way} of the funnel {known.funnel} by {rfc3339(known.until)}")
    if first is None:
        quarter = fiscal_quarter(known.until, known.tz, known.fiscal_year_start)
        for _ in range(LOOK_BACK_QUARTERS):
            before = quarter.start - timedelta(microseconds=1)
            quarter = fiscal_quarter(before, known.tz, known.fiscal_year_start)
        first = max(microseconds(quarter.start), int(known.histories.visible_from.min()))
    weeks = week_ends(first, known.cutoff, known.tz)
    return Sample(known.histories, known.cutoff, weeks, known.target, known.tz), first


def learnt_until(conn: Connection[Any], adopted: AdoptedRateSet) -> datetime:
    """How far the history goes that an adopted set was learnt from; of rates set by hand, to when they took effect."""
    if adopted.evidence is None:
        return adopted.effective_from
    try:
        return Record.found(conn, adopted.evidence.record).answer.until
    except NoSuchRecord:  # a log brought here without its records
        return adopted.effective_from


def rates_of(adopted: AdoptedRateSet, stages: tuple[str, ...]) -> Rates:
    """An adopted rate set as a table; by age as soon as one stage has two rates."""
    given = {(r.stage, r.age): int(r.rate.scaleb(6)) for r in adopted.rates}
    columns: tuple[Any, ...] = AGES if any(r.age for r in adopted.rates) else (None,)
    return Rates(
        ints([[given.get((s, age), given.get((s, None), -1)) for age in columns] for s in stages]).reshape(
            len(stages), len(columns)
        )
    )


def _answer(
    known: Known, found: Recalibration, log: LogPoint, adopted: AdoptedRateSet | None
) -> RecalibrationBody:
    return RecalibrationBody(
        record=new_id(),
        digest=found.digest,
        log=log,
        funnel=known.funnel,
        until=known.until.astimezone(UTC),
        target=known.target.value,
        candidates=tuple(_candidate(result, known.histories.stages) for result in found.results.values()),
        current=CurrentRates(adopted.number, adopted.rate_set, adopted.effective_from) if adopted else None,
        recommended=found.decision.recommended,
        reason=found.decision.reason,
        not_applicable=tuple(NotApplicable(*each) for each in found.not_applicable.items()),
        knowledge=known.knowledge,
        claimed_events=known.claimed,
    )


def _candidate(result: Result, stages: tuple[str, ...]) -> CandidateBody:
    name, _, version = result.name.partition("/")
    counts, by_age = result.counts, result.rates.by_age
    share = counts.unresolved_share
    return CandidateBody(
        name=name,
        version=int(version) if version else None,
        rates=tuple(
            StageEvidence(
                stage=stage,
                age=("stalled" if age else "fresh") if by_age else None,
                rate=fraction(int(result.rates.micros[place, age])),
                rows=int(counts.rows[place, age]),
                deals=int(counts.deals[place, age]),
                wins=int(counts.wins[place, age]),
                unresolved=round(float(share[place, age]), 6) if counts.rows[place, age] else None,
                low=fraction(int(result.low[place, age])),
                high=fraction(int(result.high[place, age])),
            )
            for place, stage in enumerate(stages)
            for age in range(1 + by_age)
        ),
        scores=_scores(result),
    )


def _scores(result: Result) -> dict[str, Any]:
    """Scores of the rates; under `deal_by_deal` those of the estimator, where it tells deals of one stage apart."""
    if result.scores is None:
        return {}
    scores: dict[str, Any] = msgspec.to_builtins(result.scores)
    own = result.deal_by_deal
    return scores | ({"deal_by_deal": msgspec.to_builtins(own)} if own else {})


def _movement(walk: Walk, name: str, known: int) -> SharedMovement:
    spread = spread_of(walk, name, known)
    return SharedMovement(spread.common, spread.team)


def _tested(
    walk: Walk, recommended: str, managers: ForecastMatch, seed: int, decimals: int
) -> tuple[TestedWeek, ...]:
    """Per week the forecasts of those candidates that could forecast all of it, and the actual."""
    scale = 10.0**decimals
    tested = np.stack([walk.rows.at, walk.rows.deal, walk.rows.close_month], axis=1)
    f1: dict[tuple[int, ...], float] = dict(
        zip(
            map(
                tuple, np.stack([managers.rows.at, managers.rows.deal, managers.rows.close_month], 1).tolist()
            ),
            managers.forecast.tolist(),
            strict=True,
        )
    )
    found = []
    weeks, week = np.unique(walk.rows.at, return_inverse=True)
    fans = {
        int(walk.rows.at[here[0]]): fan
        for here, fan in bands(walk, recommended, ints(week), Random(seed))  # noqa: S311 -- no secret
    }
    for at in weeks.tolist():
        here = walk.rows.at == at
        amount = walk.rows.amount[here] / scale
        said = {name: float((amount * chance[here]).sum()) for name, chance in walk.chance.items()}
        forecast = [f1[key] for key in map(tuple, tested[here].tolist()) if key in f1] if f1 else []
        found.append(
            TestedWeek(
                at=EPOCH + timedelta(microseconds=at),
                actual=round(float((amount * walk.outcome[here]).sum()), decimals),
                forecasts={n: round(value, decimals) for n, value in said.items() if not np.isnan(value)},
                f1=round(sum(forecast) / scale, decimals) if forecast else None,
                f1_deals=len(forecast),
                low=round(fans[at].p10 / scale, decimals) if at in fans else None,
                high=round(fans[at].p90 / scale, decimals) if at in fans else None,
                deals=int(here.sum()),
            )
        )
    return tuple(found)


class _Counter:
    """Counts fits."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        self._progress("Fitting", min(self._done, self._total), self._total)


@dataclass(frozen=True)
class _Told:
    """A candidate that tells when it was fitted."""

    candidate: Candidate
    tick: Callable[[], None]

    @property
    def name(self) -> str:
        return self.candidate.name

    def fit(self, sample: Sample, weight: Floats | None = None) -> Fitted | None:
        fitted = self.candidate.fit(sample, weight)
        self.tick()
        return fitted
