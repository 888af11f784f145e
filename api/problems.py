"""Refusals as RFC 9457 problems: one table, the answers, and the pages that explain them."""

from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from api import refusals as r
from domain import errors as d
from domain.errors import Refusal
from infra.metrics import REFUSALS

MEDIA_TYPE = "application/problem+json"


class Row(NamedTuple):
    """How HTTP says a refusal, and what the sender can do about it."""

    status: int
    remedy: str
    retry_after: int | None = None
    """Seconds after which the same request may succeed."""


_SENT_AGAIN = (
    "Send the same request again after the seconds in `Retry-After`, with the same `Idempotency-Key`."
)

TABLE: dict[type[Refusal], Row] = {
    r.MalformedJson: Row(
        400, "Send one JSON value in UTF-8: no NaN or Infinity, no name twice in an object."
    ),
    r.InvalidParameters: Row(400, "Correct the parameters named in `errors`; unknown ones are refused."),
    r.InvalidCursor: Row(400, "Start again without `cursor`, and change nothing else from page to page."),
    r.Unauthenticated: Row(401, "Send `X-Actor-Id` and `X-Actor-Role`."),
    r.HeadersNotTrusted: Row(403, "Talk to the server from the machine it runs on, by a loopback address."),
    d.NotAllowed: Row(403, "Ask somebody whose role is named in `accepted`."),
    r.NoSuchAddress: Row(404, "See `/openapi.json` for every address there is."),
    d.UnknownDeal: Row(404, "Use the id that the answer to open-deal gave."),
    d.UnknownFunnel: Row(404, "Use one of the keys named in `accepted`; `GET /v1/funnels` lists them."),
    d.UnknownAccount: Row(404, "Use the id that the answer to open-account gave."),
    d.UnknownContact: Row(404, "Add the person first, as `accepted` says."),
    d.UnknownRecalibration: Row(404, "Use an id that `GET /v1/recalibrations` lists."),
    r.MethodNotAllowed: Row(405, "Use a method named in the `Allow` header."),
    d.DealExists: Row(409, "The deal is there already. To be safe against retries use `Idempotency-Key`."),
    d.DealClosed: Row(409, "Open the deal again with reopen-deal first, if that is what happened."),
    d.DealOpen: Row(409, "The deal is open already."),
    d.DealGone: Row(409, "Work on another deal; `detail` says what became of this one."),
    d.WrongStage: Row(409, "Read the deal's stage and choose one named in `accepted`."),
    d.OutOfOrder: Row(409, "Leave `occurred_at` out, or give a time from the one named in `accepted` on."),
    d.ChecklistOpen: Row(
        409, "Tick what is done with tick-item, or say in `override_reason` why it can wait."
    ),
    d.ReviewMissing: Row(409, "Have the stage reviewed with review-stage first."),
    d.PartnerMissing: Row(409, "Register the partner with register-partner first."),
    d.CompetitorsActive: Row(409, "Drop the competitors that are not active any more first."),
    d.NoCompellingEvent: Row(409, "Record one with record-compelling-event."),
    d.NotAssessed: Row(409, "Assess the party first; then somebody may confirm it."),
    d.AccountExists: Row(
        409, "The account is there already. To be safe against retries use `Idempotency-Key`."
    ),
    d.ContactExists: Row(
        409, "The contact is there already. To be safe against retries use `Idempotency-Key`."
    ),
    d.ActivityExists: Row(
        409, "The activity is there already. To be safe against retries use `Idempotency-Key`."
    ),
    d.ContactGone: Row(409, "Work with another contact; this one was retired."),
    d.DealUndated: Row(409, "Give the deal an expected close with revise-expected-close first."),
    d.WrongMonth: Row(409, "Leave `month` out, or move the expected close first."),
    d.ForecastLocked: Row(409, "Ask a director, or have the month unlocked."),
    d.OrganisationConflict: Row(409, "Read the organisation and change the command as `accepted` says."),
    d.PlaybookConflict: Row(409, "Read the playbook and change the definition as `accepted` says."),
    r.LogRestored: Row(
        409,
        "Undo what you took from later positions than the one in `accepted`, then go on from there.",
    ),
    r.RecalibrationState: Row(409, "Read its state; ask for another recalibration where it is over."),
    d.NotAdoptable: Row(
        409, "Adopt what the record says, or leave `evidence` out and say that you set them by hand."
    ),
    d.EvidenceStale: Row(
        409, "Recalibrate again and adopt from that record; tell the operator, for a log never changes."
    ),
    d.StaleVersion: Row(412, "Read what changed, decide again, and send the current version in `If-Match`."),
    r.BodyTooLarge: Row(413, "Send less at once; a batch takes up to 1,000 commands and 8 MiB."),
    r.AddressTooLong: Row(414, "Use shorter parameters."),
    r.NotJson: Row(415, "Send `Content-Type: application/json`, and the body as it is."),
    r.InvalidFields: Row(422, "Correct the fields named in `errors`."),
    d.InvalidCommand: Row(422, "Correct the field named in `field`."),
    d.UnknownStage: Row(422, "Use one of the stages named in `accepted`."),
    d.UnknownGrade: Row(422, "Use one of the grades named in `accepted`."),
    d.UnknownItem: Row(422, "Use one of the items named in `accepted`."),
    d.UnknownCompetitor: Row(
        422, "Use the key of an active competitor, or add it with add-competitor first."
    ),
    d.UnknownTeam: Row(422, "Use one of the teams named in `accepted`."),
    d.UnknownRateSet: Row(422, "Use one of the numbers named in `accepted`."),
    d.UnknownCandidate: Row(422, "Use one of the candidates named in `accepted`."),
    d.ReasonMissing: Row(422, "Say why in `reason`."),
    d.WrongCurrency: Row(422, "Give the amount in the currency named in `accepted`."),
    d.InvalidAmount: Row(422, "Give at most 15 digits and no more decimal places than the currency has."),
    d.InTheFuture: Row(422, "Correct `occurred_at`, or the sender's clock."),
    d.CommandIdReused: Row(422, "Use a new `Idempotency-Key` for a new request."),
    r.VersionMissing: Row(
        428, 'Send `If-Match: "7"` with the version you have read, or `If-Match: *` for any.'
    ),
    r.QueueFull: Row(
        429, "Ask again after the seconds in `Retry-After`, or cancel one that is not needed.", 30
    ),
    r.InternalError: Row(500, "Tell the operator the `request_id`."),
    d.Contended: Row(503, _SENT_AGAIN, 1),
    d.Overloaded: Row(503, _SENT_AGAIN, 1),
    r.NotYetVisible: Row(
        503, "Ask again after the seconds in `Retry-After`, or with a smaller `min_position`.", 1
    ),
    r.DatabaseAway: Row(503, _SENT_AGAIN + " Whether it was done is not known.", 2),
    r.NotReady: Row(503, "Ask again after the seconds in `Retry-After`.", 2),
}

