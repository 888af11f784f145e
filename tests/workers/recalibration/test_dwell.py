"""The dwell that the report shows, against an independent Kaplan-Meier estimate."""

import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf

from tests.domain.recalibration.builders import Version, histories_of, sample_of
from workers.recalibration.dwell import MOST_AGES, dwell, percentiles


def test_percentiles_are_those_of_kaplan_meier() -> None:
    rng = np.random.default_rng(6)
    days, ended = rng.exponential(10, 300), (rng.random(300) < 0.6).astype(np.int64)
    curve = ecdf(CensoredData(uncensored=days[ended == 1], right=days[ended == 0])).sf
    for percent, found in zip((25, 50, 75), percentiles(days, ended, (25, 50, 75)), strict=True):
        expected = min((d for d in curve.quantiles if curve.evaluate(d) <= 1 - percent / 100), default=None)
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-3))


def test_nothing_is_said_of_what_most_visits_outlast() -> None:
    assert percentiles(np.array([1.0, 5.0, 5.0, 5.0]), np.array([1, 0, 0, 0]), (25, 50)) == [1.0, None]
    assert percentiles(np.zeros(0), np.zeros(0, dtype=np.int64), (50,)) == [None]


def test_open_deals_are_kept_at_their_age_and_thinned_out_when_there_are_many() -> None:
    few, many = ({n: [Version(n / 100, 0)] for n in range(count)} for count in (3, 900))
    stage, *rest = dwell(sample_of(histories_of(few), 20))
    assert (stage.completed, stage.open, stage.ages) == (0, 3, (19.98, 19.99, 20.0))
    assert all(other.open == 0 for other in rest)
    crowded = dwell(sample_of(histories_of(many), 20))[0]
    assert (crowded.open, len(crowded.ages)) == (900, MOST_AGES)
    assert crowded.ages[0] == pytest.approx(11.01)
    assert crowded.ages[-1] == 20.0
