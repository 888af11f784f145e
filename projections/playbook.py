"""The playbook as it was at any moment: definitions of funnels, reporting currency, calendar."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from psycopg import Connection, sql

from domain.errors import UnknownFunnel, UnknownStage
from domain.event import Recorded
from domain.playbook import (
    CalendarSet,
    CurrencySet,
    Funnel,
    FunnelDefined,
    FunnelRetired,
    FunnelRevised,
    MacroStage,
    Names,
    Stage,
)
from projections.engine.description import Out, Projection, Table, topics_of


class FunnelDefinition(msgspec.Struct, frozen=True):
    """A funnel's definition, in force from one event until the next about the same funnel."""

    funnel: str
    seq: int
    """The version of the playbook's stream that brought it."""
    label: Names
    dated: bool
    stages: tuple[Stage, ...]
    active: bool
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class PlaybookSettings(msgspec.Struct, frozen=True):
    """Currency and calendar, in force from one event until the next about them."""

    seq: int
    currency: str | None
    time_zone: str
    fiscal_year_start: int
    occurred_at: datetime
    known_at: datetime
    next_occurred_at: datetime | None = None
    next_known_at: datetime | None = None


class OpenDefinition(msgspec.Struct, frozen=True):
    """A funnel's definition in force, as the fold needs it to close its row and to retire it."""

    seq: int
    label: Names
    dated: bool
    stages: tuple[Stage, ...]


class PlaybookHead(msgspec.Struct, frozen=True):
    """What is in force. Bounded by the number of funnels ever defined."""

    playbook_id: UUID
    funnels: dict[str, OpenDefinition] = {}
    settings_seq: int | None = None
    currency: str | None = None
    time_zone: str = "UTC"
    fiscal_year_start: int = 1


NEXT = ("next_occurred_at", "next_known_at")


def fold(head: PlaybookHead | None, e: Recorded, out: Out) -> PlaybookHead:
    """Close the row in force and insert the one that follows it."""
    head = head or PlaybookHead(e.meta.partition_key)
    event = e.event
    match event:
        case FunnelDefined() | FunnelRevised():
            after = OpenDefinition(e.version, event.label, event.dated, event.stages)
            return _define(head, e, out, event.funnel, after, active=True)
        case FunnelRetired():
            after = msgspec.structs.replace(head.funnels[event.funnel], seq=e.version)
            return _define(head, e, out, event.funnel, after, active=False)
        case CurrencySet():
            return _set(head, e, out, currency=event.currency)
        case CalendarSet():
            return _set(head, e, out, time_zone=event.time_zone, fiscal_year_start=event.fiscal_year_start)
    return head


def _define(
    head: PlaybookHead, e: Recorded, out: Out, funnel: str, after: OpenDefinition, *, active: bool
) -> PlaybookHead:
    clocks = (e.meta.occurred_at, e.known_at)
    if before := head.funnels.get(funnel):
        out.close(FunnelDefinition, (funnel, before.seq), clocks)
    out.insert(FunnelDefinition(funnel, after.seq, after.label, after.dated, after.stages, active, *clocks))
    return msgspec.structs.replace(head, funnels={**head.funnels, funnel: after})


def _set(head: PlaybookHead, e: Recorded, out: Out, **changes: Any) -> PlaybookHead:
    clocks = (e.meta.occurred_at, e.known_at)
    if head.settings_seq is not None:
        out.close(PlaybookSettings, (head.settings_seq,), clocks)
    after = msgspec.structs.replace(head, settings_seq=e.version, **changes)
    out.insert(PlaybookSettings(e.version, after.currency, after.time_zone, after.fiscal_year_start, *clocks))
    return after


PROJECTION = Projection(
    name="playbook",
    version=1,
    topics=topics_of("playbook"),
    fold=fold,
    head=Table("playbook_heads", PlaybookHead, key=("playbook_id",)),
    histories=(
        Table("funnel_definitions", FunnelDefinition, key=("funnel", "seq"), closing=NEXT),
        Table("playbook_settings", PlaybookSettings, key=("seq",), closing=NEXT),
    ),
)

# --- Queries ------------------------------------------------------------------------------------------

