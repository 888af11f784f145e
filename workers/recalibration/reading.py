"""Deal histories out of the funnel's projection, in columns, as a log that ended at the cut-off would give them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from psycopg import Connection, sql

from domain.calendar import time_zone
from domain.event import Knowledge
from domain.money import MINOR_UNITS
from domain.playbook import Grade, GradeGroup, Stage, grade_group
from domain.recalibration.columns import DAY, Ints, ints
from domain.recalibration.histories import ABANDONED, GONE, LOST, NO_MONTH, WON, Histories
from domain.recalibration.labels import Target
from domain.recalibration.landmarks import microseconds
from projections import forecasts, organisation, playbook, rate_sets, timeline
from projections.claims import claimed_events
from projections.clocks import position_of
from projections.engine.knowledge import knowledge_of
from projections.funnel import PROJECTION
from projections.organisation import organisation_at
from projections.playbook import funnel_at, settings_at, stages_at

READ = (
    PROJECTION,
    playbook.PROJECTION,
    organisation.PROJECTION,
    rate_sets.PROJECTION,
    forecasts.PROJECTION,
    timeline.PROJECTION,
)
"""The projections that a recalibration reads; of the timeline, how much of what was known was claimed."""
_WINDOW = 20_000
_GROUPS = {None: 0} | {group: place for place, group in enumerate(get_args(GradeGroup), 1)}
_GRADES = {None: 0} | {grade: _GROUPS[grade_group(grade)] for grade in get_args(Grade)}
_OUTCOMES = {"won": WON, "lost": LOST, "abandoned": ABANDONED}

# A voided or merged deal is one whose last row was ended and is followed by none: it is gone from then on.
_VERSIONS = sql.SQL("""
SELECT deal_id, {occurred_at}, {known_at}, status, stage, amount_thousandths,
       (extract(year FROM expected_close) * 12 + extract(month FROM expected_close) - 1)::bigint,
       grade, owner,
       CASE WHEN gone THEN {next_occurred_at} END, CASE WHEN gone THEN {next_known_at} END
FROM (SELECT *, next_occurred_at IS NOT NULL AND lead(seq) OVER (PARTITION BY deal_id ORDER BY seq) IS NULL AS gone
      FROM {rows} WHERE funnel = %(funnel)s) d
WHERE occurred_at <= %(until)s AND known_at <= %(until)s
ORDER BY deal_id, seq""")
_MICROSECONDS = sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint")


@dataclass(frozen=True)
class Known:
    """What is known of a funnel at a cut-off.

    deals       ids of the deals, by their index in `histories`
    until       the cut-off, included
    position    position of the log that all of this reflects
    decimals    decimal places of the currency's minor unit
    knowledge   by whose word it was known
    claimed     events behind it that were known at the cut-off only by the claim of their source
    """

    histories: Histories
    deals: tuple[UUID, ...]
    funnel: str
    until: datetime
    position: int
    target: Target
    tz: ZoneInfo
    fiscal_year_start: int
    decimals: int
    knowledge: Knowledge
    claimed: int

    @property
    def cutoff(self) -> int:
        """The cut-off in UTC microseconds."""
        return microseconds(self.until)


def histories_of(
    conn: Connection[Any], funnel: str, until: datetime, stages: Sequence[str] | None = None
) -> Known:
    """The histories of a funnel as known at `until`, by the knowledge of the connection, from projections that are up
    to date.

    Rules, calendar and teams are those in force then, or the first ones where history is older than they are.
    Deals are in the order of their ids, so that the order of import does not matter.
    `stages` fixes the order of stages; others that are found come after them. Raises UnknownFunnel.
    """
    defined = stages_at(conn, funnel, until, until)
    definition, settings = funnel_at(conn, funnel, until, until), settings_at(conn, until, until)
    assert definition is not None, "stages_at refuses an unknown funnel"
    order = [s.key for s in defined.defined] if stages is None else list(stages)
    by_key = {s.key: s for s in defined.all}
    order += [key for key in by_key if key not in order]
    fixed = len(defined.defined) if stages is None else len(stages)
    decimals = MINOR_UNITS[settings.currency] if settings and settings.currency else 2

    rows = _rows(conn, funnel, until, order, organisation_at(conn, until, until).team_of)
    columns = rows.columns
    state, kept = _without_unseen(columns[2], fixed, len(order))
    position = conn.execute(sql.SQL("SELECT coalesce({}, 0)").format(position_of(*READ))).fetchone()
    histories = Histories(
        stages=tuple(order[place] for place in kept),
        stall_after=ints([_stall_after(by_key.get(order[place])) for place in kept]),
        deal_id=np.arange(len(rows.deals), dtype=np.int64),
        deal=rows.deal,
        occurred_at=columns[0],
        known_at=columns[1],
        state=state,
        amount=columns[3] // 10 ** (3 - decimals),
        close_month=columns[4],
        grade=columns[5],
        team=columns[6],
    )
    return Known(
        histories=histories,
        deals=rows.deals,
        funnel=funnel,
        until=until,
        position=position[0] if position else 0,
        target=Target.IN_PERIOD if definition.dated else Target.EVENTUALLY,
        tz=time_zone(settings.time_zone if settings else "UTC"),
        fiscal_year_start=settings.fiscal_year_start if settings else 1,
        decimals=decimals,
        knowledge=knowledge_of(conn),
        claimed=claimed_events(conn, until, until, funnel=funnel),
    )


def start_of_day(conn: Connection[Any], day: date) -> datetime:
    """The first instant of a day in the playbook's time zone of today."""
    settings = settings_at(conn)
    tz = time_zone(settings.time_zone if settings else "UTC")
    return datetime.combine(day, time.min, tz).astimezone(UTC)


