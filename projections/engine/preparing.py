"""A release's own versions of projections, filled beside those of the release that serves."""

from collections.abc import Sequence
from threading import Event as Flag
from typing import Any

from psycopg import Connection

from projections.engine.catalogue import chosen
from projections.engine.checkpoints import checkpoints, ensure, set_state
from projections.engine.connecting import connect
from projections.engine.description import Projection
from projections.engine.rebuild_plan import forget, make_plan, open_plan
from projections.engine.rebuilding import RANGE_EVENTS, Progress, catch_up, load, only_one
from projections.engine.status import status
from projections.engine.tables import drop_unused, show


def unfilled(conn: Connection[Any], wanted: Sequence[Projection]) -> list[Projection]:
    """Those projections of which another version answers, and this one is neither answering nor ready to."""
    rows = conn.execute("SELECT DISTINCT projection, version, state FROM projection.checkpoints").fetchall()
    own = {(p.name, p.version) for p in wanted}
    done = {(name, version) for name, version, state in rows if state in ("ready", "live")}
    begun = {(name, version) for name, version, _ in rows} - done
    served = {name for name, version, state in rows if state == "live" and (name, version) not in own}
    return [
        p
        for p in wanted
        if (p.name, p.version) in begun or (p.name in served and (p.name, p.version) not in done)
    ]


def waiting(conn: Connection[Any], projections: Sequence[Projection] | None = None) -> dict[str, str]:
    """The projections of this release that do not answer because another release's do; a sentence on why, by name."""
    wanted = list(projections or chosen())
    empty = {p.name: p for p in unfilled(conn, wanted)}
    ready = {c.projection: c for c in checkpoints(conn, wanted, "ready")}
    if not empty and not ready:
        return {}
    filled = {(s.projection, s.version): s.percent for s in status(conn, wanted) if s.state == "building"}
    sentences = dict[str, str]()
    for projection in wanted:
        named = f"{projection.name} v{projection.version}"
        if projection.name in ready:
            sentences[projection.name] = f"{named} is filled and waits for dealtrace projections switch."
        elif projection.name in empty:
            percent = filled.get((projection.name, projection.version), 0.0)
            sentences[projection.name] = (
                f"{named} is filled to {percent:g} %: dealtrace projections prepare goes on."
            )
    return sentences


def prepare(
    app_url: str,
    projections: Sequence[Projection] | None = None,
    *,
    processes: int | None = None,
    range_events: int = RANGE_EVENTS,
    throttle: float = 0.0,
    progress: Progress | None = None,
    stop: Flag | None = None,
) -> list[str]:
    """Fill this release's versions beside those that answer; the names of the projections that were filled now.

    As `rebuilding.rebuild` does it, and resumable, throttled and cancellable like that. Nobody who reads or projects
    another release's versions notices. Brings back what was retired.

    Raises RebuildRunning, Cancelled, BrokenLog, UnknownTopic.
    """
    wanted = list(projections or chosen())
    with connect(app_url) as conn:
        if not unfilled(conn, wanted):
            ensure(conn, wanted)
            return []
    with only_one(app_url) as conn:
        if not (filling := unfilled(conn, wanted)):
            return []
        plan = open_plan(conn, filling) or make_plan(conn, filling, range_events)
        load(conn, app_url, plan, filling, processes, throttle, progress, stop)
        for projection in filling:
            catch_up(conn, projection, plan.generations[projection.name])
        with conn.transaction():
            for projection in filling:
                show(conn, projection, plan.generations[projection.name])
                set_state(conn, projection, "building", "ready")
            forget(conn, plan)
        drop_unused(conn, filling)
        ensure(conn, wanted)
        return [p.name for p in filling]
