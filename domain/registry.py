"""Every aggregate, event and command there is, found in the modules of the aggregates."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from domain import deal, playbook
from domain.command import Command
from domain.event import Event


class Aggregate(NamedTuple):
    """One kind of stream: how its state evolves and how its commands are decided."""

    name: str
    evolve: Callable[[Any, Any], Any]
    decide: Callable[[Any, Any, Any], tuple[Event, ...]]


def _own(module: ModuleType, base: type) -> list[type]:
    """The concrete subclasses of `base` that the module defines, in the order of its text."""
    return [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, base) and c.__module__ == module.__name__
    ]


EVENTS: dict[str, type[Event]] = {}
"""Event classes by topic."""
COMMANDS: dict[str, type[Command]] = {}
"""Command classes by name."""
AGGREGATE_OF: dict[type, Aggregate] = {}
"""The aggregate of each event and command class."""

for _module in (deal, playbook):
    _aggregate = Aggregate(_module.__name__.rpartition(".")[2], _module.evolve, _module.decide)
    for _event in _own(_module, Event):
        EVENTS[_event.TOPIC] = _event
        AGGREGATE_OF[_event] = _aggregate
    for _command in _own(_module, Command):
        if not _command.__subclasses__():
            COMMANDS[_command.command_name()] = _command
            AGGREGATE_OF[_command] = _aggregate
