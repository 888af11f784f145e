"""Answers out of projections say when they lack events that wait because a fold failed."""

from typing import Any

from msgspec import UNSET, UnsetType

from api.asked import Connection
from api.extended import extend, extended
from api.params import Fresh, Params
from api.roles import OPERATORS
from domain.event import Actor
from projections.engine.waiting import Waiting, waiting_events

_KEYS = ("deal_id", "account_id")
_WARNED = (("waiting", list[Waiting] | UnsetType, UNSET),)
"""`waiting` is absent where nothing waits."""


def with_waiting(conn: Connection, answer: Any, params: Params, viewer: Actor | None) -> Any:
    """The answer, with what it lacks, if anything: of the deal or account that it is about, else of all.

    Forecasts that wait are told of in sums only, to those who may see how the machinery stands; never of one deal. No
    viewer: somebody who has the database itself.
    """
    if not isinstance(params, Fresh):
        return answer
    keys = [key for name in _KEYS if (key := getattr(params, name, None)) is not None] or None
    operator = viewer is None or viewer.role in OPERATORS
    waiting = waiting_events(conn, keys, with_forecasts=operator and keys is None)
    if not waiting:
        return answer
    return extend(answer, _WARNED, waiting=waiting)


def may_wait(answer: Any, params: type[Params]) -> Any:
    """What is answered to such parameters, where the query itself gives `answer`."""
    return extended(answer, _WARNED) if issubclass(params, Fresh) else answer
