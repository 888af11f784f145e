"""The events of a range of partition keys, key by key, and which of them each projection handles."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from psycopg import Connection

from domain.event import Recorded
from domain.registry import EVENTS
from infra.log_reader import decode_stream, read_streams, stored_streams
from projections.engine.description import Projection
from projections.engine.folding import by_key
from projections.engine.partitions import companions_of

Groups = dict[UUID, list[Recorded]]
"""Events by partition key, each key's in the order of the log."""


def read_keys(conn: Connection[Any], first: UUID, last: UUID, upto: int) -> Groups:
    """The events of the partition keys from `first` to `last`: of their own streams, and of their companions."""
    return dict(each_key(conn, first, last, upto))


def each_key(
    conn: Connection[Any], first: UUID, last: UUID, upto: int, unwanted: Collection[str] = ()
) -> Iterator[tuple[UUID, list[Recorded]]]:
    """The same, key by key in order, read little by little; events of unwanted topics are left out unread."""
    for streams in stored_streams(conn, first, last, upto):
        companions = companions_of([key for key, _ in streams])
        theirs = read_streams(conn, companions, upto, unwanted) if companions else ()
        beside = by_key(e for e in theirs if e.stream_id != e.meta.partition_key)
        for key, stored in streams:
            own = decode_stream(key, stored, unwanted)
            events = [e for e in own if e.meta.partition_key.int == key.int]
            if more := beside.get(key):
                events = sorted([*events, *more], key=attrgetter("position"))
            if events:
                yield key, events


def hand_out(groups: Groups, projections: Sequence[Projection]) -> list[Groups]:
    """For each of the projections, in their order, the keys that have events which it handles, and those events."""
    shares: list[Groups] = [{} for _ in projections]
    handled_of = handing_out(projections)
    for key, events in groups.items():
        for share, own in zip(shares, handled_of(events), strict=True):
            if own:
                share[key] = own
    return shares


def handing_out(projections: Sequence[Projection]) -> Callable[[Iterable[Recorded]], list[list[Recorded]]]:
    """From the events of a key to those that each of the projections handles, in the projections' order."""
    handling = _handling(projections)

    def handled_of(events: Iterable[Recorded]) -> list[list[Recorded]]:
        handled: list[list[Recorded]] = [[] for _ in projections]
        for event in events:
            for number in handling.get(event.topic, ()):
                handled[number].append(event)
        return handled

    return handled_of


def _handling(projections: Iterable[Projection]) -> dict[str, list[int]]:
    """By topic, the places of the projections that handle it."""
    handling: dict[str, list[int]] = {}
    for number, projection in enumerate(projections):
        for topic in projection.topics:
            handling.setdefault(topic, []).append(number)
    return handling


def unhandled(projections: Iterable[Projection]) -> frozenset[str]:
    """The topics that none of the projections handles. One that this release does not know is not among them."""
    return frozenset(EVENTS).difference(*(p.topics for p in projections))
