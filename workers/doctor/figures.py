"""The checks of what is made from the log: whose log it is, whether it keeps up, who waits, what is missing."""

from typing import Any

from psycopg import Connection

from infra.recalibration_jobs import by_state
from projections.engine.adopting import foreign
from projections.engine.catalogue import catalogue
from projections.engine.preparing import waiting
from projections.engine.status import ProjectionStatus, status
from workers.doctor.finding import Finding, Verdict, listed

PATIENCE_SECONDS = 30.0
"""A running projector that is further behind than this is not keeping up."""

UNTOUCHED_SECONDS = 60.0
"""A server takes up what waits within seconds."""

_PROJECTOR = "dealtrace projections"  # how projections.engine.connecting calls itself
_PROJECTORS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = %s AND pid <> pg_backend_pid()"""
_PARKED = """
SELECT k.projection, k.partition_key, count(*),
       (array_agg(k.error ORDER BY k.position) FILTER (WHERE k.error IS NOT NULL))[1],
       (array_agg(k.position ORDER BY k.position))[1]
FROM projection.parked k
WHERE EXISTS (SELECT FROM projection.checkpoints c WHERE c.state = 'live'
              AND (c.projection, c.version, c.generation) = (k.projection, k.version, k.generation))
GROUP BY k.projection, k.version, k.partition_key ORDER BY 1, 5"""
_COUNTED = """
SELECT c.projection, sum(c.parked)::bigint, count(*), max(c.slices), max(k.events)
FROM projection.checkpoints c, LATERAL (
    SELECT count(*) AS events FROM projection.parked k
    WHERE (k.projection, k.version, k.generation) = (c.projection, c.version, c.generation)) k
WHERE c.state = 'live' GROUP BY c.projection, c.version, c.generation ORDER BY 1"""


def identity(app: Connection[Any]) -> Finding:
    """Whether the projections belong to the log that is here."""
    if others := foreign(app):
        names = listed([f"{f.projection} v{f.version} at position {f.position:,}" for f in others])
        sentence = f"Projections stand on log {others[0].log_id}, epoch {others[0].epoch}, which is not the one here: {names}."
        return Finding(
            "log identity",
            "problem",
            sentence,
            "dealtrace projections adopt-log makes them anew from this log",
        )
    return Finding("log identity", "ok", "The projections belong to this log and epoch.")


def projector(app: Connection[Any], embedded: bool) -> Finding:
    """Whether the projections keep up with the log, and whether anybody sees to it."""
    live = _live(app)
    beside = waiting(app)
    if absent := [name for name in catalogue() if name not in live and name not in beside]:
        sentence = f"No rows were ever made for {listed(absent)}."
        return Finding(
            "projector", _unless(embedded), sentence, "dealtrace projector, or dealtrace run, makes them"
        )
    (running,) = app.execute(_PROJECTORS.encode(), [_PROJECTOR]).fetchall()[0]
    behind = sorted((s for s in live.values() if s.lag), key=lambda s: -s.lag_seconds)
    if not behind:
        with_whom = "and a projector is connected" if running else "though no projector is connected now"
        return Finding("projector", "ok", f"The projections reflect the whole log, {with_whom}.")
    last = behind[0]
    so_far = f"{last.projection} is {last.lag:,} events and {last.lag_seconds:,.0f} s behind the log"
    if not running:
        hint = "dealtrace projector, or dealtrace run; queries of the command line catch up by themselves"
        return Finding("projector", _unless(embedded), f"No projector is connected, and {so_far}.", hint)
    if last.lag_seconds > PATIENCE_SECONDS:
        hint = "the projector's own log says what stops it: an unknown topic, a gap, another log, or too much work"
        return Finding("projector", "problem", f"A projector is connected, but {so_far}.", hint)
    return Finding("projector", "ok", f"A projector is at work: {so_far}.")


def _unless(embedded: bool) -> Verdict:
    """Beside an embedded server nobody else asks, and whoever asks catches up first."""
    return "warning" if embedded else "problem"


def releases(app: Connection[Any]) -> Finding:
    """Whether this release answers, and what others keep here."""
    if sentences := waiting(app):
        hint = "dealtrace projections status; then prepare, or switch, of dealtrace projections --help"
        return Finding(
            "releases", "problem", f"This release does not answer yet: {' '.join(sentences.values())}", hint
        )
    own = {(p.name, p.version) for p in catalogue().values()}
    others = [s for s in status(app) if (s.projection, s.version) not in own]
    if not others:
        return Finding("releases", "ok", "This release answers, and there are no tables of another one.")
    named = listed([f"{s.projection} v{s.version} ({s.state})" for s in others])
    stale = max((s.lag_seconds for s in others if s.state == "live"), default=0.0)
    if stale > PATIENCE_SECONDS:
        sentence = f"Nobody brings up what another release left here, {stale:,.0f} s behind: {named}."
        hint = "start its projector if it is to serve again; otherwise dealtrace projections retire"
        return Finding("releases", "warning", sentence, hint)
    return Finding("releases", "ok", f"This release answers; another one keeps {named} beside it.")


def parked(app: Connection[Any]) -> Finding:
    """Which deals wait, and for what."""
    waiting = app.execute(_PARKED.encode()).fetchall()
    if not waiting:
        return Finding("parked deals", "ok", "No event waits for its fold to be mended.")
    cases = [
        f"deal {key} in {name} with {events} events from position {position} on ({error})"
        for name, key, events, error, position in waiting
    ]
    name, key = waiting[0][:2]
    hint = f"install a release with the fold mended, then: dealtrace projections unpark {name} --key {key}"
    return Finding("parked deals", "problem", f"Figures lack what waits: {listed(cases, 10)}.", hint)


def completeness(app: Connection[Any]) -> Finding:
    """Whether any projection skipped an event."""
    skipped = [name for name, s in _live(app).items() if not s.complete]
    skipped += [
        name
        for name, parked_events, checkpoints, slices, waiting in app.execute(_COUNTED.encode()).fetchall()
        if (parked_events != waiting or checkpoints != slices) and name not in skipped
    ]
    if skipped:
        sentence = (
            f"Events were skipped: in {listed(skipped)} what was applied, ignored and parked is not all."
        )
        return Finding(
            "completeness", "problem", sentence, f"dealtrace projections rebuild {' '.join(skipped)}"
        )
    return Finding("completeness", "ok", "No projection skipped an event.")


def recalibrations(app: Connection[Any]) -> Finding:
    """Whether anybody runs the recalibrations that were asked for."""
    found = {one.state: one for one in by_state(app)}
    queued, running = found["queued"], found["running"]
    if running.jobs or queued.oldest < UNTOUCHED_SECONDS:
        sentence = f"{queued.jobs:,} recalibrations wait, {running.jobs:,} are under way."
        return Finding("recalibrations", "ok", sentence)
    return Finding(
        "recalibrations",
        "warning",
        f"{queued.jobs:,} recalibrations wait, the first one for {queued.oldest:,.0f} s, and none is under way.",
        "dealtrace serve, or dealtrace run, takes them up",
    )


def _live(app: Connection[Any]) -> dict[str, ProjectionStatus]:
    return {
        s.projection: s
        for s in status(app)
        if s.state == "live"
        and s.projection in catalogue()
        and s.version == catalogue()[s.projection].version
    }