IN_FORCE = sql.SQL(
    "(%(as_of)s::timestamptz IS NULL OR occurred_at <= %(as_of)s)"
    " AND (%(known_at)s::timestamptz IS NULL OR known_at <= %(known_at)s)"
    " AND NOT (next_occurred_at IS NOT NULL"
    " AND (%(as_of)s::timestamptz IS NULL OR next_occurred_at <= %(as_of)s)"
    " AND (%(known_at)s::timestamptz IS NULL OR next_known_at <= %(known_at)s))"
)
"""Whether a row was in force as of a time, as known at a time."""


MACRO_STAGES: tuple[MacroStage, ...] = get_args(MacroStage)
"""In their order."""


class Stages(msgspec.Struct, frozen=True):
    """The stages of a funnel at (T, K), in its order, and `later` ones that only a later definition has."""

    defined: tuple[Stage, ...]
    later: tuple[Stage, ...]

    @property
    def all(self) -> tuple[Stage, ...]:
        """The defined ones, then the later ones."""
        return self.defined + self.later

    def showing(self, found: Collection[str]) -> list[Stage]:
        """The defined stages, and a later one if something was found in it all the same."""
        return [*self.defined, *(s for s in self.later if s.key in found)]


def stages_at(
    conn: Connection[Any], funnel: str, as_of: datetime | None = None, known_at: datetime | None = None
) -> Stages:
    """The stages of a funnel. Raises UnknownFunnel."""
    then = funnel_at(conn, funnel, as_of, known_at)
    today = funnel_at(conn, funnel)
    if then is None or today is None:
        known = ", ".join(f.key for f in funnels_at(conn)) or "none yet"
        raise UnknownFunnel(f"There is no funnel {funnel!r}.", field="funnel", accepted=known)
    return Stages(then.stages, tuple(s for s in today.stages if then.order(s.key) is None))


def require_known(conn: Connection[Any], funnel: str | None, stage: str | None = None) -> None:
    """That there is such a funnel, and such a stage in it, or in any where no funnel is named; what was a stage once
    stays one. A list that is asked about what does not exist would be empty, and nobody would see why.

    Raises UnknownFunnel or UnknownStage.
    """
    if funnel is not None:
        known = [s.key for s in stages_at(conn, funnel).all]
        said = f"The funnel {funnel!r} has no stage {stage!r}."
    else:
        known = list(dict.fromkeys(s.key for f in funnels_at(conn) for s in f.stages))
        said = f"No funnel has a stage {stage!r}."
    if stage is not None and stage not in known:
        raise UnknownStage(said, field="stage", accepted=", ".join(known) or "none yet")


def funnel_at(
    conn: Connection[Any], funnel: str, as_of: datetime | None = None, known_at: datetime | None = None
) -> Funnel | None:
    """The funnel as defined at (T, K); the earliest definition when none was in force yet; None if there is none.

    Imported history may be older than the definition of its funnel.
    """
    return next((f for f in _definitions(conn, as_of, known_at) if f.key == funnel), None)


def funnels_at(
    conn: Connection[Any], as_of: datetime | None = None, known_at: datetime | None = None
) -> list[Funnel]:
    """All funnels as defined at (T, K), in the order in which they were first defined."""
    return _definitions(conn, as_of, known_at)


def settings_at(
    conn: Connection[Any], as_of: datetime | None = None, known_at: datetime | None = None
) -> PlaybookSettings | None:
    """Currency and calendar at (T, K); the earliest ones when none were in force yet; None if never set."""
    query = sql.SQL("SELECT * FROM {} ORDER BY ({}) DESC, seq LIMIT 1").format(
        PROJECTION.view("playbook_settings"), IN_FORCE
    )
    row = conn.execute(query, {"as_of": as_of, "known_at": known_at}).fetchone()
    return PlaybookSettings(*row) if row else None


def _definitions(conn: Connection[Any], as_of: datetime | None, known_at: datetime | None) -> list[Funnel]:
    query = sql.SQL(
        "SELECT funnel, label::text, dated, stages::text, active FROM ("
        " SELECT DISTINCT ON (funnel) *, min(seq) OVER (PARTITION BY funnel) AS first FROM {}"
        " ORDER BY funnel, ({}) DESC, seq) f ORDER BY first"
    ).format(PROJECTION.view("funnel_definitions"), IN_FORCE)
    return [
        Funnel(key, _decode_names(label), dated, _decode_stages(stages), active)
        for key, label, dated, stages, active in conn.execute(
            query, {"as_of": as_of, "known_at": known_at}
        ).fetchall()
    ]


_decode_names = msgspec.json.Decoder(Names).decode
_decode_stages = msgspec.json.Decoder(tuple[Stage, ...]).decode
