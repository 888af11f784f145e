"""What the rates of a what-if rest on: who adopted them is in their history, here is what they were learnt from."""

from datetime import datetime
from typing import Any

from psycopg import Connection

from projections.rate_sets import AdoptedRateSet
from projections.what_if import RatesBasis
from workers.recalibration.record import NoSuchRecord, RecalibrationBody, Record


def basis_of_set(conn: Connection[Any], adopted: AdoptedRateSet, at: datetime) -> RatesBasis:
    """The basis of an adopted set, for a picture of that moment."""
    evidence = adopted.evidence
    if evidence is None:
        return RatesBasis(adopted.number)
    try:
        answer = Record.found(conn, evidence.record).answer
    except NoSuchRecord:  # a log brought here without its records
        return RatesBasis(adopted.number, evidence.record, evidence.digest, evidence.candidate)
    return basis_of_record(answer, evidence.candidate, at, adopted.number)


def basis_of_record(
    answer: RecalibrationBody, candidate: str, at: datetime, number: int | None = None
) -> RatesBasis:
    """The basis of a candidate's rates, for a picture of that moment."""
    return RatesBasis(
        number,
        answer.record,
        answer.digest,
        candidate,
        answer.log.position,
        answer.until,
        hindsight=answer.until > at,
    )
