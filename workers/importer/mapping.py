"""The mapping file: which columns, fields and values of an export mean what here."""

import codecs
import csv
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain.command import Key, Label
from domain.money import Currency
from domain.playbook import DefineFunnel, NamesInput, Stages
from workers.importer.report import UnusableInput

Meaning = Literal[
    "created",
    "stage",
    "amount",
    "expected_close",
    "owner",
    "name",
    "account",
    "product_line",
    "customer_segment",
    "region",
    "ignore",
]
"""What a field of the source is to us; rows of an `ignore` field are passed over."""

Outcome = Literal["won", "lost", "abandoned"]
DurationUnit = Literal["milliseconds", "seconds", "minutes", "hours"]


def _is_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError("must be the name of a text encoding such as utf-8, cp1252 or utf-16") from None
    return name


def _is_delimiter(text: str) -> str:
    try:
        csv.reader([], delimiter=text)
    except (TypeError, ValueError):
        raise ValueError('must be one character such as ",", ";" or "\\t"') from None
    return text


def _is_time_format(text: str) -> str:
    if text not in ("iso", "epoch_s", "epoch_ms") and "%" not in text:
        raise ValueError('must be "iso", "epoch_s", "epoch_ms" or a pattern such as "%d.%m.%Y %H:%M:%S"')
    return text


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from None
    return name


Column = Annotated[str, Field(min_length=1, description="The column's name in the header of the file.")]
Formats = Annotated[
    tuple[Annotated[str, AfterValidator(_is_time_format)], ...], Field(min_length=1, max_length=10)
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileFormat(_Part):
    """How the file is written. Compression by gzip is recognised by itself."""

    delimiter: Annotated[str, AfterValidator(_is_delimiter)] = ","
    encoding: Annotated[str, AfterValidator(_is_encoding)] = "utf-8"


class TimeFormat(_Part):
    """How times and days are written, the first format that fits; `zone` is that of times without an offset."""

    formats: Formats = ("iso",)
    date_formats: Formats = ("iso",)
    zone: Annotated[str, AfterValidator(_is_zone)] = "UTC"


class NumberFormat(_Part):
    """How numbers are written."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands must be different characters")
        return self


class FunnelDefinition(_Part):
    """The funnel that the deals belong to; it is defined before the first row if it is not there yet."""

    key: Key
    label: NamesInput
    dated: bool = True
    stages: Stages

    def command(self) -> DefineFunnel:
        """The same as a command."""
        return DefineFunnel(funnel=self.key, label=self.label, dated=self.dated, stages=self.stages)


class HistoryColumns(_Part):
    """The columns of a field history. Without `old`, old values are not compared with the log.

    `id` is what the source calls the row; where it is named, it alone identifies the row.
    """

    deal: Column
    changed_at: Column
    changed_by: Column | None = None
    field: Column
    old: Column | None = None
    new: Column
    id: Column | None = None

    def names(self) -> tuple[str | None, ...]:
        """The columns in the order of `rows.Row`."""
        return self.deal, self.changed_at, self.changed_by, self.field, self.old, self.new, self.id


class History(_Part):
    """What the rows of a field history mean.

    `opening` says where to find what a deal was opened with: in the rows of its first moment (`first_rows`), or
    also in the old value of each field's first change (`look_ahead`), for which the file is read twice and one
    short text per deal and field is kept.
    """

    columns: HistoryColumns
    fields: dict[str, Meaning]
    stages: Annotated[dict[str, Key], Field(description="Stage values of the source to stage keys.")]
    closed: dict[str, Outcome] = {}
    unknown_fields: Literal["error", "ignore"] = "error"
    opening: Literal["first_rows", "look_ahead"] = "first_rows"

    @property
    def deals_stand_alone(self) -> bool:
        """Whether the rows of a deal say nothing about another: deals may share an account, or the id of a row."""
        return self.columns.id is None and "account" not in self.fields.values()

    @model_validator(mode="after")
    def _stage_values_are_one_thing(self) -> Self:
        if both := sorted(self.stages.keys() & self.closed.keys()):
            raise ValueError(f"{', '.join(both)}: a value is either a stage or closed, not both")
        if "stage" not in self.fields.values():
            raise ValueError('fields: one field must mean "stage"')
        return self


class ActivityColumns(_Part):
    """The columns of a list of activities. `id`: see `HistoryColumns`."""

    deal: Column
    started_at: Column
    by: Column | None = None
    kind: Column
    duration: Column | None = None
    note: Column | None = None
    id: Column | None = None

    def names(self) -> tuple[str | None, ...]:
        """The columns in the order of `rows.Row`."""
        return self.deal, self.started_at, self.by, self.kind, self.duration, self.note, self.id


class Activities(_Part):
    """What the rows of a list of activities mean; a kind that is not renamed keeps its name."""

    columns: ActivityColumns
    kinds: dict[str, Key] = {}
    duration_unit: DurationUnit = "seconds"

    @property
    def deals_stand_alone(self) -> bool:
        """As for `History`."""
        return self.columns.id is None


class Mapping(_Part):
    """One source: how its exports are written and what they mean.

    `source` goes into the ids of deals and into the ledger of imported rows: it must never change.
    """

    source: Label
    currency: Currency
    file: FileFormat = FileFormat()
    time: TimeFormat = TimeFormat()
    numbers: NumberFormat = NumberFormat()
    funnel: FunnelDefinition
    history: History | None = None
    activities: Activities | None = None

    @model_validator(mode="after")
    def _stages_are_the_funnels(self) -> Self:
        keys = [stage.key for stage in self.funnel.stages]
        for value, key in (self.history.stages if self.history else {}).items():
            if key not in keys:
                raise ValueError(
                    f"history.stages.{value}: {key!r} is no stage of the funnel; accepted: {', '.join(keys)}"
                )
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        """The zone of times without an offset."""
        return ZoneInfo(self.time.zone)


def load_mapping(path: Path) -> Mapping:
    """The mapping in a TOML file. Raises UnusableInput naming every wrong entry and what would be accepted."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UnusableInput(f"{path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableInput(f"{path} is not TOML: {error}.") from error
    try:
        return Mapping.model_validate(entries)
    except ValidationError as error:
        wrong = "\n".join(f"  {_explained(e)}" for e in error.errors(include_url=False))  # type: ignore[arg-type]
        raise UnusableInput(f"{path} is not a mapping:\n{wrong}") from error


def _explained(error: dict[str, object]) -> str:
    where = ".".join(str(part) for part in error["loc"])  # type: ignore[attr-defined]
    if error["type"] == "missing":
        return f"{where}: is missing"
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such entry"
    message = str(error["msg"]).removeprefix("Value error, ")
    found = error["input"]
    return (
        f"{where}: {message}, not {found!r}"
        if isinstance(found, str | int | float)
        else f"{where}: {message}".lstrip(": ")
    )
