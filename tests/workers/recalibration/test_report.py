"""The report in a real browser: it needs no network, complains of nothing, and says in words what it draws."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from infra.postgres import Server, scratch_database
from tests.projections.conftest import Playground
from tests.workers.recalibration.browser import opened
from tests.workers.recalibration.test_running import history, log, recalibrated
from workers.recalibration.record import CandidateBody, Record
from workers.recalibration.report import report


@pytest.fixture(scope="module")
def record(server: Server, template_database: str) -> Iterator[Record]:
    with scratch_database(server, template=template_database) as database:
        yield recalibrated(Playground(database), log(*(fact for facts in history(300) for fact in facts)))


class _Drawings(HTMLParser):
    """The drawings of a page that stand for something: the words that name each of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.figures, self.named, self.words = 0, [], dict[str, str]()
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.figures += tag == "figure"
        if tag == "svg" and given.get("aria-hidden") != "true":
            self.named.append((given.get("aria-labelledby") or "").split())
        self._inside = given.get("id") or "" if tag in {"title", "desc"} else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.words[self._inside] = data

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag in {"title", "desc"} else self._inside


def test_every_figure_has_a_title_and_says_what_it_shows(record: Record) -> None:
    found = _Drawings(report(record))
    assert found.figures == 5
    assert len(found.named) == 6  # that by week is there for wide and for narrow windows
    for names in found.named:
        assert len(names) == 2
        assert all(found.words[name] for name in names)


@pytest.mark.parametrize("width", [400, 1400])
def test_it_opens_without_a_request_or_a_complaint_and_fits_the_window(
    record: Record, tmp_path: Path, width: int
) -> None:
    measure = "<script>document.title = document.documentElement.scrollWidth > innerWidth ? 'wide' : 'fits'</script>"
    seen = opened(report(record).replace("</body>", measure + "</body>"), tmp_path, width=width)
    assert seen.requests == []
    assert seen.console == []
    assert "<title>fits</title>" in seen.document
    assert seen.document.count("<figure") == 5


def test_a_page_that_asks_or_complains_would_be_found_out(tmp_path: Path) -> None:
    page = "<body><img src=http://127.0.0.1:9/spy><script>console.error('no')</script></body>"
    seen = opened(page, tmp_path)
    assert any("127.0.0.1:9" in address for address in seen.requests)
    assert any("no" in line for line in seen.console)


def test_it_says_which_rates_how_much_better_and_how_sure(record: Record) -> None:
    page = report(record)
    assert "Take survivor/2" in page
    assert "none in force" in page
    assert "than the textbook rates" in page
    assert "90 % interval" in page
    assert "Actuals in the 80 % band" in page


def test_too_few_weekly_forecasts_are_not_compared(record: Record) -> None:
    def short(candidate: CandidateBody) -> CandidateBody:
        few = {"forecasts": 2, "compared": 2} if candidate.scores else {}
        return replace(candidate, scores=candidate.scores | few)

    candidates = tuple(short(c) for c in record.answer.candidates)
    page = report(replace(record, answer=replace(record.answer, candidates=candidates)))
    assert "Take survivor/2 by default" in page
    assert "2 weekly forecasts could be compared, too few" in page
    assert "because no rates are in force" in page
    assert "Better by" not in page
    assert "percentage points" not in page.partition("<div class=plots>")[0].partition("class=reason")[0]


def test_it_tells_what_adopting_would_do_from_forecasts_deal_by_deal(record: Record) -> None:
    scores = record.answer.candidate("survivor/2").scores
    assert scores["wape"] != scores["deal_by_deal"]["wape"]
    page = report(record)
    assert f"deal by deal {scores['deal_by_deal']['wape']:.1%}" in page
    assert f"off by {scores['wape']:.1%} of what came in" in page
    assert "Every candidate is tested by its rates" in page


def test_every_week_has_the_band_of_the_proposed_around_it(record: Record) -> None:
    for week in record.tested:
        assert week.low is not None
        assert week.high is not None
        assert week.low < week.forecasts["survivor/2"] < week.high
    assert report(record).count('class="band"') == 2  # in the wide plot and in the narrow one


def test_the_error_is_drawn_by_weeks_before_close(record: Record) -> None:
    left = record.answer.candidate("survivor/2").scores["by_weeks_left"]
    assert [one["weeks"] for one in left] == sorted(one["weeks"] for one in left)
    assert sum(one["actual"] for one in left) == pytest.approx(1)
    page = report(record)
    assert "Error by weeks before close" in page
    assert "to the close of each deal" in page


def test_what_managers_forecast_is_drawn_only_for_those_who_may_see_it(record: Record) -> None:
    week = record.tested[0]
    with_f1 = replace(record, tested=(replace(week, f1=1234567.0, f1_deals=3), *record.tested[1:]))
    assert "F1, managers" in report(with_f1, managers=True)
    hidden = report(with_f1)
    assert "F1, managers" not in hidden
    assert "F1 is left out of this copy" in hidden


def test_a_history_too_short_to_test_still_gives_a_report(record: Record) -> None:
    untested = replace(
        record,
        tested=(),
        dwell=(),
        answer=replace(
            record.answer, candidates=tuple(replace(c, scores={}) for c in record.answer.candidates)
        ),
    )
    page = report(untested)
    assert "too short to test" in page
    assert "Too few weeks" in page
