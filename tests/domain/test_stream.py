"""The order of time on a stream: kind groups, points, the tolerance, and the default."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InTheFuture, OutOfOrder
from domain.event import Event
from domain.stream import TOLERANCE, Stream, occurrence

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
BEFORE = NOW - timedelta(days=10)
STREAM = UUID("0195a000-0000-7000-8000-000000000001")


class Moved(Event, frozen=True):
    TOPIC: ClassVar[str] = "test.moved"


class Judged(Event, frozen=True):
    """State too, but of another kind."""

    TOPIC: ClassVar[str] = "test.judged"
    GROUP: ClassVar[str | None] = "judgement"


class Noted(Event, frozen=True):
    TOPIC: ClassVar[str] = "test.noted"
    GROUP: ClassVar[str | None] = None


def stream(*events: tuple[Event, datetime]) -> Stream:
    """The stream on which these events happened at these times and were known then."""
    folded = Stream(STREAM)
    for event, at in events:
        folded = folded.then(event, lambda state, _: (state or 0) + 1, at, at)
    return folded


def test_an_empty_stream_has_version_0_and_no_state() -> None:
    assert (Stream(STREAM).version, Stream(STREAM).state) == (0, None)


def test_each_event_adds_one_to_the_version_and_evolves_the_state() -> None:
    folded = stream((Moved(), BEFORE), (Noted(), BEFORE), (Judged(), BEFORE))
    assert (folded.version, folded.state) == (3, 3)


def test_a_stream_that_goes_on_leaves_the_one_before_as_it_was() -> None:
    first = stream((Moved(), BEFORE))
    first.then(Moved(), lambda state, _: state, NOW, NOW)
    assert first == stream((Moved(), BEFORE))


def test_without_a_wish_an_event_happened_now() -> None:
    assert occurrence(stream((Moved(), BEFORE)), (Moved(),), None, NOW) == NOW


def test_without_a_wish_an_event_happened_no_earlier_than_the_last_of_its_kind() -> None:
    ahead = NOW + timedelta(seconds=3)
    assert occurrence(stream((Moved(), ahead)), (Moved(),), None, NOW) == ahead


def test_state_may_be_back_dated_up_to_the_last_of_its_kind_group() -> None:
    folded = stream((Moved(), BEFORE))
    assert occurrence(folded, (Moved(),), BEFORE, NOW) == BEFORE
    with pytest.raises(OutOfOrder) as refusal:
        occurrence(folded, (Moved(),), BEFORE - timedelta(microseconds=1), NOW)
    assert refusal.value.field == "occurred_at"
    assert "2026-02-20T09:30:00.000000Z on" in (refusal.value.accepted or "")


def test_kind_groups_do_not_hold_each_other_back() -> None:
    folded = stream((Moved(), NOW))
    assert occurrence(folded, (Judged(),), BEFORE, NOW) == BEFORE


def test_a_decision_of_several_kinds_is_held_back_by_the_latest() -> None:
    folded = stream((Moved(), BEFORE), (Judged(), NOW))
    with pytest.raises(OutOfOrder):
        occurrence(folded, (Moved(), Judged()), BEFORE, NOW)


def test_points_are_back_dated_freely_and_hold_nothing_back() -> None:
    folded = stream((Moved(), NOW), (Noted(), NOW))
    assert occurrence(folded, (Noted(),), datetime(1999, 1, 1, tzinfo=UTC), NOW).year == 1999
    assert stream((Noted(), NOW)).last_occurred_at == {}


def test_five_seconds_ahead_is_a_clock_that_differs_and_more_is_the_future() -> None:
    for event in (Moved(), Noted()):
        assert occurrence(Stream(STREAM), (event,), NOW + TOLERANCE, NOW) == NOW + TOLERANCE
        with pytest.raises(InTheFuture) as refusal:
            occurrence(Stream(STREAM), (event,), NOW + TOLERANCE + timedelta(microseconds=1), NOW)
        assert (refusal.value.field, refusal.value.accepted) == (
            "occurred_at",
            "a time up to 2026-03-02T09:30:00.000000Z",
        )


def test_only_state_moves_what_is_known() -> None:
    assert stream((Moved(), BEFORE), (Noted(), NOW)).last_known_at == BEFORE


moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 2), timezones=st.just(UTC))  # noqa: DTZ001 -- hypothesis adds it


@given(st.lists(st.tuples(st.sampled_from([Moved(), Judged(), Noted()]), st.none() | moments)))
def test_whatever_is_wished_each_kind_group_runs_forward(wishes: list[tuple[Event, datetime | None]]) -> None:
    folded, happened = Stream(STREAM), {}
    for event, wish in wishes:
        try:
            at = occurrence(folded, (event,), wish, NOW)
        except OutOfOrder:
            assert wish is not None
            assert wish < happened[event.GROUP][-1]
            continue
        folded = folded.then(event, lambda state, _: state, at, at)
        happened.setdefault(event.GROUP, []).append(at)
        assert at == (wish or max([NOW, *(happened[event.GROUP][:-1] if event.GROUP else [])]))
    for group, times in happened.items():
        assert group is None or times == sorted(times)
