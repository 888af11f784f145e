"""Why an HTTP request is refused before, or besides, any decision of the domain."""

from typing import ClassVar

from domain.errors import Refusal


class MalformedJson(Refusal):
    """The body is not strict JSON."""

    code = "malformed-json"


class InvalidParameters(Refusal):
    """A parameter of the path, the query string or a header is not as described."""

    code = "invalid-parameters"


class LogRestored(Refusal):
    """A backup was restored since, so that other events stand where the reader believes to have read."""

    code = "log-restored"


class InvalidCursor(Refusal):
    """The cursor is damaged, or belongs to a query with other parameters."""

    code = "invalid-cursor"


class Unauthenticated(Refusal):
    """The request does not say who sends it."""

    code = "unauthenticated"


class HeadersNotTrusted(Refusal):
    """Actor headers are trusted from this machine only."""

    code = "headers-not-trusted"


class NoSuchAddress(Refusal):
    """Nothing lives at this address."""

    code = "no-such-address"


class MethodNotAllowed(Refusal):
    """The address exists, but not for this method."""

    code = "method-not-allowed"


class BodyTooLarge(Refusal):
    """The body is larger than this address takes."""

    code = "body-too-large"


class AddressTooLong(Refusal):
    """The address with its query string is too long."""

    code = "address-too-long"


class NotJson(Refusal):
    """The body is not declared to be JSON, or is compressed."""

    code = "not-json"


class QueueFull(Refusal):
    """As many recalibrations as may be wait already."""

    code = "queue-full"


class RecalibrationState(Refusal):
    """The recalibration is not in a state in which this can be done."""

    code = "recalibration-state"


class VersionMissing(Refusal):
    """The request does not say which version of the stream it is based on."""

    code = "version-missing"


class NotYetVisible(Refusal):
    """The answer does not reflect the position asked for yet."""

    code = "not-yet-visible"


class DatabaseAway(Refusal):
    """The database can not be reached now."""

    code = "database-away"


class NotReady(Refusal):
    """The server runs, but can not serve everything now."""

    code = "not-ready"


class InternalError(Refusal):
    """Something went wrong inside the server; it is logged under the request id."""

    code = "internal-error"


class InvalidFields(Refusal):
    """Fields of the body are not as described."""

    code: ClassVar[str] = "invalid-fields"
