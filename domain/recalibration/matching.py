"""`outcome_match/1` and `f1_match/1`: rates under which past weekly forecasts would have come out right.

Bounded least squares over weeks: the value open in each stage, times the rates sought, against what the deals
open then have brought in, or against what managers forecast. Rates that follow managers may be adopted by
choice but are never recommended.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats, add_up
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.rate_table import RateTable
from domain.recalibration.rates import Rates
from domain.recalibration.sample import Sample

LEAST_RESOLVED = 0.9
"""Share of a week's open amount that must have a label before the week can be matched."""
LEAST_FORECAST = 20
"""Deals that managers must have forecast: rates of fewer would tell what one of them said about one deal."""


@dataclass(frozen=True)
class OutcomeMatch:
    """Rates per stage that make F2 meet the outcomes of past weeks."""

    name: str = "outcome_match/1"

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable | None:
        """Match the weeks with at least nine tenths of their amount resolved; None if there is none."""
        rows = sample.rows
        value = rows.amount * (1.0 if weight is None else weight[rows.deal])
        week = sample.week
        everything = add_up(week, value, len(sample.weeks))
        resolved = add_up(week, value * sample.resolved, len(sample.weeks))
        mature = (everything > 0) & (resolved >= LEAST_RESOLVED * everything)
        used = sample.resolved & mature[week]
        brought_in = add_up(week, value * (sample.label == 1), len(sample.weeks))
        if not mature.any():
            return None
        stages = len(sample.histories.stages)
        place = week[used] * stages + rows.stage[used]
        open_value = add_up(place, value[used], len(sample.weeks) * stages).reshape(-1, stages)
        return RateTable(Rates.rounded(bounded(open_value[mature], brought_in[mature])[:, None]))


@dataclass(frozen=True)
class ForecastMatch:
    """Rates per stage that make F2 meet F1, over the open deals that had a manager's forecast.

    rows      open deals at week ends with a forecast in force, as landmark rows
    forecast  per row, the amount that its manager forecast, whole minor units
    """

    rows: Landmarks
    forecast: Floats
    name: str = "f1_match/1"

    def fit(self, sample: Sample, weight: Floats | None = None) -> RateTable | None:
        """Match the weeks up to the sample's cut-off; None where fewer than LEAST_FORECAST deals had forecasts."""
        used = self.rows.at <= sample.cutoff
        if len(np.unique(self.rows.deal[used])) < LEAST_FORECAST:
            return None
        rows, times = self.rows.where(used), (1.0 if weight is None else weight[self.rows.deal[used]])
        weeks, week = np.unique(rows.at, return_inverse=True)
        open_value = np.zeros((len(weeks), len(sample.histories.stages)))
        np.add.at(open_value, (week, rows.stage), rows.amount * times)
        forecast = add_up(week, self.forecast[used] * times, len(weeks))
        return RateTable(Rates.rounded(bounded(open_value, forecast)[:, None]))


def bounded(open_value: Floats, target: Floats) -> Floats:
    """Rates from 0 to 1 that bring open_value @ rates closest to target; NaN for a stage that never held any.

    A touch of ridge towards the overall share keeps stages apart that always moved together.
    """
    held = open_value.sum(axis=0) > 0
    rates = np.full(open_value.shape[1], np.nan)
    if not held.any():
        return rates
    from scipy.optimize import lsq_linear  # half a second that no other verb of the program should wait for

    design = open_value[:, held]
    overall = min(max(target.sum() / design.sum(), 0.0), 1.0)
    anchor = np.sqrt(1e-4 * (design**2).sum(axis=0))
    solution = lsq_linear(
        np.vstack([design, np.diag(anchor)]), np.concatenate([target, anchor * overall]), bounds=(0.0, 1.0)
    )
    rates[held] = solution.x
    return rates
