"""Writing a log without the program: events with any clocks, straight into the table."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import msgspec
import psycopg

from domain.event import Actor, Event, Meta, Origin, Recorded
from domain.playbook import STREAM_ID, CurrencySet, FunnelDefined, Names, Stage
from infra.mapper import encode

SPACE = UUID("00000000-0000-5000-8000-000000000001")
REP = Actor("rep-1", "rep", "test")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Fact(msgspec.Struct, frozen=True):
    """An event and its clocks. `claimed` is the source's claim; None when the log witnessed it."""

    stream_id: UUID
    event: Event
    occurred_at: datetime
    recorded_at: datetime
    claimed: datetime | None = None
    partition_key: UUID | None = None
    """Default: the stream itself."""


def recorded(
    facts: Iterable[Fact], position: int = 0, versions: dict[UUID, int] | None = None
) -> list[Recorded]:
    """The facts as the log would hold them after `position`."""
    versions = {} if versions is None else versions
    events = []
    for number, fact in enumerate(facts, position + 1):
        version = versions[fact.stream_id] = versions.get(fact.stream_id, 0) + 1
        origin: Origin = "import" if fact.claimed else "live"
        meta = Meta(
            event_id=uuid5(SPACE, str(number)),
            schema=fact.event.SCHEMA,
            partition_key=fact.partition_key or fact.stream_id,
            occurred_at=fact.occurred_at,
            origin=origin,
            actor=REP,
            request_id="r",
            command_id=str(number),
            correlation_id="c",
            causation_id="c",
            playbook_version=1,
            source_recorded_at=fact.claimed,
        )
        events.append(
            Recorded(number, fact.stream_id, version, fact.event.TOPIC, fact.recorded_at, meta, fact.event)
        )
    return events


def write_log(owner_url: str, events: Iterable[Recorded]) -> None:
    """Put events at the end of the log and move its head."""
    last = None
    with psycopg.connect(owner_url) as conn:
        with (
            conn.cursor() as cursor,
            cursor.copy(
                "COPY dealtrace.events"
                " (originator_id, originator_version, topic, state, notification_id, recorded_at)"
                " FROM STDIN (FORMAT BINARY)"
            ) as copy,
        ):
            copy.set_types(["uuid", "int8", "text", "bytea", "int8", "timestamptz"])
            for e in events:
                copy.write_row(
                    (e.stream_id, e.version, e.topic, encode(e.meta, e.event), e.position, e.recorded_at)
                )
                last = e
        if last is not None:
            conn.execute(
                "UPDATE dealtrace.log_head SET position = %s, recorded_at = %s",
                [last.position, last.recorded_at],
            )


def stage(key: str, macro_stage: str = "needs_confirmed") -> Stage:
    return Stage(key, Names(key.title()), macro_stage, 14, 28)  # type: ignore[arg-type]


def playbook(funnel: str, stages: Iterable[Stage], at: datetime = LONG_AGO) -> list[Fact]:
    """A playbook with one funnel and euros."""
    return [
        Fact(STREAM_ID, CurrencySet("EUR"), at, at),
        Fact(STREAM_ID, FunnelDefined(funnel, Names(funnel.title()), False, tuple(stages)), at, at),
    ]


def just_after(moment: datetime) -> datetime:
    return moment + timedelta(microseconds=1)
