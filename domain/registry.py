"""Every aggregate, event and command there is, found in the modules that define them."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from domain import account, deal, manager_forecast, organisation, playbook
from domain.command import Command, Context
from domain.event import Event

T = TypeVar("T")


class Aggregate(NamedTuple):
    """One kind of stream, or a slice of its rules: how its state evolves and how its commands are decided."""

    name: str
    evolve: Callable[[Any, Any], Any]
    decide: Callable[[Any, Any, Any], tuple[Event, ...]]


def _own(module: ModuleType, base: type[T]) -> list[type[T]]:
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

_SLICES: dict[str, tuple[ModuleType, ...]] = {
    "deal": deal.SLICES,
    "forecast": (manager_forecast,),
    "account": (account,),
    "organisation": (organisation,),
    "playbook": playbook.SLICES,
}
"""The modules of each aggregate; another aggregate is one entry more."""

for _name, _modules in _SLICES.items():
    for _module in _modules:
        _slice = Aggregate(_name, _module.evolve, _module.decide)
        for _event in _own(_module, Event):
            EVENTS[_event.TOPIC] = _event
            AGGREGATE_OF[_event] = _slice
        for _command in _own(_module, Command):
            if not _command.__subclasses__():
                COMMANDS[_command.command_name()] = _command
                AGGREGATE_OF[_command] = _slice


def evolve(state: Any, event: Event) -> Any:
    """The state of the event's stream after it."""
    return AGGREGATE_OF[type(event)].evolve(state, event)


def decide(command: Command, state: Any, context: Context) -> tuple[Event, ...]:
    """The events that the command brings about; none when it is already so. Raises a Refusal."""
    return AGGREGATE_OF[type(command)].decide(command, state, context)
