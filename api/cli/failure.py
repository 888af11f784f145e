"""What went wrong, as one sentence and a hint."""

from typing import NamedTuple

from typer.exceptions import TyperException

from api.actor import NotLoopback
from api.refusals import InvalidFields, InvalidParameters, MalformedJson
from domain.errors import Refusal
from infra.log_reader import BrokenLog
from infra.mapper import UnknownTopic, Unreadable
from infra.migrations import APP_ROLE
from infra.postgres import ServerError
from infra.settings import SettingError
from infra.tracing import TracingMissing
from projections.engine.checkpoints import ForeignLog, Retired
from projections.engine.comparing import Disagreement
from projections.engine.folding import Gap
from projections.engine.releasing import NotReady
from workers.importer import UnusableInput
from workers.releaser import TakenBack

REFUSED, USAGE, INTERRUPTED = 1, 2, 130
_NOT_MIGRATED = {"3F000", "42P01", "42703"}
_FORBIDDEN = "42501"
_FLAGS = {"deal_id": "DEAL", "account_id": "ACCOUNT", "recalibration_id": "RECALIBRATION", "q": "--search"}


class Failure(Exception):
    """A failure that has been put into words already."""

    def __init__(self, sentence: str, hint: str = "", exit_code: int = REFUSED) -> None:
        super().__init__(sentence)
        self.sentence, self.hint, self.exit_code = sentence, hint, exit_code


class Told(NamedTuple):
    """What the user is told, and the exit code of the program."""

    sentence: str
    hint: str
    exit_code: int


def tell(error: BaseException, verb: str) -> Told:  # noqa: C901 -- one case for each kind of error
    """The words for an error of that verb; what nobody foresaw is told as it comes."""
    match error:
        case Failure():
            return Told(error.sentence, error.hint, error.exit_code)
        case InvalidParameters() | InvalidFields():
            return _option(error, verb)
        case MalformedJson():
            return Told(_sentence(error.detail), _accepted(error.accepted) or "strict JSON, in UTF-8", USAGE)
        case Refusal():
            return Told(_sentence(error.detail), _accepted(error.accepted), REFUSED)
        case TyperException():
            return _usage(error, verb)
        case SettingError():
            return Told(_sentence(str(error)), "see docs/configuration.md", USAGE)
        case UnusableInput():
            return Told(_sentence(str(error)), error.hint or f"see {_help_of(verb)}", USAGE)
        case NotLoopback():
            return Told(_sentence(str(error)), "unset DEALTRACE_HOST, or set it to 127.0.0.1", USAGE)
        case TracingMissing():
            return Told(
                _sentence(str(error)),
                "pip install 'dealtrace[tracing]', or unset DEALTRACE_TRACES_URL",
                USAGE,
            )
        case ServerError():
            sentence, _, rest = str(error).partition("\n")
            return Told(_sentence(sentence), rest, REFUSED)
        case BrokenLog() | Gap() | Unreadable():
            return Told(
                _sentence(f"The log is not whole: {error}"), "dealtrace verify names everything", REFUSED
            )
        case UnknownTopic():
            hint = "the log was written by a newer release: use that one, or a later one"
            return Told(_sentence(str(error)), hint, REFUSED)
        case Disagreement():
            hint = "the old release goes on serving; dealtrace projections switch --help"
            return Told(f"No switch to this release: {error}", hint, REFUSED)
        case TakenBack() | NotReady():
            return Told(str(error), "dealtrace projections switch", REFUSED)
        case Retired():
            hint = "run that release, or dealtrace projections prepare to make them again"
            return Told(str(error), hint, REFUSED)
        case KeyboardInterrupt():
            return Told("Interrupted.", "", INTERRUPTED)
    return _unforeseen(error)


def _usage(error: TyperException, verb: str) -> Told:
    message = error.format_message().replace("Value error, ", "").removeprefix("Invalid value: ")
    if not message:  # a group of verbs without a verb: its help was the answer
        return Told("", "", USAGE)
    if "No such command" in message:
        verb = verb.rpartition(" ")[0]
    return Told(_sentence(message), f"see {_help_of(verb)}", USAGE)


def _help_of(verb: str) -> str:
    return " ".join(filter(None, ("dealtrace", verb, "--help")))


def _unforeseen(error: BaseException) -> Told:
    if isinstance(error, ForeignLog):
        return Told(_sentence(str(error)), "dealtrace projections adopt-log", REFUSED)
    state = getattr(error, "sqlstate", None)
    if state in _NOT_MIGRATED:
        return Told("The database has not been brought up to date.", "dealtrace migrate", REFUSED)
    if state == _FORBIDDEN:
        first = str(error).strip().splitlines()[0]
        return Told(
            f"PostgreSQL does not permit it: {first}.",
            f"DATABASE_OWNER_URL names the owner of the tables, DATABASE_URL the login {APP_ROLE}",
            REFUSED,
        )
    words = (str(error).strip().splitlines() or ["no words for it"])[0]
    return Told(
        _sentence(f"Something unforeseen went wrong: {words}"),
        "--debug right after dealtrace shows where it came from",
        REFUSED,
    )


def _option(refusal: Refusal, verb: str) -> Told:
    """The words for a field that is not as it must be, by the name of its option."""
    first = next(iter(getattr(refusal, "errors", [])), None)
    if first is None or not first.field:
        return Told(_sentence(refusal.detail), _accepted(refusal.accepted) or f"see {_help_of(verb)}", USAGE)
    place, _, inner = first.field.partition(".")
    name = _FLAGS.get(place, f"--{place.replace('_', '-')}") + (f".{inner}" if inner else "")
    detail = first.detail.partition("; in a URL")[0]
    accepted = None if detail == "is missing" else first.accepted
    hint = _accepted(accepted).replace(" or null", f" or {name.replace('--', '--no-')}")
    return Told(_sentence(f"{name} {detail}"), hint or f"see {_help_of(verb)}", USAGE)


def _accepted(what: str | None) -> str:
    return f"accepted: {what}" if what else ""


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."
