"""The events of a range of partition keys, key by key, and which of them each projection handles."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from psycopg import Connection

from domain.event import Recorded
from infra.log_reader import read_range, read_streams
from projections.engine.description import Projection
from projections.engine.folding import by_key
from projections.engine.partitions import companions_of

Groups = dict[UUID, list[Recorded]]
"""Events by partition key, each key's in the order of the log."""


def read_keys(conn: Connection[Any], first: UUID, last: UUID, upto: int) -> Groups:
    """The events of the partition keys from `first` to `last`: of their own streams, and of their companions."""
    groups: Groups = {}
    for stream, events in groupby(read_range(conn, first, last, upto), attrgetter("stream_id")):
        if own := [e for e in events if e.meta.partition_key.int == stream.int]:
            groups[stream] = own
    if companions := companions_of(list(groups)):
        theirs = (e for e in read_streams(conn, companions, upto) if e.stream_id != e.meta.partition_key)
        for key, more in by_key(theirs).items():
            groups[key] = sorted([*groups[key], *more], key=attrgetter("position"))
    return groups


def hand_out(groups: Groups, projections: Sequence[Projection]) -> list[Groups]:
    """For each of the projections, in their order, the keys that have events which it handles, and those events."""
    shares: list[Groups] = [{} for _ in projections]
    handling = _handling(projections)
    for key, events in groups.items():
        handled: list[list[Recorded]] = [[] for _ in projections]
        for event in events:
            for number in handling.get(event.topic, ()):
                handled[number].append(event)
        for share, own in zip(shares, handled, strict=True):
            if own:
                share[key] = own
    return shares


def _handling(projections: Iterable[Projection]) -> dict[str, list[int]]:
    """By topic, the places of the projections that handle it."""
    handling: dict[str, list[int]] = {}
    for number, projection in enumerate(projections):
        for topic in projection.topics:
            handling.setdefault(topic, []).append(number)
    return handling
