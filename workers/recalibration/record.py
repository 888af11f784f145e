"""What a recalibration found, as it is printed and as it is kept."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import Knowledge
from domain.playbook import Age
from infra.recalibration_records import add_record, find_record
from workers.recalibration.dwell import StageDwell


class NoSuchRecord(Exception):
    """There is no such record, or no such candidate in it."""


class LogPoint(msgspec.Struct, frozen=True):
    """A position of the log, and the root (hex) of everything up to it."""

    position: int
    root: str


class StageEvidence(msgspec.Struct, frozen=True):
    """A rate, 0 to 1 in 6 places, and what it rests on; null where nothing is known.

    `rows` landmark rows of `deals` distinct deals, `wins` of these won; `unresolved` is the share of rows without an
    outcome; `low` and `high` are the 90 % interval.
    """

    stage: str
    age: Age | None
    rate: float | None
    rows: int
    deals: int
    wins: int
    unresolved: float | None
    low: float | None
    high: float | None


class CandidateBody(msgspec.Struct, frozen=True):
    """One candidate: `current` has no version. `scores` are those of its rates, empty where they could not be tested;
    `scores.deal_by_deal` those of its estimator, where that tells deals of one stage apart."""

    name: str
    version: int | None
    rates: tuple[StageEvidence, ...]
    scores: dict[str, Any]

    @property
    def full_name(self) -> str:
        """Name and version, such as landmark/1."""
        return self.name if self.version is None else f"{self.name}/{self.version}"


class CurrentRates(msgspec.Struct, frozen=True):
    """The rate set in force at the cut-off."""

    number: int
    rate_set: UUID
    effective_from: datetime


class NotApplicable(msgspec.Struct, frozen=True):
    """A candidate that could not be fitted, and why."""

    candidate: str
    reason: str


class RecalibrationBody(msgspec.Struct, frozen=True):
    """The answer: see the glossary of recalibration. `current` is null while no rates are in force.

    `claimed_events` counts the events behind it that were known at the cut-off only by their source's claim; null in a
    record that is older than the count.
    """

    record: UUID
    digest: str
    log: LogPoint
    funnel: str
    until: datetime
    target: str
    candidates: tuple[CandidateBody, ...]
    current: CurrentRates | None
    recommended: str
    reason: str
    not_applicable: tuple[NotApplicable, ...] = ()
    knowledge: Knowledge = "source"
    claimed_events: int | None = None

    def candidate(self, name: str) -> CandidateBody:
        """The candidate of that name, with or without its version. Raises NoSuchRecord."""
        for one in self.candidates:
            if name in {one.name, one.full_name}:
                return one
        for missing in self.not_applicable:
            if name in {missing.candidate, missing.candidate.partition("/")[0]}:
                raise NoSuchRecord(f"{missing.candidate} does not apply: {missing.reason}")
        known = ", ".join(one.full_name for one in self.candidates)
        raise NoSuchRecord(f"The record has no candidate {name!r}, only {known}")


class SharedMovement(msgspec.Struct, frozen=True):
    """Variances of the shared movements of log odds that the bands of forecasts rest on."""

    common: float
    team: float


class TestedWeek(msgspec.Struct, frozen=True):
    """One weekly forecast of the walk-forward test: what each candidate's rates (and, under `deal_by_deal` of its name,
    its estimator) said, and what came of it, in the currency.

    `actual` holds the expectation of deals that are still open. `f1` is what managers had forecast, over the `f1_deals`
    deals of these that had a manager's forecast; null where none had. `low` and `high` are the 80 % band of the
    recommended candidate's forecast.
    """

    at: datetime
    actual: float
    forecasts: dict[str, float]
    f1: float | None = None
    f1_deals: int = 0
    deals: int = 0
    low: float | None = None
    high: float | None = None


class Record(msgspec.Struct, frozen=True):
    """What is kept: the answer, and everything that it takes to compute it again."""

    answer: RecalibrationBody
    stages: tuple[str, ...]
    first: int
    """The first instant of the look-back, UTC microseconds."""
    period: str | None
    seed: int
    replicates: int
    libraries: dict[str, str]
    spreads: dict[str, SharedMovement]
    tested: tuple[TestedWeek, ...]
    dwell: tuple[StageDwell, ...] = ()

    def keep(self, conn: Connection[Any]) -> None:
        """Store it."""
        answer = self.answer
        add_record(conn, answer.record, answer.digest, answer.funnel, answer.until, msgspec.json.encode(self))

    @classmethod
    def found(cls, conn: Connection[Any], record: UUID) -> "Record":
        """The record of that id. Raises NoSuchRecord."""
        body = find_record(conn, record)
        if body is None:
            raise NoSuchRecord(f"There is no record {record}")
        return msgspec.json.decode(body, type=cls)


def named(text: str) -> tuple[UUID, str]:
    """Record and candidate of a text such as 0190...:landmark/1. Raises NoSuchRecord."""
    record, _, candidate = text.partition(":")
    try:
        return UUID(record), candidate
    except ValueError:
        raise NoSuchRecord(f"{text!r} does not name a record and a candidate of it") from None


def fraction(micros: int) -> float | None:
    """A rate in millionths as a number, None where it is unknown."""
    return None if micros < 0 else float(Decimal(micros).scaleb(-6))
