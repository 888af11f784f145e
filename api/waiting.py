"""Answers out of projections say when they lack events that wait because a fold failed."""

from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from api.asked import Connection
from api.params import Fresh, Params
from api.roles import OPERATORS
from domain.event import Actor
from projections.engine.waiting import Waiting, waiting_events

_KEYS = ("deal_id", "account_id")


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
    own = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return warned(answer.__class__)(**own, waiting=waiting)


def may_wait(answer: Any, params: type[Params]) -> Any:
    """What is answered to such parameters, where the query itself gives `answer`."""
    return warned(answer) if issubclass(params, Fresh) else answer


@cache
def warned(answer: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The answer with `waiting`, which is absent where nothing waits."""
    return msgspec.defstruct(
        answer.__name__,
        [("waiting", list[Waiting] | UnsetType, UNSET)],
        bases=(answer,),
        namespace={"__doc__": answer.__doc__},
        frozen=True,
        kw_only=True,
    )
