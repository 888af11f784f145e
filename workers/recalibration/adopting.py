"""From a record to the command that adopts one of its candidates, and whether the evidence that a command names holds."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from domain.errors import EvidenceStale, NotAdoptable, UnknownCandidate, UnknownRecalibration
from domain.playbook import AdoptRateSet, EvidenceInput, RateInput
from infra.verify import Expected, log_root
from workers.recalibration.record import CandidateBody, LogPoint, NoSuchRecord, RecalibrationBody, Record


def adoption(
    conn: Connection[Any],
    record: UUID,
    candidate: str,
    reason: str,
    *,
    funnel: str | None = None,
    effective_from: datetime | None = None,
) -> AdoptRateSet:
    """The command that adopts a candidate of a record, for the funnel that the record is of.

    Raises UnknownRecalibration, UnknownCandidate; NotAdoptable for one that has no rate for a stage, or a record of
    another funnel.
    """
    answer = _answer(conn, record, "record")
    if funnel is not None and funnel != answer.funnel:
        raise NotAdoptable(
            f"The record is of the funnel {answer.funnel!r}.",
            field="record",
            accepted="a record of this funnel",
        )
    chosen = _candidate(answer, candidate, "candidate")
    unknown = dict.fromkeys(r.stage for r in chosen.rates if r.rate is None)
    if unknown:
        raise NotAdoptable(
            f"{chosen.full_name} has no rate for {', '.join(unknown)}.",
            field="candidate",
            accepted="another candidate, or adopt-rate-set with rates for these stages added by hand",
        )
    return AdoptRateSet(
        funnel=answer.funnel,
        effective_from=effective_from,
        rates=tuple(
            RateInput(stage=stage, age=age, rate=rate) for (stage, age), rate in _rates(chosen).items()
        ),
        evidence=EvidenceInput(record=answer.record, digest=answer.digest, candidate=chosen.full_name),
        reason=reason,
    )


def claimed(conn: Connection[Any], command: AdoptRateSet) -> LogPoint:
    """The log that the evidence of a command was made from, if the command says what its evidence says.

    Rates may be added where the candidate knows none; none that it knows may be changed or left out. Raises
    UnknownRecalibration, UnknownCandidate, NotAdoptable.
    """
    evidence = command.evidence
    assert evidence is not None
    answer = _answer(conn, evidence.record, "evidence.record")
    if answer.funnel != command.funnel:
        raise NotAdoptable(
            f"The record is of the funnel {answer.funnel!r}.",
            field="evidence.record",
            accepted="a record of this funnel",
        )
    if answer.digest != evidence.digest:
        raise NotAdoptable("The record has another digest.", field="evidence.digest", accepted=answer.digest)
    candidate = _candidate(answer, evidence.candidate, "evidence.candidate")
    given = {(r.stage, r.age): r.rate for r in command.rates}
    for (stage, age), rate in _rates(candidate).items():
        if given.get((stage, age)) != rate:
            where = stage if age is None else f"{stage}, {age},"
            raise NotAdoptable(
                f"{candidate.full_name} has the rate {rate} for {where} and the command another one or none.",
                field="rates",
                accepted="the rates on record, or no evidence for rates set by hand",
            )
    return answer.log


def prove(
    conn: Connection[Any],
    points: Sequence[LogPoint],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Read the log, in one snapshot, and compare it with what records were made from. Raises EvidenceStale."""
    last = max(point.position for point in points)
    expected = [Expected(point.root, point.position) for point in points]
    if log_root(conn, last, expected=expected, progress=lambda at: progress(at, last)).problems:
        raise stale(points)


def stale(points: Sequence[LogPoint]) -> EvidenceStale:
    """The refusal of records made from logs that are no beginning of this one."""
    last = max(point.position for point in points)
    return EvidenceStale(
        f"The log up to position {last} is not the one that the record was made from.",
        field="record",
        accepted="a record of this log: recalibrate again",
    )


def _answer(conn: Connection[Any], record: UUID, field: str) -> RecalibrationBody:
    try:
        return Record.found(conn, record).answer
    except NoSuchRecord:
        raise UnknownRecalibration(record, field=field) from None


def _candidate(answer: RecalibrationBody, name: str, field: str) -> CandidateBody:
    try:
        return answer.candidate(name)
    except NoSuchRecord:
        raise UnknownCandidate(
            f"The record has no candidate {name!r}.",
            field=field,
            accepted=", ".join(one.full_name for one in answer.candidates),
        ) from None


def _rates(candidate: CandidateBody) -> dict[tuple[str, Any], Decimal]:
    """The rates that a candidate knows, exactly as recorded, by stage and age."""
    return {(r.stage, r.age): Decimal(str(r.rate)) for r in candidate.rates if r.rate is not None}