@dataclass
class _Rows:
    """Versions in stream order; `columns`: occurred, known, state, thousandths, close month, grade, team."""

    deals: tuple[UUID, ...]
    deal: Ints
    columns: list[Ints]


def _rows(
    conn: Connection[Any], funnel: str, until: datetime, order: list[str], team_of: dict[str, str]
) -> _Rows:
    teams = {team: place for place, team in enumerate(sorted(set(team_of.values())), 1)}
    team = {owner: teams[of] for owner, of in team_of.items()}
    place = {stage: index for index, stage in enumerate(order)}
    cutoff = microseconds(until)
    query = _VERSIONS.format(
        rows=PROJECTION.view("deal_states"),
        **{
            name: _MICROSECONDS.format(sql.Identifier(name))
            for name in ("occurred_at", "known_at", "next_occurred_at", "next_known_at")
        },
    )
    number: dict[UUID, int] = {}
    chunks: list[Ints] = []
    with conn.cursor(name="histories", binary=True) as cursor:
        cursor.execute(query, {"funnel": funnel, "until": until})
        while window := cursor.fetchmany(_WINDOW):
            versions: list[tuple[int, ...]] = []
            for deal, occurred, known, status, stage, amount, month, grade, owner, *gone in window:
                state = place[stage] if status == "open" else _OUTCOMES[status]
                rest = (amount, NO_MONTH if month is None else month, _GRADES[grade], team.get(owner, 0))
                index = number.setdefault(deal, len(number))
                versions.append((index, occurred, known, state, *rest))
                if gone[0] is not None and max(gone) <= cutoff:
                    versions.append((index, *gone, GONE, *rest))
            chunks.append(ints(versions))
    whole = np.concatenate(chunks) if chunks else np.zeros((0, 8), dtype=np.int64)
    deal_column, *columns = (np.ascontiguousarray(column) for column in whole.T)
    return _Rows(tuple(number), deal_column, columns)


def _without_unseen(state: Ints, fixed: int, stages: int) -> tuple[Ints, list[int]]:
    """The states, renumbered, and the places of the stages that stay: of those after `fixed` the ones found."""
    found = set(np.unique(state).tolist())
    kept = [place for place in range(stages) if place < fixed or place in found]
    number = np.zeros(stages, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    return np.where(state >= 0, number[np.maximum(state, 0)], state), kept


def _stall_after(stage: Stage | None) -> int:
    """Microseconds; a stage without a definition at that time has no age at which its visits stall."""
    return stage.stall_after_days * DAY if stage is not None else 2**62
