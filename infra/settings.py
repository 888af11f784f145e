"""The one table of settings: read from the environment only, secrets also from files.

A field of `Settings` is a row of the table: its variable, meaning and accepted values are said once, here, and
`docs/configuration.md` is generated from them (`make docs`).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class SettingError(ValueError):
    """A setting has a value we can not use; the message is one sentence naming the variable."""


@dataclass(frozen=True)
class Row:
    """What the table says about one setting."""

    variable: str
    meaning: str
    accepts: str
    parse: Callable[[str], Any]
    secret: bool = False


def setting(
    variable: str,
    meaning: str,
    accepts: str,
    *,
    parse: Callable[[str], Any],
    default: str | None,
    secret: bool = False,
) -> Any:
    """Declare a setting. A secret is kept out of every repr and may come from the file that VARIABLE_FILE names."""
    parsed = None if default is None else parse(default)
    row = Row(variable, meaning, accepts, parse, secret)
    return field(default=parsed, repr=not secret, metadata={"row": row, "default": default})


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


def _postgres_url(text: str) -> str:
    if urlsplit(text).scheme not in ("postgresql", "postgres"):
        raise ValueError
    return text


def _http_url(text: str) -> str:
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc:
        raise ValueError
    return text


def _folder(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text).expanduser()


def _host(text: str) -> str:
    if not text or any(c.isspace() or c == "/" for c in text):
        raise ValueError
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 <= int(text) <= 65535):
        raise ValueError
    return int(text)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set from outside. Construct it with `Settings.from_environment()`."""

    database_url: str | None = setting(
        "DATABASE_URL",
        "PostgreSQL server (15 or newer) and database to use, with the login of the application. "
        "Without it an embedded PostgreSQL runs in the data folder.",
        "`postgresql://user:password@host:port/database`",
        parse=_postgres_url,
        default=None,
        secret=True,
    )
    database_owner_url: str | None = setting(
        "DATABASE_OWNER_URL",
        "The same database with the login that owns the tables and runs the migrations. "
        "Without it DATABASE_URL is used for both.",
        "`postgresql://user:password@host:port/database`",
        parse=_postgres_url,
        default=None,
        secret=True,
    )
    home: Path = setting(
        "DEALTRACE_HOME",
        "Data folder of the embedded server and of everything the program writes. "
        "Relative to the current folder. Programs with different homes never meet.",
        "the path of a folder, made when absent",
        parse=_folder,
        default=".dealtrace",
    )
    host: str = setting(
        "DEALTRACE_HOST",
        "Address the API listens on.",
        "a host name or an IP address",
        parse=_host,
        default="127.0.0.1",
    )
    port: int = setting(
        "DEALTRACE_PORT",
        "Port the API listens on; 0 takes any free one.",
        "a whole number from 0 to 65535",
        parse=_port,
        default="8400",
    )
    log_format: LogFormat = setting(
        "DEALTRACE_LOG_FORMAT",
        "How log lines are written: for people or for machines.",
        "`text` or `json`",
        parse=_one_of("text", "json"),
        default="text",
    )
    log_level: LogLevel = setting(
        "DEALTRACE_LOG_LEVEL",
        "The least serious log lines that are written.",
        "`debug`, `info`, `warning` or `error`",
        parse=_one_of("debug", "info", "warning", "error"),
        default="info",
    )
    projector_metrics_port: int | None = setting(
        "DEALTRACE_PROJECTOR_METRICS_PORT",
        "Port of the loopback on which the projector serves its own metrics; without it, it serves none. "
        "Lag and everything else about the projections is in the API's metrics anyway.",
        "a whole number from 0 to 65535",
        parse=_port,
        default=None,
    )
    traces_url: str | None = setting(
        "DEALTRACE_TRACES_URL",
        "OpenTelemetry collector (OTLP over HTTP) that gets traces from request to projected row; "
        "without it nothing is traced. Needs the extra `tracing`.",
        "`http://127.0.0.1:4318/v1/traces` or the like",
        parse=_http_url,
        default=None,
    )

    def __post_init__(self) -> None:
        if self.database_owner_url and not self.database_url:
            raise SettingError("DATABASE_OWNER_URL is set without DATABASE_URL: set both, or neither.")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings.

        An empty variable counts as not set.
        Raises SettingError for the first value that can not be used.
        """
        given = {}
        for column in fields(cls):
            row: Row = column.metadata["row"]
            text = _text_of(row, environ)
            if text is None:
                continue
            try:
                given[column.name] = row.parse(text)
            except ValueError:
                shown = "" if row.secret else f", not {text!r}"
                raise SettingError(f"{row.variable} must be {row.accepts}{shown}.") from None
        return cls(**given)


def _text_of(row: Row, environ: Mapping[str, str]) -> str | None:
    text = environ.get(row.variable) or None
    file = environ.get(f"{row.variable}_FILE") if row.secret else None
    if not file:
        return text
    if text is not None:
        raise SettingError(f"{row.variable} and {row.variable}_FILE are both set: set one of them.")
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingError(f"{row.variable}_FILE names {file!r}, which can not be read: {reason}.") from None


def configuration_reference() -> str:
    """The settings as a Markdown page: the text of docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "<!-- Generated from infra/settings.py by `make docs`. -->",
        "",
        "Settings come from the environment only. A secret may instead be kept in a file:",
        "`DATABASE_URL_FILE=/run/secrets/database_url`.",
        "",
        "| variable | default | accepts | meaning |",
        "|---|---|---|---|",
    ]
    for column in fields(Settings):
        row: Row = column.metadata["row"]
        default = "" if column.metadata["default"] is None else f"`{column.metadata['default']}`"
        variable = f"`{row.variable}`" + (f" or `{row.variable}_FILE`" if row.secret else "")
        lines.append(f"| {variable} | {default} | {row.accepts} | {row.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(configuration_reference(), end="")