STATUSES = {
    "400": "The request can not be read, or a parameter or a header is not as described.",
    "401, 403": "It does not say who sends it, or whoever it is may not.",
    "404": "Nothing has the id or the address that it names: a deal, an account, a contact, a funnel, a recalibration.",
    "405, 413 to 415": "The method, the size or the kind of body is not for this address.",
    "409": "All of it is there and, as it stands now, does not permit this.",
    "412, 428": "It is based on an old version, or does not say on which.",
    "422": "A field of the body is not as described; or what it names by a key or a number is no part of where it was looked "
    "for: a stage, grade or rate set of a funnel, an item of a checklist, a competitor of a deal, a team, a candidate.",
    "429, 503": "Not now: the same request may succeed later.",
    "500": "The server erred.",
}
"""Which status a refusal has, whatever brings it."""


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with one field. `index` is the command's place in a batch, from 0."""

    field: str
    detail: str
    accepted: str | None = None
    index: int | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    field: str | None = None
    accepted: str | None = None
    index: int | None = None
    errors: list[FieldError] = []


def title(refusal: type[Refusal]) -> str:
    """What the kind of refusal means: the first line of its docstring."""
    return (refusal.__doc__ or refusal.code).strip().splitlines()[0].removesuffix(".")


def response(refusal: Refusal, scope: Any, headers: dict[str, str] | None = None) -> Response:
    """The refusal as the answer to the request of that ASGI scope."""
    row = TABLE[type(refusal)]
    REFUSALS.labels(refusal.code).inc()
    trace = scope.get("trace")
    problem = Problem(
        type=f"/problems/{refusal.code}",
        title=title(type(refusal)),
        status=row.status,
        detail=shortened(refusal.detail),
        instance=shortened(scope["path"]),
        code=refusal.code,
        request_id=trace.request_id if trace else "",
        field=refusal.field,
        accepted=refusal.accepted,
        index=refusal.index,
        errors=getattr(refusal, "errors", []),
    )
    headers = dict(headers or {})
    if row.retry_after is not None:
        headers["Retry-After"] = str(row.retry_after)
    if row.status == 401:
        headers["WWW-Authenticate"] = 'X-Actor realm="dealtrace"'
    if row.status == 413:
        headers["Connection"] = "close"  # the rest of the body is not worth reading
    return Response(msgspec.json.encode(problem), row.status, headers, MEDIA_TYPE)


def shortened(text: str, longest: int = 500) -> str:
    """The text, cut where it is so long that nobody would want it back; without lone surrogates."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= longest else text[:longest] + "…"


def page(refusal: type[Refusal]) -> str:
    """What `GET /problems/{code}` says about a kind of refusal, as Markdown."""
    row = TABLE[refusal]
    retry = f"\n\nRetry after {row.retry_after} s." if row.retry_after else ""
    return f"## {refusal.code}\n\nStatus {row.status}. {title(refusal)}.\n\n{row.remedy}{retry}\n"


def by_code() -> dict[str, type[Refusal]]:
    """Every kind of refusal by its code."""
    return {refusal.code: refusal for refusal in TABLE}


def reference() -> str:
    """Every problem on one page: the text of docs/problems.md."""
    head = (
        "# Problems\n\n<!-- Generated from api/problems.py by `make docs`. -->\n\n"
        "Every answer that is not a success has the media type `application/problem+json` (RFC 9457): `type`, "
        "`title`, `status`, `detail`, `instance`, `code` and `request_id` always; where they help, `field`, "
        "`accepted`, `index` (which command of a batch, from 0) and `errors` (one entry per wrong field). "
        "`type` is the address of the explanation below. Only what is no HTTP request at all, or never becomes one, gets "
        "a bare 400 and is hung up on.\n\n"
        "| status | means |\n|---|---|\n"
        + "".join(f"| {status} | {meaning} |\n" for status, meaning in STATUSES.items())
        + "\nWhat is named and is not there is refused alike in an address, a parameter and a body.\n\n"
    )
    return head + "\n".join(page(refusal) for refusal in TABLE)


if __name__ == "__main__":
    print(reference(), end="")
