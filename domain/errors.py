"""Why a command is refused. Each class is one kind of refusal; HTTP knows them by one table in `api/`."""

from typing import ClassVar
from uuid import UUID


class Refusal(Exception):
    """A command that may not be done now. `detail` says why, `accepted` what would be, `field` where."""

    code: ClassVar[str]

    def __init__(self, detail: str, *, field: str | None = None, accepted: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.accepted = accepted
        self.index: int | None = None
        """Which command of a batch was refused, from 0."""


class InvalidCommand(Refusal):
    """The command does not have the shape its kind requires."""

    code = "invalid-command"


class NotAllowed(Refusal):
    """The actor's role does not permit it."""

    code = "not-allowed"


class UnknownDeal(Refusal):
    """No deal has this id."""

    code = "unknown-deal"

    def __init__(self, deal_id: UUID, *, field: str = "deal_id") -> None:
        super().__init__(
            f"There is no deal {deal_id}.", field=field, accepted="the id of a deal that was opened"
        )


class DealExists(Refusal):
    """A deal with this id was opened already."""

    code = "deal-exists"


class DealClosed(Refusal):
    """The deal is won, lost or abandoned, and this needs an open one."""

    code = "deal-closed"


class DealOpen(Refusal):
    """The deal is open, and this needs a closed one."""

    code = "deal-open"


class DealGone(Refusal):
    """The deal was voided or merged into another and takes no more changes."""

    code = "deal-gone"


class UnknownFunnel(Refusal):
    """No active funnel has this key."""

    code = "unknown-funnel"


class UnknownStage(Refusal):
    """The funnel has no stage with this key."""

    code = "unknown-stage"


class UnknownGrade(Refusal):
    """The funnel does not use this grade."""

    code = "unknown-grade"


class UnknownTeam(Refusal):
    """The organisation has no team with this key."""

    code = "unknown-team"


class UnknownRateSet(Refusal):
    """The funnel has no rate set with this number."""

    code = "unknown-rate-set"


class WrongStage(Refusal):
    """The stage exists, but this move can not lead there."""

    code = "wrong-stage"


class ReasonMissing(Refusal):
    """This change needs a reason."""

    code = "reason-missing"


class WrongCurrency(Refusal):
    """The amount is not in the reporting currency of this deployment."""

    code = "wrong-currency"


class InvalidAmount(Refusal):
    """The amount has too many digits or decimal places."""

    code = "invalid-amount"


class OutOfOrder(Refusal):
    """`occurred_at` lies before the last change of the same kind."""

    code = "out-of-order"


class InTheFuture(Refusal):
    """`occurred_at` lies in the future."""

    code = "in-the-future"


class PlaybookConflict(Refusal):
    """The playbook does not permit this definition as it stands."""

    code = "playbook-conflict"


class ChecklistOpen(Refusal):
    """The stage has required items that are not ticked, and leaving it needs a reason."""

    code = "checklist-open"


class UnknownItem(Refusal):
    """The checklist of the stage has no item with this key."""

    code = "unknown-item"


class ReviewMissing(Refusal):
    """The stage is left only with an approved review."""

    code = "review-missing"


class PartnerMissing(Refusal):
    """A partner-led deal leaves its first stage only with a registered partner."""

    code = "partner-missing"


class UnknownCompetitor(Refusal):
    """No competitor with this key is active on the deal."""

    code = "unknown-competitor"


class CompetitorsActive(Refusal):
    """A sole source can not be confirmed while competitors are active."""

    code = "competitors-active"


class NoCompellingEvent(Refusal):
    """No compelling event is in force on the deal."""

    code = "no-compelling-event"


class NotAssessed(Refusal):
    """There is no assessment that could be confirmed."""

    code = "not-assessed"


class UnknownAccount(Refusal):
    """No account has this id."""

    code = "unknown-account"


class AccountExists(Refusal):
    """An account with this id was opened already."""

    code = "account-exists"


class ActivityExists(Refusal):
    """The deal has an activity with this id already."""

    code = "activity-exists"


class UnknownContact(Refusal):
    """The account, or the deal, has no contact with this id."""

    code = "unknown-contact"


class ContactExists(Refusal):
    """The account has a contact with this id already."""

    code = "contact-exists"


class ContactGone(Refusal):
    """The contact was retired and takes no more changes."""

    code = "contact-gone"


class DealUndated(Refusal):
    """The deal has no expected close, and this needs one."""

    code = "deal-undated"


class WrongMonth(Refusal):
    """The month is not the one in which the deal is expected to close."""

    code = "wrong-month"


class ForecastLocked(Refusal):
    """The month is locked, and only a director may change a forecast for it."""

    code = "forecast-locked"


class UnknownRecalibration(Refusal):
    """No recalibration has this id."""

    code = "unknown-recalibration"

    def __init__(self, recalibration: UUID, *, field: str = "recalibration_id") -> None:
        super().__init__(
            f"There is no recalibration {recalibration}.",
            field=field,
            accepted="an id that GET /v1/recalibrations lists",
        )


class UnknownCandidate(Refusal):
    """The record of the recalibration has no such candidate."""

    code = "unknown-candidate"


class NotAdoptable(Refusal):
    """The rates are not what the evidence that they name says, or it does not say all that is needed."""

    code = "not-adoptable"


class EvidenceStale(Refusal):
    """The log is not the one that the record of the recalibration was made from."""

    code = "evidence-stale"


class OrganisationConflict(Refusal):
    """The organisation does not permit this as it stands."""

    code = "organisation-conflict"


class StaleVersion(Refusal):
    """The stream has moved on since the version the command was based on."""

    code = "stale-version"

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(
            f"The command was based on version {expected}, the current version is {current}.",
            field="If-Match",
            accepted=f'"{current}", after reading what changed',
        )
        self.expected, self.current = expected, current
        self.committed = current
        """The version in the log. Within a batch `current` may lie ahead of it, by what came earlier in the batch."""


class CommandIdReused(Refusal):
    """The same command id came before with another body."""

    code = "command-id-reused"


class Contended(Refusal):
    """The command lost against other writers again and again; retry it."""

    code = "contended"


class Overloaded(Refusal):
    """Too many commands wait already; retry later."""

    code = "overloaded"
