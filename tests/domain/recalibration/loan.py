"""The real loan funnel as histories (BPI Challenge 2012, van Dongen, 4TU.ResearchData,
doi 10.4121/uuid:3926db30-f712-4394-aebc-75976070e91f), read straight from the export, without the product."""

import csv
import gzip
import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np

from domain.recalibration.columns import DAY, ints
from domain.recalibration.histories import ABANDONED, LOST, NO_MONTH, WON, Histories
from domain.recalibration.landmarks import microseconds

STAGES = ("submitted", "preaccepted", "accepted", "offer_sent", "offer_returned")
STATE = {stage: index for index, stage in enumerate(STAGES)}
STATE |= {"closed_won": WON, "closed_lost": LOST, "closed_abandoned": ABANDONED}


def data_folder() -> Path:
    """Where the shared data lie: beside the repository, or where DEALTRACE_TEST_DATA says."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("DEALTRACE_TEST_DATA", str(beside)))


def moment(text: str) -> int:
    """UTC microseconds of a date or a time in UTC."""
    return microseconds(datetime.fromisoformat(text if "T" in text else text + "T00:00:00+00:00"))


def loan_histories() -> Histories:
    """One version per change of stage or amount; amounts in cents; known when they happened."""
    versions: dict[int, list[tuple[int, int, int]]] = {}
    with gzip.open(data_folder() / "loan_funnel_history.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            deal, at = int(row["deal_id"]), moment(row["changed_at"].replace("Z", "+00:00"))
            seen = versions.setdefault(deal, [])
            state, amount = seen[-1][1:] if seen else (0, 0)
            if row["field"] == "Amount":
                amount = int(Decimal(row["new_value"]) * 100)
            else:
                state = STATE[row["new_value"]]
            seen.append((at, state, amount))
    deals = sorted(versions)
    flat = [(index, *version) for index, deal in enumerate(deals) for version in versions[deal]]
    deal, at, state, amount = (ints(column) for column in zip(*flat, strict=True))
    nothing = np.zeros(len(deal), dtype=np.int64)
    return Histories(
        stages=STAGES,
        stall_after=np.full(len(STAGES), 14 * DAY, dtype=np.int64),
        deal_id=ints(deals),
        deal=deal,
        occurred_at=at,
        known_at=at,
        state=state,
        amount=amount,
        close_month=nothing + NO_MONTH,
        grade=nothing,
        team=nothing,
    )
