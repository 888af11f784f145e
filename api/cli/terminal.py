"""Where things are printed: answers to stdout, everything else to stderr, so that pipes work."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from api.render import csv_text, human

Format = Literal["table", "json", "csv"]

_WIDE = 160
"""Columns of a table that goes into a file or a pipe, where nobody's window is too narrow."""


class _Console(Console):
    """A console that leaves it to the program what becomes of an answer that nobody reads to its end."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console(stream: Any) -> Console:
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return _Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False)


def note(text: str) -> None:
    """Say something beside the answer."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False, emoji=False)


def write_answer(body: bytes) -> None:
    """The JSON body, byte for byte as over HTTP; only a person at a terminal gets a line end, too."""
    sys.stdout.buffer.write(body + b"\n" if sys.stdout.isatty() else body)
    sys.stdout.buffer.flush()


def show(answer: Any, body: bytes, form: Format) -> None:
    """The answer in the form asked for, and on stderr what it lacks."""
    for one in getattr(answer, "waiting", None) or ():
        note(
            f"warning: {one.projection} lacks {one.events:,} events of {one.keys:,} keys that wait because its fold failed:"
            " dealtrace projections parked"
        )
    if form == "json":
        write_answer(body)
    elif form == "csv":
        sys.stdout.write(csv_text(answer))
    else:
        console = _console(sys.stdout)
        for part in human(answer, console.width):
            console.print(part, soft_wrap=isinstance(part, Text))


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator["Bar"]:
    """A bar on stderr while something long is done; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} % {task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield Bar(bars, bars.add_task(what, total=total, said=""))


class Bar:
    """A bar that is told how far things have come."""

    def __init__(self, bars: Progress, task: Any) -> None:
        self._bars, self._task = bars, task

    def at(self, done: float, total: float, said: str = "") -> None:
        """So much of so much is done."""
        self._bars.update(self._task, completed=done, total=total, said=said)
