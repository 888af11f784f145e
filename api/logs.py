"""Log lines on stderr, for people or for machines, as the settings say."""

import json
import logging
import time
from typing import Any

from infra.settings import Settings

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever facts the line came with."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        facts: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        return json.dumps(facts, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """A short line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line = f"{_utc(record.created)} {record.levelname.lower():7} {record.getMessage()}"
        facts = vars(record)
        if "milliseconds" in facts:
            line += f" in {facts['milliseconds']} ms"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def start_logging(settings: Settings) -> None:
    """Send log lines of the wanted level on to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"
