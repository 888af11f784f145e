"""What this process counts, for Prometheus. Names and meanings are said here once; docs/metrics.md is made of them.

The command path counts once per group, never once per command.
"""

from collections.abc import Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from domain.errors import Refusal
from infra.requests import Result

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series
REGISTRY = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

GROUP_COMMANDS = Histogram(
    "dealtrace_group_commands",
    "Commands that were executed together by one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    registry=REGISTRY,
)
GROUP_SECONDS = Histogram(
    "dealtrace_group_seconds",
    "Seconds to execute a group: load, decide, append, and again what had moved.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
APPEND_SECONDS = Histogram(
    "dealtrace_append_seconds",
    "Seconds of one transaction that appends to the log, with its wait for the head of the log.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
COMMANDS = Counter(
    "dealtrace_commands",
    "Requests to change something that were answered: done, repeated (the first answer again), refused, failed.",
    ["outcome"],
    registry=REGISTRY,
)
EVENTS = Counter(
    "dealtrace_events_appended", "Events appended to the log by this process.", registry=REGISTRY
)
REDECISIONS = Counter(
    "dealtrace_redecisions",
    "Requests that were decided again, because another writer had moved what they stood on.",
    registry=REGISTRY,
)
REFUSALS = Counter(
    "dealtrace_refusals",
    "Answers that are a problem, by its code (see docs/problems.md).",
    ["code"],
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "dealtrace_projector_batch_seconds",
    "Seconds in which the projector read a batch of events and applied it.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
BATCH_FAILURES = Counter(
    "dealtrace_projector_failures",
    "How often the projector had to begin anew: the database was away, or only an operator can mend it.",
    registry=REGISTRY,
)
HTTP_REQUESTS = Counter(
    "dealtrace_http_requests",
    "Requests answered, by the route's template.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "dealtrace_http_request_seconds",
    "Seconds from a request's first byte to the last one of its answer.",
    ["method", "route"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


def count_group(commands: int, answers: Sequence[Any], seconds: float) -> None:
    """Count a group of so many commands that was executed, by its requests' answers."""
    events = done = repeated = refused = 0
    for answer in answers:
        if isinstance(answer, Refusal):
            refused += 1
        elif isinstance(answer, Result) and answer.repeated:
            repeated += 1
        elif isinstance(answer, Result):
            done += 1
            for item in answer.items:
                events += len(item.event_ids)
    GROUP_COMMANDS.observe(commands)
    GROUP_SECONDS.observe(seconds)
    EVENTS.inc(events)
    failed = len(answers) - done - repeated - refused
    for outcome, number in zip(_OUTCOMES, (done, repeated, refused, failed), strict=True):
        if number:
            outcome.inc(number)


_OUTCOMES = [COMMANDS.labels(outcome) for outcome in ("done", "repeated", "refused", "failed")]


def exposition() -> bytes:
    """All of it in the text format of Prometheus."""
    return generate_latest(REGISTRY)


def described() -> list[MetricWrapperBase]:
    """The metrics that are ours, in the order in which they are declared here."""
    return [value for value in globals().values() if isinstance(value, MetricWrapperBase)]
