"""What a command is, and what a decision is given beside it."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

import msgspec
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from domain.event import Actor, Origin, Role, TextRef
from domain.stream import Stream
from domain.wording import accepting


class Personal:
    """Marks a command's text field as personal data: it goes to the vault, events hold a `TextRef`."""


# C0 without tab and line feed, DEL and C1; bidirectional overrides, embeddings and isolates, which show another text
# than what stands there; Unicode's own line ends; surrogates and noncharacters, which are no text.
_NEVER = "".join(
    f"{chr(first)}-{chr(last)}"
    for first, last in [
        (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0x2028, 0x202E), (0x2066, 0x2069), (0xD800, 0xDFFF),
        (0xFDD0, 0xFDEF), *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)),
    ]
)  # fmt: skip
_UNPRINTABLE = re.compile(f"[{_NEVER}]")


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError("must not contain control characters")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("must not contain control characters")
    return _printable(text)


Key = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64),
    Field(examples=["needs_analysis"]),
    accepting("up to 64 lower-case letters, digits and underscores, a letter first"),
]
"""Names a funnel, a stage, a kind: lower-case letters, digits and underscores."""

Label = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)
]
"""A short text that is not personal: a product line, a region, a user id."""

Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(_printable)
]
"""Why something was done; a business record that stays in the event."""

PersonalText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000),
    AfterValidator(_printable),
    Personal(),
]


def _within_reach(day: date) -> date:
    if not 1900 <= day.year <= 2200:
        raise ValueError("must lie between the years 1900 and 2200")
    return day


_SHAPE = {
    date: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    datetime: re.compile(
        r"[0-9]{4}-(?!.*[.,][0-9]{7}).*"
    ),  # what is finer than a microsecond would be cut off
}


def _written_out(kind: type[date]) -> Callable[[object], object]:
    """Reads the text of a date or time, also where texts are otherwise not taken for anything else.

    Numbers are taken for seconds since 1970 otherwise, and nobody means that here.
    """
    text = TypeAdapter(kind)

    def read(value: object) -> object:
        if isinstance(value, date):
            return value
        if not isinstance(value, str) or not _SHAPE[kind].fullmatch(value):
            example = "2026-03-02" if kind is date else "2026-03-02T09:30:00Z, with microseconds at most"
            raise ValueError(f"must be written as in RFC 3339, such as {example}")
        try:
            return text.validate_python(value)
        except ValidationError:
            return value  # the type behind says what is wrong

    return read


_datetime = _written_out(datetime)


def _utc(value: object, check: ValidatorFunctionWrapHandler) -> datetime:
    moment = value
    if type(moment) is not datetime or moment.tzinfo is not UTC:  # imports bring it ready
        moment = check(_datetime(value))
    if not 1900 <= moment.year <= 2200:
        raise ValueError("must lie between the years 1900 and 2200")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, WrapValidator(_utc)]
"""A point in time, with its offset; kept in UTC."""

Day = Annotated[
    date, BeforeValidator(_written_out(date)), AfterValidator(_within_reach), Field(examples=["2026-06-30"])
]
"""A day of the calendar."""


class Command(BaseModel):
    """Something somebody wants done: untrusted input, and at once HTTP body, batch item and import row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    CREATES: ClassVar[bool] = False
    """Whether it opens a new stream."""
    REPLACES: ClassVar[bool] = False
    """Whether it replaces a whole value, so that who gives it must have seen the one before."""
    MINTS: ClassVar[str | None] = None
    """The field with the id of what it brings into being; a fresh one where it came without."""
    ALLOWED: ClassVar[frozenset[Role]]
    """The roles that may give it."""

    occurred_at: Annotated[
        Moment | None,
        Field(
            description="When it happened in the business. Default: now.", examples=["2026-03-02T09:30:00Z"]
        ),
    ] = None
    corrects: Annotated[UUID | None, Field(description="The id of the event that this one corrects.")] = None

    @classmethod
    @cache
    def command_name(cls) -> str:
        """The command's name in routes, batches and the CLI: `AdvanceStage` is `advance-stage`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    @cache
    def personal_fields(cls) -> tuple[str, ...]:
        """The fields whose text belongs into the vault."""
        return tuple(
            name for name, field in cls.model_fields.items() if _is_personal(field.annotation, field.metadata)
        )

    @classmethod
    @cache
    def id_field(cls) -> str | None:
        """The id that all commands of a kind have: a required UUID called `..._id` that a base class brings."""
        for base in reversed(cls.__mro__[1:]):
            if issubclass(base, Command):
                for name, field in base.model_fields.items():
                    if name.endswith("_id") and field.annotation is UUID and field.is_required():
                        return name
        return None

    @classmethod
    @cache
    def id_fields(cls) -> tuple[str, ...]:
        """The ids that say what the command is about: that of its kind, and that of what it brings into being."""
        return tuple(dict.fromkeys(name for name in (cls.id_field(), cls.MINTS) if name is not None))

    @classmethod
    def allowed_roles(cls) -> str:
        """Those who may, in words; `system` never comes from outside."""
        return ", ".join(sorted(cls.ALLOWED - {"system"}))

    def stream_id(self) -> UUID:
        """The stream whose state decides."""
        raise NotImplementedError

    def stands_on(self) -> tuple[UUID, ...]:
        """Other streams that the decision looks at; `Context.others` brings them, and the append guards them."""
        return ()

    def subject_id(self) -> UUID:
        """Whose the command's personal text is, so that it can be erased: the stream's, unless one person's."""
        return self.stream_id()

    def with_id(self, new_id: Callable[[], UUID]) -> Self:
        """The command with an id for what it brings into being, when it came without one."""
        if self.MINTS is None or getattr(self, self.MINTS) is not None:
            return self
        return self.model_copy(update={self.MINTS: new_id()})

    def partition_key(self) -> UUID:
        """What a fold may see together: the stream, unless the aggregate belongs to another."""
        return self.stream_id()


def _is_personal(annotation: Any, metadata: list[Any]) -> bool:
    """Whether the marker stands on the field itself or on one arm of its union (`PersonalText | None`)."""
    if any(isinstance(m, Personal) for m in metadata):
        return True
    if any(isinstance(m, Personal) for m in getattr(annotation, "__metadata__", ())):
        return True
    return any(_is_personal(arm, []) for arm in getattr(annotation, "__args__", ()))


class Context(msgspec.Struct, frozen=True):
    """What a decision may not fetch by itself."""

    now: datetime
    """The database's clock, UTC."""
    actor: Actor
    origin: Origin
    playbook: Any
    """The `domain.playbook.Playbook` in force."""
    new_id: Callable[[], UUID]
    """Fresh UUIDv7s."""
    sealed: Mapping[str, TextRef] = {}
    """The command's personal fields, by name, as references into the vault."""
    others: Mapping[UUID, Stream] = {}
    """The streams that the command `stands_on`; one that has no event has version 0."""

    @property
    def importing(self) -> bool:
        """Imports record facts: process rules do not apply to them."""
        return self.origin == "import"
