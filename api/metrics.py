"""`GET /metrics`: what this process counts, and what the database says about the log and the projections.

The projections' figures come from their checkpoints, read at each scrape: so they are there, and right, whichever
process projects, and a projector that has died can not take its lag with it. Only what the projector alone can know,
the duration of its batches, is served by the projector itself.

Counts tell that somebody set a forecast, though not on which deal; so they are for those who run the system, as
`/v1/projections` is.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response

from api.actor import verified_actor
from api.load import Load
from api.roles import OPERATORS, require_role
from domain.errors import Overloaded
from infra.event_store import read_head
from infra.group_commit import GroupCommit
from infra.metrics import described, exposition
from infra.readers import DatabaseError, MissingTable, Readers
from infra.recalibration_jobs import by_state
from projections.engine.rebuild_progress import rebuild_progress
from projections.engine.status import status


class Figure(NamedTuple):
    """A gauge whose value is looked up at each scrape."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


_PROJECTION = ("projection", "version", "generation", "state")
_REBUILD = ("projection", "version", "generation")
_STATE = ("state",)

FIGURES = {
    figure.name.removeprefix("dealtrace_"): figure
    for figure in (
        Figure("dealtrace_http_requests_in_flight", "Requests that wait for their answer."),
        Figure("dealtrace_commands_waiting", "Commands that wait for the next group."),
        Figure("dealtrace_queries_waiting", "Queries that run, or wait for a reader."),
        Figure("dealtrace_database_up", "1 when the database answered this scrape, otherwise 0."),
        Figure("dealtrace_log_position", "The position of the last event in the log."),
        Figure("dealtrace_log_epoch", "The epoch of the log; a restore begins a new one."),
        Figure("dealtrace_projection_position", "Up to where a projection reflects the log.", _PROJECTION),
        Figure("dealtrace_projection_lag_positions", "Events that are not applied yet.", _PROJECTION),
        Figure(
            "dealtrace_projection_lag_seconds", "Age of the oldest event not applied, 0 without.", _PROJECTION
        ),
        Figure("dealtrace_projection_applied", "Events applied.", _PROJECTION),
        Figure("dealtrace_projection_ignored", "Events of topics it does not handle.", _PROJECTION),
        Figure("dealtrace_projection_parked", "Events that wait because a fold failed.", _PROJECTION),
        Figure("dealtrace_projection_parked_keys", "Deals (partition keys) that wait.", _PROJECTION),
        Figure(
            "dealtrace_projection_complete",
            "1 when applied + ignored + parked = position: nothing was skipped.",
            _PROJECTION,
        ),
        Figure("dealtrace_rebuild_events", "Events that a rebuild under way reads in all.", _REBUILD),
        Figure("dealtrace_rebuild_done", "Events that it has read.", _REBUILD),
        Figure(
            "dealtrace_recalibration_jobs",
            "Recalibrations that were asked for: those that are queued, that run, and all that ever were done, failed or"
            " were cancelled.",
            _STATE,
        ),
        Figure(
            "dealtrace_recalibration_seconds",
            "Seconds that those which are over took, from their beginning to their end, in all.",
            _STATE,
        ),
        Figure(
            "dealtrace_recalibration_oldest_queued_seconds", "For how long the first in the queue has waited."
        ),
        Figure("dealtrace_recalibration_running_seconds", "Since when the one that runs was begun."),
    )
}

Value = tuple[str, tuple[str, ...], float]
"""Figure, label values, value."""


class Metrics:
    """The endpoint. `watcher` reads for it alone, so that a scrape never waits behind queries."""

    def __init__(self, load: Load, group_commit: GroupCommit, readers: Readers, watcher: Readers) -> None:
        self._load, self._group_commit = load, group_commit
        self._readers, self._watcher = readers, watcher

    async def __call__(self, request: Request) -> Response:
        """Everything in Prometheus' text format; without its database the server still says what it knows.

        Not for reps. A scraper names itself as any actor does, with `http_headers` in Prometheus' configuration.
        """
        actor = request.scope["trace"].actor = verified_actor(request.scope)
        require_role(actor, OPERATORS, "see the metrics")
        values: list[Value] = [
            ("http_requests_in_flight", (), float(self._load.in_flight)),
            ("commands_waiting", (), float(self._group_commit.waiting)),
            ("queries_waiting", (), float(self._readers.waiting)),
        ]
        try:
            found = await self._watcher.run(lambda conn: list(_of_database(conn)))
            values += [("database_up", (), 1.0), *found]
        except (DatabaseError, MissingTable, Overloaded):
            values.append(("database_up", (), 0.0))
        return Response(exposition() + _text(values), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _of_database(conn: Any) -> Iterator[Value]:
    head = read_head(conn)
    yield "log_position", (), head.position
    yield "log_epoch", (), head.epoch
    for s in status(conn):
        labels = s.projection, str(s.version), str(s.generation), s.state
        yield "projection_position", labels, s.position
        yield "projection_lag_positions", labels, s.lag
        yield "projection_lag_seconds", labels, s.lag_seconds
        yield "projection_applied", labels, s.applied
        yield "projection_ignored", labels, s.ignored
        yield "projection_parked", labels, s.parked_events
        yield "projection_parked_keys", labels, s.parked_keys
        yield "projection_complete", labels, float(s.complete)
    for r in rebuild_progress(conn):
        rebuild = r.projection, str(r.version), str(r.generation)
        yield "rebuild_events", rebuild, r.events
        yield "rebuild_done", rebuild, r.done
    for j in by_state(conn):
        yield "recalibration_jobs", (j.state,), j.jobs
        if j.state == "queued":
            yield "recalibration_oldest_queued_seconds", (), j.oldest
        elif j.state == "running":
            yield "recalibration_running_seconds", (), j.oldest
        else:
            yield "recalibration_seconds", (j.state,), j.seconds


class _Families:
    """A collector of one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families

    describe = collect


def _text(values: Iterable[Value]) -> bytes:
    families: dict[str, GaugeMetricFamily] = {}
    for name, labels, value in values:
        figure = FIGURES[name]
        if name not in families:
            families[name] = GaugeMetricFamily(figure.name, figure.meaning, labels=figure.labels)
        families[name].add_metric(labels, value)
    registry = CollectorRegistry()
    registry.register(_Families(list(families.values())))
    return generate_latest(registry)


def reference() -> str:
    """Every metric: the text of docs/metrics.md."""
    rows = [
        *((next(iter(m.describe())), tuple(m._labelnames)) for m in described()),  # noqa: SLF001
        *((GaugeMetricFamily(f.name, f.meaning), f.labels) for f in FIGURES.values()),
    ]
    lines = [
        "# Metrics",
        "",
        "<!-- Generated from infra/metrics.py and api/metrics.py by `make docs`. -->",
        "",
        "`GET /metrics` answers in Prometheus' text format, besides these with the usual `process_*` and",
        "`python_info`. Counts tell that forecasts were set, so it is for those who run the system: the scraper names",
        "itself and its role, in Prometheus' configuration with `http_headers`, or through a proxy of its own. Every process of the API counts for itself; figures of the log and of the projections are",
        "read from the database at each scrape, so all processes say the same. The projector serves its own",
        "(`dealtrace_projector_*`) when `DEALTRACE_PROJECTOR_METRICS_PORT` is set, on the loopback only.",
        "`infra/grafana/dealtrace.json` shows them.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    for family, labels in rows:
        name = family.name + ("_total" if family.type == "counter" else "")
        said = ", ".join(f"`{label}`" for label in labels)
        lines.append(f"| `{name}` | {family.type} | {said} | {family.documentation} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
