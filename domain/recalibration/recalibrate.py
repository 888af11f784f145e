"""A whole recalibration: fit every candidate, test it walking forward, recommend, and put it on record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from domain.recalibration.candidate import Candidate, Fitted
from domain.recalibration.censoring import Weighted
from domain.recalibration.columns import Ints, micros
from domain.recalibration.competing import Competing
from domain.recalibration.decision import DEFAULT, Decision, decide, incumbent
from domain.recalibration.entry import Entry
from domain.recalibration.evidence import Parameter, evidence_digest
from domain.recalibration.folds import Fold
from domain.recalibration.landmark import Landmark
from domain.recalibration.matching import LEAST_FORECAST, OutcomeMatch
from domain.recalibration.rates import Counts, Rates, count
from domain.recalibration.resampling import bootstrap_weights, interval
from domain.recalibration.sample import Sample
from domain.recalibration.scorecard import Scorecard, score
from domain.recalibration.survivor import Survivor
from domain.recalibration.walk_forward import Walk, deal_by_deal, walk_forward

STANDARD: tuple[Candidate, ...] = (
    Survivor(),
    Entry(),
    Landmark(),
    Landmark(by_age=True),
    Weighted(),
    Competing(),
    OutcomeMatch(),
)
"""The candidates of every recalibration, beside `f1_match/1` and, where a rate set is in force, `current`."""
NEEDS = {
    DEFAULT: "no deal has come to an end yet",
    "outcome_match/1": "there is no week whose open deals are nine tenths decided, by amount",
    "f1_match/1": f"managers have forecast fewer than {LEAST_FORECAST} deals",
}
"""Why a candidate does not apply."""


@dataclass(frozen=True)
class Result:
    """One fitted candidate: rates with their 90 % intervals in millionths (-1 unknown), counts and scores.

    scores          of the rates, which are what is adopted
    deal_by_deal    of the estimator itself, where it tells deals of one stage apart
    """

    name: str
    fitted: Fitted
    counts: Counts
    low: Ints
    high: Ints
    scores: Scorecard | None
    deal_by_deal: Scorecard | None

    @property
    def rates(self) -> Rates:
        """What could be adopted."""
        return self.fitted.rates


@dataclass(frozen=True)
class Recalibration:
    """Results by candidate, the test behind them, the recommendation, and the digest of the evidence.

    not_applicable   candidates that could not be fitted, and why
    """

    results: dict[str, Result]
    walk: Walk
    decision: Decision
    digest: str
    not_applicable: dict[str, str]


def recalibrate(
    sample: Sample,
    candidates: Sequence[Candidate],
    folds: Sequence[Fold],
    rng: Random,
    replicates: int = 200,
    *,
    learnt_until: Mapping[str, int] | None = None,
    asked: Mapping[str, str | None] | None = None,
) -> Recalibration:
    """Recalibrate. Candidates that do not apply to the sample are left out.

    The intervals of all candidates come from the same draws of deals, so that they can be compared.

    learnt_until   as in `walk_forward`
    asked          parameters of the caller's, such as the funnel, that the digest covers too
    """
    fitted = {one.name: fit for one in candidates if (fit := one.fit(sample)) is not None}
    draws: dict[str, list[Ints]] = {name: [] for name in fitted}
    for weight in bootstrap_weights(rng, sample.histories.deals, replicates):
        for one in candidates:
            drawn = one.fit(sample, weight) if one.name in fitted else None
            if drawn is not None:
                draws[one.name].append(drawn.rates.micros)
    walk = walk_forward(sample, candidates, folds, learnt_until)
    scores = score(walk, incumbent(fitted), rng, replicates)
    results = {name: _result(sample, name, fit, draws[name], scores) for name, fit in fitted.items()}
    parameters: dict[str, Parameter] = dict(asked or {}) | {
        "cutoff": sample.cutoff,
        "first_week": int(sample.weeks[0]) if len(sample.weeks) else None,
        "weeks": len(sample.weeks),
        "target": sample.target.value,
        "stages": list(sample.histories.stages),
        "stall_after": sample.histories.stall_after.tolist(),
    }
    digest = evidence_digest(
        parameters, {n: r.counts for n, r in results.items()}, {n: r.rates for n, r in results.items()}
    )
    missing = {one.name: NEEDS[one.name] for one in candidates if one.name not in fitted}
    by_rates = {name: scores[name] for name in fitted if name in scores}
    return Recalibration(results, walk, decide(by_rates, fitted.keys()), digest, missing)


def _result(
    sample: Sample, name: str, fitted: Fitted, draws: list[Ints], scores: Mapping[str, Scorecard]
) -> Result:
    shape = fitted.rates.micros.shape
    rates = np.array(draws, dtype=np.float64).reshape(len(draws), *shape)
    rates[rates < 0] = np.nan
    low, high = (
        interval(rates / 1_000_000) if len(draws) else (np.full(shape, np.nan), np.full(shape, np.nan))
    )
    return Result(
        name,
        fitted,
        count(sample, fitted.rates.by_age),
        micros(low),
        micros(high),
        scores.get(name),
        scores.get(deal_by_deal(name)),
    )
