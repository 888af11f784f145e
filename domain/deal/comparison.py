"""The comparison with the competitors (A6, A7, A9): who they are, how they and we are assessed, what helps us."""

from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from pydantic import AfterValidator, Field

from domain.command import Context, Key, Label, PersonalText, Reason
from domain.deal.rating import US, Result, Unrated, rated
from domain.deal.state import (
    MANAGERS,
    Deal,
    DealCommand,
    Standing,
    present,
    require_not_the_owner,
    require_open,
)
from domain.errors import CompetitorsActive, NotAssessed, UnknownCompetitor
from domain.event import Event, Role, TextRef
from domain.money import plain
from domain.win_rate import Assessment
from domain.wording import accepting

# --- Events -------------------------------------------------------------------------------------------


class InsideSourceFound(Event, frozen=True):
    """Somebody at the customer tells us how things stand."""

    TOPIC: ClassVar[str] = "deal.inside_source_found"
    GROUP: ClassVar[str | None] = "comparison"
    note: TextRef | None
    result: Result


class InsideSourceLost(Event, frozen=True):
    """Nobody at the customer tells us how things stand any more."""

    TOPIC: ClassVar[str] = "deal.inside_source_lost"
    GROUP: ClassVar[str | None] = "comparison"
    reason: str
    result: Result


class CompetitorAdded(Event, frozen=True):
    """A competitor is active on the deal; what it is worth is not known yet."""

    TOPIC: ClassVar[str] = "deal.competitor_added"
    GROUP: ClassVar[str | None] = "comparison"
    competitor: str
    label: str | None
    result: Result


class CompetitorAssessed(Event, frozen=True):
    """How well a competitor meets the need and how close it is to the customer. Unconfirmed until confirmed."""

    TOPIC: ClassVar[str] = "deal.competitor_assessed"
    GROUP: ClassVar[str | None] = "comparison"
    competitor: str
    from_assessment: Assessment | None
    to_assessment: Assessment
    result: Result


class CompetitorDroppedOut(Event, frozen=True):
    """A competitor is not active on the deal any more."""

    TOPIC: ClassVar[str] = "deal.competitor_dropped_out"
    GROUP: ClassVar[str | None] = "comparison"
    competitor: str
    reason: str
    result: Result


class OurPositionAssessed(Event, frozen=True):
    """How well we meet the need and how close we are to the customer. Unconfirmed until confirmed."""

    TOPIC: ClassVar[str] = "deal.our_position_assessed"
    GROUP: ClassVar[str | None] = "comparison"
    from_assessment: Assessment | None
    to_assessment: Assessment
    result: Result


class AssessmentConfirmed(Event, frozen=True):
    """A manager agrees with the latest assessment of a party: "us" or a competitor's key."""

    TOPIC: ClassVar[str] = "deal.assessment_confirmed"
    GROUP: ClassVar[str | None] = "comparison"
    party: str
    assessment: Assessment
    result: Result


class SoleSourceConfirmed(Event, frozen=True):
    """The customer buys from us or not at all."""

    TOPIC: ClassVar[str] = "deal.sole_source_confirmed"
    GROUP: ClassVar[str | None] = "comparison"
    reason: str
    result: Result


class SoleSourceWithdrawn(Event, frozen=True):
    """The customer may buy from others after all."""

    TOPIC: ClassVar[str] = "deal.sole_source_withdrawn"
    GROUP: ClassVar[str | None] = "comparison"
    reason: str
    result: Result


# --- State --------------------------------------------------------------------------------------------


def evolve(deal: Deal, event: Event) -> Deal:
    """The deal after the event."""
    return msgspec.structs.replace(deal, standing=_after(deal.standing, event))


def _after(standing: Standing, event: Event) -> Standing:
    change = msgspec.structs.replace
    match event:
        case InsideSourceFound():
            return change(standing, inside_source=True)
        case InsideSourceLost():
            return change(standing, inside_source=False)
        case CompetitorAdded():
            return change(standing, competitors={**standing.competitors, event.competitor: None})
        case CompetitorAssessed():
            assessed = {**standing.competitors, event.competitor: event.to_assessment}
            unconfirmed = standing.unconfirmed | {event.competitor}
            return change(standing, competitors=assessed, unconfirmed=unconfirmed)
        case CompetitorDroppedOut():
            left = {key: a for key, a in standing.competitors.items() if key != event.competitor}
            return change(standing, competitors=left, unconfirmed=standing.unconfirmed - {event.competitor})
        case OurPositionAssessed():
            return change(standing, us=event.to_assessment, unconfirmed=standing.unconfirmed | {US})
        case AssessmentConfirmed():
            return change(standing, unconfirmed=standing.unconfirmed - {event.party})
        case SoleSourceConfirmed():
            return change(standing, sole_source=True)
        case SoleSourceWithdrawn():
            return change(standing, sole_source=False)
    return standing


# --- Commands -----------------------------------------------------------------------------------------


def _not_us(key: str) -> str:
    if key == US:
        raise ValueError('"us" stands for ourselves')
    return key


