"""The figures of the real loan funnel: reproduced, and bettered."""

from datetime import UTC

import numpy as np
import pytest

from domain.recalibration.competing import Competing
from domain.recalibration.entry import Entry
from domain.recalibration.histories import WON, Histories
from domain.recalibration.labels import Target
from domain.recalibration.landmark import Landmark
from domain.recalibration.landmarks import snapshot, week_ends
from domain.recalibration.sample import Sample
from domain.recalibration.survivor import Survivor
from tests.domain.recalibration.loan import data_folder, loan_histories, moment

pytestmark = pytest.mark.skipif(
    not (data_folder() / "loan_funnel_history.csv.gz").exists(),
    reason="the shared data are not beside the repository",
)
END = "2011-12-31T23:59:59.999999+00:00"
CUTS = ("2011-11-07", "2011-11-14", "2011-11-15", "2011-11-21", "2011-11-28", "2011-12-05")


@pytest.fixture(scope="module")
def loan() -> Histories:
    return loan_histories()


def sample(loan: Histories, cut: str) -> Sample:
    cutoff = moment(cut)
    weeks = week_ends(int(loan.occurred_at.min()), cutoff, UTC)
    return Sample(loan, cutoff, weeks, Target.EVENTUALLY, UTC)


def euros(loan: Histories, cut: str, candidate: Entry | Landmark | Competing | Survivor) -> float:
    fitted = candidate.fit(sample(loan, cut))
    rows = snapshot(loan, moment(cut))
    assert fitted is not None
    return float((rows.amount * fitted.probability(rows)).sum()) / 100


def actual(loan: Histories, cut: str) -> float:
    """Won by the end of the data, and what the deals open then are worth as seen from there."""
    rows, (state, _) = snapshot(loan, moment(cut)), loan.final(moment(END))
    late = snapshot(loan, moment(END))
    fitted = Survivor().fit(sample(loan, END))
    assert fitted is not None
    worth = (state == WON).astype(float)
    worth[late.deal] = fitted.probability(late)
    return float((rows.amount * worth[rows.deal]).sum()) / 100


def test_the_pipeline_of_15_november_and_what_became_of_it(loan: Histories) -> None:
    rows, (state, _) = snapshot(loan, moment("2011-11-15")), loan.final(moment(END))
    assert (len(rows), rows.amount.sum() / 100) == (735, 11_502_877)
    assert rows.amount[state[rows.deal] == WON].sum() / 100 == 4_121_067
    assert rows.amount[state[rows.deal] >= 0].sum() / 100 == 327_500


def test_the_textbook_and_the_landmark_forecast_come_out_to_the_rounding_of_the_rates(
    loan: Histories,
) -> None:
    # The known figures, 5,790,030 and 4,887,884, are of unrounded rates; ours have six places first.
    assert euros(loan, "2011-11-15", Entry()) == pytest.approx(5_790_029.38, abs=0.01)
    assert euros(loan, "2011-11-15", Landmark()) == pytest.approx(4_887_880.55, abs=0.01)


def test_the_same_forecasts_from_unrounded_rates_are_the_known_figures_exactly(loan: Histories) -> None:
    known, rows = sample(loan, "2011-11-15"), snapshot(loan, moment("2011-11-15"))
    state, _ = known.outcome
    deal, stage = known.entered
    closed = state[deal] < 0
    textbook = np.bincount(stage[closed], state[deal[closed]] == WON) / np.bincount(stage[closed])
    weekly = np.bincount(known.rows.stage, known.label == 1) / np.bincount(known.rows.stage[known.resolved])
    assert round(float((rows.amount * textbook[rows.stage]).sum()) / 100) == 5_790_030
    assert round(float((rows.amount * weekly[rows.stage]).sum()) / 100) == 4_887_884


def test_survivor_beats_textbook_and_landmark_at_every_cut_and_stays_within_ten_percent(
    loan: Histories,
) -> None:
    errors = []
    for cut in CUTS:
        came = actual(loan, cut)
        ours, landmark, textbook = (
            abs(euros(loan, cut, c) / came - 1) for c in (Survivor(), Landmark(), Entry())
        )
        assert ours < landmark < textbook, cut
        errors.append(ours)
    assert max(errors) < 0.10
    assert float(np.mean(errors)) < 0.05


def test_the_adoptable_rates_of_survivor_keep_most_of_what_it_knows(loan: Histories) -> None:
    for cut in CUTS:
        fitted, rows = Survivor().fit(sample(loan, cut)), snapshot(loan, moment(cut))
        assert fitted is not None
        by_rates = float((rows.amount * fitted.rates.of(rows)).sum()) / 1e8
        assert by_rates == pytest.approx(euros(loan, cut, Survivor()), rel=0.06), cut


def test_fitting_with_a_cut_off_equals_fitting_on_a_history_that_ends_there(loan: Histories) -> None:
    cut = moment("2011-11-15")
    whole, ended = (
        sample(loan, "2011-11-15"),
        Sample(
            loan.until(cut), cut, week_ends(int(loan.occurred_at.min()), cut, UTC), Target.EVENTUALLY, UTC
        ),
    )
    for candidate in (Entry(), Landmark(by_age=True), Competing(), Survivor()):
        one, other = candidate.fit(whole), candidate.fit(ended)
        assert one is not None
        assert other is not None
        assert (one.rates.micros == other.rates.micros).all()
