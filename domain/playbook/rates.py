"""Stage win rates: one versioned set per funnel after another, each with its evidence."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from domain.command import Context, Key, Label, Moment, Reason
from domain.errors import PlaybookConflict
from domain.event import Event, Role
from domain.playbook.parts import Age, Evidence, Funnel, RateSet, StageRate
from domain.playbook.state import EMPTY, FunnelCommand, Playbook, require_stage
from domain.wording import accepting

PLACES = 6

# --- Events -------------------------------------------------------------------------------------------


class RateSetAdopted(Event, frozen=True):
    """A funnel's stage win rates from `effective_from` on; `number` counts the funnel's sets from 1."""

    TOPIC: ClassVar[str] = "playbook.rate_set_adopted"
    rate_set: UUID
    funnel: str
    number: int
    effective_from: datetime
    rates: tuple[StageRate, ...]
    evidence: Evidence | None
    reason: str


# --- State --------------------------------------------------------------------------------------------


def evolve(playbook: Playbook | None, event: Event) -> Playbook:
    """The playbook after the event."""
    book = playbook or EMPTY
    match event:
        case RateSetAdopted():
            adopted = RateSet(event.rate_set, event.funnel, event.number, event.effective_from, event.rates)
            sets = (*book.rate_sets.get(event.funnel, ()), adopted)
            return msgspec.structs.replace(book, rate_sets={**book.rate_sets, event.funnel: sets})
    return book


# --- Commands -----------------------------------------------------------------------------------------


class RateInput(BaseModel):
    """The win rate of a stage, 0 to 1; of visits of one age, or, without an age, of all."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage: Key
    age: Age | None = None
    rate: Annotated[
        Decimal,
        Field(ge=0, le=1, decimal_places=PLACES, examples=["0.275"]),
        accepting(f"a decimal number from 0 to 1 with at most {PLACES} places, such as 0.275"),
    ]


class EvidenceInput(BaseModel):
    """The recalibration record that a rate set comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    record: UUID
    digest: Annotated[
        str,
        Field(pattern="^[0-9a-f]{64}$", description="The evidence digest, SHA-256 in hex."),
        accepting("64 digits of lower-case hex"),
    ]
    candidate: Annotated[Label, Field(examples=["landmark/1"])]


def _one_or_both_ages(rates: tuple[RateInput, ...]) -> tuple[RateInput, ...]:
    for stage in dict.fromkeys(r.stage for r in rates):
        ages = [r.age for r in rates if r.stage == stage]
        if ages != [None] and sorted(a or "" for a in ages) != ["fresh", "stalled"]:
            raise ValueError(f"{stage} needs one rate without an age, or one for fresh and one for stalled")
    return rates


class AdoptRateSet(FunnelCommand):
    """Adopt stage win rates for a funnel, from now or a later time on."""

    ALLOWED: ClassVar[frozenset[Role]] = frozenset({"director", "sales_operations", "admin"})

    effective_from: Annotated[Moment | None, Field(description="Default: now.")] = None
    rates: Annotated[
        tuple[RateInput, ...], Field(min_length=1, max_length=60), AfterValidator(_one_or_both_ages)
    ]
    evidence: EvidenceInput | None = None
    reason: Reason


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: AdoptRateSet, playbook: Playbook | None, context: Context) -> tuple[Event, ...]:
    """The next rate set of the funnel. Raises a Refusal."""
    book = playbook or EMPTY
    funnel = book.funnel(command.funnel)
    for rate in command.rates:
        require_stage(funnel, rate.stage, "rates.stage")
    _require_every_stage(command, funnel)
    adopted = RateSetAdopted(
        rate_set=context.new_id(),
        funnel=command.funnel,
        number=len(book.rate_sets.get(command.funnel, ())) + 1,
        effective_from=_effective_from(command, context),
        rates=tuple(
            StageRate(r.stage, r.age, r.rate.quantize(Decimal(1).scaleb(-PLACES))) for r in command.rates
        ),
        evidence=Evidence(**command.evidence.model_dump()) if command.evidence else None,
        reason=command.reason,
    )
    return (adopted,)


def _require_every_stage(command: AdoptRateSet, funnel: Funnel) -> None:
    given = {rate.stage for rate in command.rates}
    missing = [stage.key for stage in funnel.stages if stage.key not in given]
    if missing:  # a stage without a rate would silently lower every forecast
        raise PlaybookConflict(
            f"There is no rate for {', '.join(missing)}.", field="rates", accepted="a rate for every stage"
        )


def _effective_from(command: AdoptRateSet, context: Context) -> datetime:
    now = context.now
    if context.importing and command.occurred_at is not None:
        now = command.occurred_at  # it was adopted then, and may have been in force from then on
    wanted = command.effective_from or now
    if wanted < now:
        raise PlaybookConflict(
            "Rates can not have been in force before they were adopted.",
            field="effective_from",
            accepted=f"a time from {now:%Y-%m-%dT%H:%M:%S.%fZ} on, or none for now",
        )
    return wanted