CompetitorKey = Annotated[Key, AfterValidator(_not_us)]
Score = Annotated[
    Decimal | None,
    Field(ge=0, le=10, decimal_places=4, description="0 to 10; null is unknown.", examples=["7.5"]),
    accepting("a decimal number from 0 to 10 with at most 4 places, or null for unknown"),
]


class FindInsideSource(DealCommand):
    """Say that somebody at the customer tells us how things stand."""

    note: PersonalText | None = None


class LoseInsideSource(DealCommand):
    """Say that nobody at the customer tells us how things stand any more."""

    reason: Reason


class AddCompetitor(DealCommand):
    """Add a competitor who is active on the deal. Ends a confirmed sole source."""

    competitor: CompetitorKey
    label: Label | None = None


class AssessCompetitor(DealCommand):
    """Assess an active competitor; the same scores again refresh the assessment."""

    competitor: CompetitorKey
    need_fit: Score
    relationship: Score


class DropCompetitor(DealCommand):
    """Say that a competitor is not active on the deal any more."""

    competitor: CompetitorKey
    reason: Reason


class AssessOurPosition(DealCommand):
    """Assess ourselves; the same scores again refresh the assessment."""

    need_fit: Score
    relationship: Score


class ConfirmAssessment(DealCommand):
    """Confirm the latest assessment of a party; not for the owner of the deal."""

    ALLOWED: ClassVar[frozenset[Role]] = MANAGERS

    party: Annotated[Key, Field(description='"us" or the key of an active competitor.')]


class ConfirmSoleSource(DealCommand):
    """Confirm that the customer buys from us or not at all; not for the owner of the deal."""

    ALLOWED: ClassVar[frozenset[Role]] = MANAGERS

    reason: Reason


class WithdrawSoleSource(DealCommand):
    """Say that the customer may buy from others after all."""

    reason: Reason


# --- Decisions ----------------------------------------------------------------------------------------


def decide(command: DealCommand, deal: Deal | None, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    deal = present(deal, command)
    require_open(deal, command)
    event = _decided(command, deal, context)
    if event is None:
        return ()
    if isinstance(command, AddCompetitor) and deal.standing.sole_source:
        reason = f"{command.competitor} is active on the deal."
        first = rated(deal, context, evolve, lambda result: SoleSourceWithdrawn(reason, result))
        return first, rated(evolve(deal, first), context, evolve, event)
    return (rated(deal, context, evolve, event),)


def _decided(command: DealCommand, deal: Deal, context: Context) -> Unrated | None:
    now = deal.standing
    match command:
        case FindInsideSource():
            if now.inside_source:
                return None
            return lambda result: InsideSourceFound(context.sealed.get("note"), result)
        case LoseInsideSource():
            return (lambda result: InsideSourceLost(command.reason, result)) if now.inside_source else None
        case AddCompetitor():
            if command.competitor in now.competitors:
                return None
            return lambda result: CompetitorAdded(command.competitor, command.label, result)
        case DropCompetitor():
            if command.competitor not in now.competitors:
                return None
            return lambda result: CompetitorDroppedOut(command.competitor, command.reason, result)
        case AssessCompetitor() | AssessOurPosition():
            return _assessed(command, now)
        case ConfirmAssessment():
            return _confirmed(command, deal, context)
        case ConfirmSoleSource():
            return _sole_source(command, deal, context)
        case WithdrawSoleSource():
            return (lambda result: SoleSourceWithdrawn(command.reason, result)) if now.sole_source else None
    raise TypeError(f"no such command here: {command.command_name()}")


def _assessed(command: AssessCompetitor | AssessOurPosition, now: Standing) -> Unrated:
    to = Assessment(_stored(command.need_fit), _stored(command.relationship))
    if isinstance(command, AssessOurPosition):
        return lambda result: OurPositionAssessed(now.us, to, result)
    key = command.competitor
    before = _competitor(key, now, "competitor")
    return lambda result: CompetitorAssessed(key, before, to, result)


def _stored(score: Decimal | None) -> Decimal | None:
    return None if score is None else Decimal(plain(score))


def _confirmed(command: ConfirmAssessment, deal: Deal, context: Context) -> Unrated | None:
    require_not_the_owner(context.actor, deal)
    party, now = command.party, deal.standing
    assessment = now.us if party == US else _competitor(party, now, "party")
    if assessment is None:
        raise NotAssessed(
            f"There is no assessment of {party!r} to confirm.", field="party", accepted="assess it first"
        )
    if party not in now.unconfirmed:
        return None
    return lambda result: AssessmentConfirmed(party, assessment, result)


def _sole_source(command: ConfirmSoleSource, deal: Deal, context: Context) -> Unrated | None:
    require_not_the_owner(context.actor, deal)
    active = deal.standing.competitors
    if active:
        raise CompetitorsActive(
            f"Competitors are active on the deal: {', '.join(active)}.",
            field="deal_id",
            accepted="drop-competitor for each that is not active any more",
        )
    return None if deal.standing.sole_source else lambda result: SoleSourceConfirmed(command.reason, result)


def _competitor(key: str, now: Standing, field: str) -> Assessment | None:
    if key not in now.competitors:
        raise UnknownCompetitor(
            f"No competitor {key!r} is active on the deal.",
            field=field,
            accepted=", ".join(now.competitors) or "add-competitor first",
        )
    return now.competitors[key]
