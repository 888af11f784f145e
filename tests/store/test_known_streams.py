"""What is remembered of streams: those seen last, and never too many."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.stream import Stream
from infra.streams import KnownStreams

MOST = 8
ids = st.integers(0, 40).map(lambda number: UUID(int=number))
looks = st.lists(st.lists(ids, max_size=4), max_size=60)


@given(looks)
def test_the_streams_seen_last_are_known_as_they_were_then_and_the_others_bounded(
    groups: list[list[UUID]],
) -> None:
    known, seen = KnownStreams(MOST), dict[UUID, Stream]()
    for version, group in enumerate(groups, 1):
        streams = {stream_id: Stream(stream_id, version) for stream_id in group}
        known.keep(streams)
        for stream_id, stream in streams.items():
            seen.pop(stream_id, None)
            seen[stream_id] = stream

    found, missing = known.among(seen)

    assert all(found[stream_id] == seen[stream_id] == known.get(stream_id) for stream_id in found)
    assert set(missing) == seen.keys() - found.keys()
    assert found.keys() >= set(list(seen)[-MOST:])
    assert len(found) <= 2 * (MOST + 4)


@given(looks, ids)
def test_what_is_forgotten_is_not_known_however_long_ago_it_was_seen(
    groups: list[list[UUID]], one: UUID
) -> None:
    known = KnownStreams(MOST)
    for version, group in enumerate(groups, 1):
        known.keep({stream_id: Stream(stream_id, version) for stream_id in group})

    known.forget(one)

    assert known.get(one) is None
    assert known.among([one]) == ({}, [one])
