"""The main job: a real export imported and asked about, all through the command line.

The figures were computed independently of the product; see ../shared/data/README.md.
"""

import csv
from io import StringIO

from tests.cli.conftest import ROOT, Program

CUT = "2011-12-31T00:00:00Z"


def test_the_funnel_at_the_first_of_november(loan_funnel: Program) -> None:
    said = loan_funnel("funnel", "--funnel", "loan", "--as-of", "2011-11-01T00:00:00Z", "--format", "json")
    assert said.code == 0, said.err
    stages = {s["stage"]: (s["deals"], s["amount"]) for s in said.json["stages"]}
    assert list(stages.items()) == [
        ("submitted", (4, "63500")),
        ("preaccepted", (126, "1700311")),
        ("accepted", (1, "12500")),
        ("offer_sent", (430, "6823607")),
        ("offer_returned", (119, "1727633")),
    ]
    assert said.json["total"]["deals"] == 680
    assert said.json["as_of"] == "2011-11-01T00:00:00Z"


def test_the_table_shows_the_same_figures(loan_funnel: Program) -> None:
    said = loan_funnel("funnel", "--funnel", "loan", "--as-of", "2011-11-01T00:00:00Z")
    lines = [line.split() for line in said.out.splitlines()]
    assert ["offer_sent", "procurement_negotiation", "430", "0", "6,823,607"] in lines


def test_what_was_open_in_the_middle_of_november(loan_funnel: Program) -> None:
    total = loan_funnel(
        "funnel", "--funnel", "loan", "--as-of", "2011-11-15T00:00:00Z", "--format", "json"
    ).json["total"]
    assert (total["deals"], total["amount"]) == (735, "11502877")


def test_it_was_known_at_once_and_nothing_was_known_before(loan_funnel: Program) -> None:
    asked = ("funnel", "--funnel", "loan", "--as-of", "2011-11-01T00:00:00Z", "--format", "json")
    shown_then = loan_funnel(*asked, "--known-at", "2011-11-01T00:00:00Z").json
    assert shown_then["total"]["deals"] == 680
    assert loan_funnel(*asked, "--known-at", "2011-09-01T00:00:00Z").json["total"]["deals"] == 0


def test_its_source_claims_it_and_nobody_here_had_witnessed_it(loan_funnel: Program) -> None:
    asked = ("funnel", "--funnel", "loan", "--as-of", "2011-11-01T00:00:00Z", "--format", "json")
    in_2012 = (*asked, "--known-at", "2012-06-01T00:00:00Z")
    claimed = loan_funnel(*in_2012).json
    assert (claimed["total"]["deals"], claimed["knowledge"]) == (680, "source")
    assert claimed["claimed_events"] > 10_000
    witnessed = loan_funnel(*in_2012, "--knowledge", "witnessed").json
    assert (witnessed["total"]["deals"], witnessed["knowledge"], witnessed["claimed_events"]) == (
        0,
        "witnessed",
        0,
    )
    today = loan_funnel(*asked, "--knowledge", "witnessed").json
    assert (today["total"], today["stages"]) == (claimed["total"], claimed["stages"])
    assert loan_funnel(*asked).json["claimed_events"] == 0


def test_how_long_deals_stayed_in_a_stage(loan_funnel: Program) -> None:
    said = loan_funnel("dwell", "--funnel", "loan", "--as-of", CUT, "--format", "json")
    assert said.code == 0, said.err
    found = {
        s["stage"]: (s["completed_visits"], s["mean_days"], s["median_days"]) for s in said.json["stages"]
    }
    assert found["offer_sent"] == (2486, 12.5585, 9.6096)
    assert found["offer_returned"] == (1656, 4.0213, 3.2679)
    assert found["preaccepted"] == (3990, 2.1992, 0.1613)


def test_the_deals_behind_a_cell_add_up_to_it(loan_funnel: Program) -> None:
    asked = (
        "--funnel",
        "loan",
        "--stage",
        "offer_returned",
        "--as-of",
        "2011-11-01T00:00:00Z",
        "--limit",
        "500",
    )
    said = loan_funnel("funnel-deals", *asked, "--format", "csv")
    rows = list(csv.DictReader(StringIO(said.out)))
    assert len(rows) == 119
    assert sum(int(row["amount"]) for row in rows) == 1_727_633


def test_a_second_import_adds_nothing(loan_funnel: Program) -> None:
    before = loan_funnel("log", "--format", "json").json["position"]
    data = ROOT.parent / "shared" / "data" / "loan_funnel_history.csv.gz"
    said = loan_funnel(
        "import", "history", str(data), "--mapping", str(ROOT / "examples/loan_funnel/mapping.toml")
    )
    assert said.code == 0
    assert "appended 0 events, 33,381 rows were there already, 0 bad" in said.err
    assert loan_funnel("log", "--format", "json").json["position"] == before


def test_a_rebuild_changes_no_digest(loan_funnel: Program) -> None:
    live = loan_funnel("projections", "digest", "--format", "json").json
    rebuilt = loan_funnel("projections", "rebuild")
    assert rebuilt.code == 0, rebuilt.err
    assert loan_funnel("projections", "digest", "--format", "json").json == live


def test_the_log_is_whole(loan_funnel: Program) -> None:
    said = loan_funnel("verify", "--format", "json")
    assert said.code == 0
    assert said.json["position"] == loan_funnel("log", "--format", "json").json["position"]
    assert len(said.json["root"]) == 64
