"""The real history of loan applications, as events; see the data folder's README for its source and figures."""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid5

from domain.deal import (
    ActivityLogged,
    AmountRevised,
    DealAbandoned,
    DealLost,
    DealOpened,
    DealWon,
    StageAdvanced,
    StageRegressed,
)
from domain.event import Event
from domain.money import Money
from tests.projections.written_log import SPACE, Fact, playbook, stage

FOLDER = Path(__file__).parents[3] / "shared" / "data"
HISTORY = FOLDER / "loan_funnel_history.csv.gz"
ACTIVITIES = FOLDER / "loan_funnel_activities.csv.gz"
STAGES = ["submitted", "preaccepted", "accepted", "offer_sent", "offer_returned"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def facts(*, activities: bool = False) -> Iterator[Fact]:
    """The playbook, then every change in the file's order, then the activities."""
    yield from playbook("loan", map(stage, STAGES), NOW)
    with gzip.open(HISTORY, "rt", encoding="utf-8", newline="") as file:
        stages: dict[str, str] = {}
        amounts: dict[str, Money] = {}
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["changed_at"])
            deal, event = row["deal_id"], _event(row, stages, amounts)
            yield Fact(deal_id(deal), event, at, NOW, at)
    if activities:
        with gzip.open(ACTIVITIES, "rt", encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file)):
                at = datetime.fromisoformat(row["started_at"])
                logged = ActivityLogged(
                    uuid5(SPACE, f"activity {number}"), row["kind"], row["by"], int(row["seconds"]) * 1_000_000
                )
                yield Fact(deal_id(row["deal_id"]), logged, at, NOW, at)


def deal_id(external: str) -> UUID:
    return uuid5(SPACE, f"loan {external}")


def _event(row: dict[str, str], stages: dict[str, str], amounts: dict[str, Money]) -> Event:
    deal, value = row["deal_id"], row["new_value"]
    if row["field"] == "created":
        stages[deal] = value
        return DealOpened("loan", value, owner=row["changed_by"] or None)
    if row["field"] == "Amount":
        before, amounts[deal] = amounts.get(deal), Money(Decimal(value), "EUR")
        return AmountRevised(before, amounts[deal])
    stage_before = stages[deal]
    match value:
        case "closed_won":
            return DealWon(stage_before)
        case "closed_lost":
            return DealLost(stage_before, None)
        case "closed_abandoned":
            return DealAbandoned(stage_before, None)
    stages[deal] = value
    if STAGES.index(value) > STAGES.index(stage_before):
        return StageAdvanced(stage_before, value)
    return StageRegressed(stage_before, value, None)
