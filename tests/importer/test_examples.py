"""The examples: exports of three CRMs in small, and the real funnel in full."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
REAL = ROOT.parent / "shared" / "data"


def test_salesforce_opportunity_field_history(importing):
    folder = EXAMPLES / "salesforce"
    summary = importing.file(folder / "opportunity_field_history.csv", mapping=folder / "mapping.toml")

    assert (summary.rows, summary.events, summary.ignored, summary.bad, summary.warnings) == (12, 11, 1, 0, 0)
    first, second = importing.deal("006A1", "salesforce"), importing.deal("006A2", "salesforce")
    assert (first.stage, first.status, first.amount.amount) == ("qualification", "open", Decimal(48000))
    assert (second.stage, second.status, second.expected_close) == ("negotiation", "won", date(2026, 2, 27))
    opened = [r.event for r in importing.recorded() if r.topic == "deal.opened"]
    assert [(o.stage, o.expected_close) for o in opened] == [
        ("prospecting", None),
        ("qualification", date(2026, 3, 31)),
    ]


def test_hubspot_property_history_and_activities(importing):
    folder = EXAMPLES / "hubspot"
    summary = importing.file(folder / "deal_property_history.csv", mapping=folder / "mapping.toml")
    activities = importing.file(folder / "activities.csv", "activities", mapping=folder / "mapping.toml")

    assert (summary.rows, summary.ignored, summary.bad, summary.warnings) == (15, 1, 0, 0)
    assert (activities.rows, activities.events, activities.bad) == (3, 3, 0)
    first, second = importing.deal("9001", "hubspot"), importing.deal("9002", "hubspot")
    assert (first.status, first.owner, first.amount.amount) == ("won", "u-12", Decimal(18000))
    assert first.expected_close == date(2026, 3, 1)
    assert (second.status, second.stage, second.amount.amount) == ("open", "qualified", Decimal("7250.5"))


def test_odoo_tracking_values(importing):
    folder = EXAMPLES / "odoo"
    summary = importing.file(folder / "tracking_values.csv", mapping=folder / "mapping.toml")

    assert (summary.rows, summary.opened, summary.bad, summary.warnings) == (9, 2, 0, 0)
    first, second = importing.deal("41", "odoo"), importing.deal("42", "odoo")
    assert (first.status, first.amount.amount, first.expected_close) == (
        "won",
        Decimal("11990.5"),
        date(2026, 6, 30),
    )
    assert (second.status, second.stage, second.owner) == ("lost", "proposition", "seller 2")


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the real history is not part of the repository, see examples/loan_funnel"
)
def test_the_real_funnel_is_imported_whole_and_once(importing):
    mapping = EXAMPLES / "loan_funnel" / "mapping.toml"
    history, activities = REAL / "loan_funnel_history.csv.gz", REAL / "loan_funnel_activities.csv.gz"

    first = importing.file(history, mapping=mapping)
    work = importing.file(activities, "activities", mapping=mapping)

    assert (first.rows, first.deals, first.opened, first.bad, first.warnings) == (33_381, 7_455, 7_455, 0, 0)
    assert first.events == 33_381 - 7_455  # the amount of the moment of creation is in the opening
    assert (work.rows, work.events, work.bad, work.warnings) == (37_185, 37_185, 0, 0)
    assert importing.file(history, mapping=mapping).already_there == 33_381
    assert importing.file(activities, "activities", mapping=mapping).already_there == 37_185
