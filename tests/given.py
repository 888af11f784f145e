"""Given these events, when this command comes, then these events follow or this refusal is raised."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest

from domain import registry
from domain.command import Command, Context
from domain.errors import Refusal
from domain.event import Actor, Event, Origin, Role, TextRef
from domain.playbook import CurrencySet, Playbook
from domain.playbook import evolve as evolve_playbook
from domain.registry import AGGREGATE_OF
from domain.stream import Stream
from domain.templates import CUSTOMER, TAS_PLUS

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DEAL = UUID("0195a000-0000-7000-8000-000000000001")
OTHER = UUID("0195a000-0000-7000-8000-000000000002")
MINTED = UUID("0195a000-0000-7000-8000-0000000000ff")
ALICE = Actor("alice", "manager", "test")


def sealed(field: str) -> TextRef:
    """The reference under which the decision sees the personal text of this field."""
    return TextRef(uuid5(DEAL, field), "0" * 64)


def playbook_with(*events: Event) -> Playbook:
    """The playbook after these events."""
    book: Playbook | None = None
    for event in events:
        book = evolve_playbook(book, event)
    return book or Playbook()


def defined(*templates: Any) -> list[Event]:
    """The events that bring these funnel templates into use."""
    return [event for t in templates for event in registry.decide(t, None, context(Playbook()))]


def context(
    book: Playbook,
    *,
    command: Command | None = None,
    origin: Origin = "live",
    others: dict[UUID, Stream] | None = None,
    actor: Actor = ALICE,
    now: datetime = NOW,
) -> Context:
    """What a decision gets beside its command and state, with nothing left to chance."""
    personal = command.personal_fields() if command else ()
    refs = {field: sealed(field) for field in personal if getattr(command, field) is not None}
    return Context(now, actor, origin, book, lambda: MINTED, refs, others or {})


RULES = playbook_with(*defined(TAS_PLUS, CUSTOMER), CurrencySet("EUR"))
"""TAS+ and the customer funnel, in euros."""


def fold(events: Sequence[Event]) -> Any:
    """The state after the events of one stream."""
    state: Any = None
    for event in events:
        state = registry.evolve(state, event)
    return state


class given:  # noqa: N801 -- read as a word of a sentence
    """The history of the stream that a command will be decided on."""

    def __init__(self, *history: Event, rules: Playbook = RULES) -> None:
        self._history = history
        self._rules = rules
        self._origin: Origin = "live"
        self._others: dict[UUID, Stream] = {}
        self._actor = ALICE
        self._at: datetime = NOW
        self._decide: Callable[[], tuple[Event, ...]] = tuple

    def imported(self) -> "given":
        """What comes now comes from an import, which records facts."""
        self._origin = "import"
        return self

    def by(self, actor: str, role: Role, *, on_behalf_of: str | None = None) -> "given":
        """Who gives the command; without it alice, a manager."""
        self._actor = Actor(actor, role, "test", on_behalf_of)
        return self

    def at(self, now: datetime) -> "given":
        """When the command comes; without it at NOW."""
        self._at = now
        return self

    def beside(self, stream_id: UUID, *history: Event) -> "given":
        """Another stream that the command stands on."""
        self._others[stream_id] = Stream(stream_id, len(history), fold(history))
        return self

    def when(self, command: Command) -> "given":
        """The command that is decided."""
        state = fold(self._history)
        others = {i: self._others.get(i) or Stream(i) for i in command.stands_on()}
        around = context(
            self._rules,
            command=command,
            origin=self._origin,
            others=others,
            actor=self._actor,
            now=self._at,
        )
        assert type(command) in AGGREGATE_OF, f"nobody decides {type(command).__name__}"
        self._decide = lambda: registry.decide(command, state, around)
        return self

    def then(self, *expected: Event) -> Any:
        """These events follow, and the state after them is returned. No event: it was so already."""
        decided = self._decide()
        assert decided == expected
        return fold((*self._history, *decided))

    def refused(
        self, refusal: type[Refusal], *, field: str | None, accepted: str | None = None, saying: str = ""
    ) -> None:
        """It is refused, naming the field and what would be accepted, of which `accepted` is a part."""
        with pytest.raises(Refusal) as caught:
            self._decide()
        assert type(caught.value) is refusal
        assert saying in caught.value.detail
        assert caught.value.field == field
        assert caught.value.accepted
        assert accepted is None or accepted in caught.value.accepted
