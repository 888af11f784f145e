"""From a record to the command that adopts one of its candidates, if its evidence is still that of this log."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from domain.errors import PlaybookConflict
from domain.playbook import AdoptRateSet, EvidenceInput, RateInput
from infra.snapshot import one_snapshot
from infra.verify import log_root
from workers.recalibration.record import Record, named


def adoption(
    url: str,
    name: str,
    reason: str,
    *,
    effective_from: datetime | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> AdoptRateSet:
    """The command that adopts RECORD:CANDIDATE. A stage without a rate is left out, which its decision refuses.

    Raises NoSuchRecord; PlaybookConflict where the log is not the one that the record was made from.
    """
    record_id, candidate_name = named(name)
    with one_snapshot(url, "dealtrace adoption") as conn:
        record = Record.found(conn, record_id)
        answer, candidate = record.answer, record.answer.candidate(candidate_name)
        found = log_root(conn, answer.log.position, progress=lambda at: progress(at, answer.log.position))
    if found.problems or found.root != answer.log.root:
        raise PlaybookConflict(
            f"The log up to position {answer.log.position} is not the one that the record was made from.",
            field="record",
            accepted="a record of this log: recalibrate again",
        )
    return AdoptRateSet(
        funnel=answer.funnel,
        effective_from=effective_from,
        rates=tuple(
            RateInput(stage=r.stage, age=r.age, rate=Decimal(str(r.rate)))
            for r in candidate.rates
            if r.rate is not None
        ),
        evidence=EvidenceInput(record=answer.record, digest=answer.digest, candidate=candidate.full_name),
        reason=reason,
    )
