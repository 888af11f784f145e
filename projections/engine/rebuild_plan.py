"""What a rebuild is to do and what is done of it, kept in the database so that a killed one can go on."""

from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from infra.event_store import read_head
from infra.ids import new_id
from infra.log_reader import BrokenLog, plan_ranges
from projections.engine.checkpoints import checkpoints, start
from projections.engine.description import Projection
from projections.engine.tables import create_tables, drop_tables

Counts = dict[str, list[list[int]]]
"""By projection, for each slice: how many events were applied, ignored and parked."""


class Target(msgspec.Struct, frozen=True):
    """One projection of a rebuild: which version, into which generation."""

    version: int
    generation: int


class Plan(msgspec.Struct, frozen=True):
    """A rebuild up to a position, in so many ranges. `slices` says how finely the counts are split."""

    id: UUID
    position: int
    targets: dict[str, Target]
    ranges: int
    slices: dict[str, int]

    @property
    def generations(self) -> dict[str, int]:
        """The new generation of each projection."""
        return {name: target.generation for name, target in self.targets.items()}

    def complete(self, conn: Connection[Any], wanted: list[Projection]) -> None:
        """Set the checkpoints, once every range is done.

        Raises BrokenLog when the ranges do not add up to the position.
        """
        rows = conn.execute(
            "SELECT counts::text FROM projection.rebuild_ranges WHERE rebuild = %s", [self.id]
        ).fetchall()
        counts = [msgspec.json.decode(text, type=Counts) for (text,) in rows]
        with conn.transaction():
            for projection in wanted:
                name, slices = projection.name, self.slices[projection.name]
                sums = [[sum(c[name][s][i] for c in counts) for i in range(3)] for s in range(slices)]
                if (total := sum(map(sum, sums))) != self.position:
                    raise BrokenLog(
                        f"{name}: the streams hold {total} events of partition keys that are known here, and the log"
                        f" {self.position}"
                    )
                for number, (applied, ignored, parked) in enumerate(sums):
                    conn.execute(
                        "UPDATE projection.checkpoints SET position = %s, applied = %s, ignored = %s, parked = %s,"
                        " elsewhere = %s, updated_at = clock_timestamp() WHERE position = 0"
                        " AND (projection, version, generation, slice) = (%s, %s, %s, %s)",
                        [
                            self.position, applied, ignored, parked, self.position - applied - ignored - parked,
                            name, projection.version, self.targets[name].generation, number,
                        ],
                    )  # fmt: skip


def make_plan(conn: Connection[Any], wanted: list[Projection], range_events: int) -> Plan:
    """Begin a rebuild: new tables, checkpoints that say `building`, and the ranges."""
    with conn.transaction():
        _abandon(conn, wanted)
        head = read_head(conn)
        targets, slices = {}, {}
        for projection in wanted:
            before = checkpoints(conn, [projection], "live", "ready")
            target = Target(projection.version, max((c.generation for c in before), default=0) + 1)
            targets[projection.name] = target
            slices[projection.name] = before[0].slices if before else _slices_beside(conn, projection)
            create_tables(conn, projection, target.generation)
            start(conn, projection, target.generation, "building", head, slices[projection.name])
        plan_id = new_id()
        conn.execute(
            "INSERT INTO projection.rebuilds (id, position, log_id, epoch, targets)"
            " VALUES (%s, %s, %s, %s, %s::text::json)",
            [plan_id, head.position, head.log_id, head.epoch, msgspec.json.encode(targets).decode()],
        )
        ranges = plan_ranges(conn, head.position, range_events)
        conn.execute(
            "INSERT INTO projection.rebuild_ranges (rebuild, number, first_key, last_key, events)"
            " SELECT %s, r.number, r.first, r.last, r.events"
            " FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[]) WITH ORDINALITY AS r(first, last, events, number)",
            [plan_id, [r[0] for r in ranges], [r[1] for r in ranges], [r[2] for r in ranges]],
        )
    return Plan(plan_id, head.position, targets, len(ranges), slices)


def open_plan(conn: Connection[Any], wanted: list[Projection]) -> Plan | None:
    """The interrupted rebuild of exactly these projections on this log, if there is one."""
    head = read_head(conn)
    building = {(c.projection, c.version, c.generation): c for c in checkpoints(conn, wanted, "building")}
    for plan_id, position, text in conn.execute(
        "SELECT id, position, targets::text FROM projection.rebuilds WHERE (log_id, epoch) = (%s, %s)",
        [head.log_id, head.epoch],
    ).fetchall():
        targets = msgspec.json.decode(text, type=dict[str, Target])
        keys = {(name, t.version, t.generation) for name, t in targets.items()}
        if {name: t.version for name, t in targets.items()} == {p.name: p.version for p in wanted}:
            slices = {key[0]: building[key].slices for key in keys if key in building}
            (ranges,) = conn.execute(
                "SELECT count(*) FROM projection.rebuild_ranges WHERE rebuild = %s", [plan_id]
            ).fetchone() or (0,)
            # A projection switched already before the kill is not building any more: begin anew.
            return Plan(plan_id, position, targets, ranges, slices) if len(slices) == len(keys) else None
    return None


def load_counted(conn: Connection[Any], plan: Plan) -> int:
    """How many events lie in ranges that are done."""
    (events,) = conn.execute(
        "SELECT coalesce(sum(events), 0)::bigint FROM projection.rebuild_ranges"
        " WHERE rebuild = %s AND counts IS NOT NULL",
        [plan.id],
    ).fetchone() or (0,)
    return int(events)


def forget(conn: Connection[Any], plan: Plan) -> None:
    """The rebuild is over."""
    conn.execute("DELETE FROM projection.rebuilds WHERE id = %s", [plan.id])


def _slices_beside(conn: Connection[Any], projection: Projection) -> int:
    """In how many slices the version that answers is kept; 1 without one."""
    (slices,) = conn.execute(
        "SELECT coalesce(max(slices), 1) FROM projection.checkpoints WHERE projection = %s AND state = 'live'",
        [projection.name],
    ).fetchall()[0]
    return int(slices)


def _abandon(conn: Connection[Any], wanted: list[Projection]) -> None:
    """Remove what an earlier rebuild of any of these versions left unfinished, and the memory of retired ones."""
    for projection in wanted:
        version = [projection.name, projection.version]
        for generation in {c.generation for c in checkpoints(conn, [projection], "building", "retired")}:
            drop_tables(conn, projection, generation)
            for table in ("checkpoints", "parked"):
                conn.execute(
                    f"DELETE FROM projection.{table}"  # noqa: S608 -- one of two constants
                    " WHERE (projection, version, generation) = (%s, %s, %s)",
                    [*version, generation],
                )
    conn.execute(
        "DELETE FROM projection.rebuilds r WHERE EXISTS"
        " (SELECT FROM json_each(r.targets) t JOIN unnest(%s::text[], %s::int[]) AS w(name, version)"
        "  ON t.key = w.name AND (t.value ->> 'version')::int = w.version)",
        [[p.name for p in wanted], [p.version for p in wanted]],
    )
