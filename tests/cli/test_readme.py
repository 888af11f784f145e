"""The README tells the truth: its tour, run as written, prints what it says; its snippets are accepted."""

import re
import shutil
from pathlib import Path

import pytest

from domain.deal import Deal
from domain.event_catalogue import event_reference
from infra.connection import connect
from infra.postgres import Server
from tests.cli.conftest import ROOT, Program, program_on
from tests.cli.tour import README, masked, told, toured


@pytest.mark.slow
def test_the_tour_prints_what_the_readme_says() -> None:
    if (
        not shutil.which("curl")
        or not (ROOT.parent / "shared" / "data" / "loan_funnel_history.csv.gz").exists()
    ):
        pytest.skip("the tour needs curl and the exports of the loan funnel")
    with toured() as tour:
        for command, output in told():
            assert masked(tour.run(command)) == masked(output), command


def test_the_tour_shows_output_for_every_command() -> None:
    assert len(told()) >= 10
    assert [command for command, output in told() if not output.strip()] == []


def test_every_file_that_the_readme_points_at_exists() -> None:
    links = re.findall(r"\]\((?!http|#)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_event_catalogue_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "events.md").read_text(encoding="utf-8") == event_reference(), (
        "make docs renews it"
    )


def test_an_event_a_command_and_a_projection_are_added_as_it_says(database: Server, tmp_path: Path) -> None:
    for room in ("domain", "infra", "projections", "workers", "api"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    event, field, evolved = re.split(r"# in evolve.*with `(.*)` added to Deal:\n", snippets[0])
    command, decided = re.split(r"# in decide.*\n", snippets[1])
    insert(tmp_path / "domain/deal/terms.py", {
        "# --- State": event, "    return deal\n": evolved,
        "# --- Decisions": command, "    raise TypeError(": decided,
    })  # fmt: skip
    assert field.partition(":")[0] not in Deal.__struct_fields__
    insert(tmp_path / "domain/deal/state.py", {"\n\nclass DealCommand": f"    {field}\n"})
    (tmp_path / "projections" / "campaigns.py").write_text(snippets[2], encoding="utf-8")

    plain = program_on(database, tmp_path)
    extended = Program({**plain.environment, "PYTHONPATH": str(tmp_path)}, tmp_path)
    deal = extended("do", "open-deal", "--funnel", "tas_plus", "--format", "json").json["deal_id"]
    named = extended("do", "name-campaign", deal, "--campaign", "spring fair")
    assert named.code == 0, named.err
    data = extended("timeline", deal, "--format", "json").json["events"][-1]["data"]
    assert data == {"campaign": "spring fair"}
    with connect(database.app_url, "test") as conn:
        assert conn.execute("SELECT campaign FROM projection.campaigns_v1").fetchall() == [("spring fair",)]


def insert(file: Path, before: dict[str, str]) -> None:
    """Put each text before the first place where its key stands."""
    text = file.read_text(encoding="utf-8")
    for place, addition in before.items():
        assert place in text
        text = text.replace(place, addition + place, 1)
    file.write_text(text, encoding="utf-8")
