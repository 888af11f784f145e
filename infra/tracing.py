"""Traces from a request to its projected rows, when switched on; off, each place costs one look at a variable.

The ids of spans follow from ids that commands and events carry anyway, so that the committing thread and the projector,
another process, can hang theirs under the request's without being told: a trace is a correlation id, and the
first span of a request is its request id.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any

from domain.event import Recorded
from infra.requests import Request

SERVICE = "dealtrace"
MOST_PER_BATCH = 100
"""Of a projector's batch so many requests at most get a span: those of a bulk load teach nothing each."""

_tracer: Any = None
_next_ids: ContextVar[tuple[int, int] | None] = ContextVar("_next_ids", default=None)


class TracingMissing(Exception):
    """Traces are wanted, but the libraries for them are not installed."""


def is_on() -> bool:
    """Whether spans are made."""
    return _tracer is not None


@contextmanager
def tracing_to(url: str | None, process: str) -> Iterator[None]:
    """Send spans to an OTLP collector (such as `http://127.0.0.1:4318/v1/traces`) while the block runs.

    Without a URL nothing is traced. Raises TracingMissing.
    """
    if url is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise TracingMissing("Traces need more packages.") from None
    with tracing(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)), process):
        yield


@contextmanager
def tracing(processor: Any, process: str) -> Iterator[None]:
    """Give all spans to an OpenTelemetry span processor while the block runs."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """Random ids, unless the next ones are settled."""

        def generate_trace_id(self) -> int:
            settled = _next_ids.get()
            return settled[0] if settled else super().generate_trace_id()

        def generate_span_id(self) -> int:
            settled = _next_ids.get()
            return settled[1] if settled else super().generate_span_id()

    global _tracer  # noqa: PLW0603 -- the one switch of the process
    resource = Resource({"service.name": SERVICE, "dealtrace.process": process})
    provider = TracerProvider(resource=resource, id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer(SERVICE)
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


def trace_of(correlation_id: str) -> int:
    """The trace that a correlation id stands for: itself where it is 32 hex digits or a UUID."""
    digits = correlation_id.replace("-", "")
    try:
        number = int(digits, 16) if len(digits) == 32 else 0
    except ValueError:
        number = 0
    return number or int.from_bytes(hashlib.sha256(correlation_id.encode()).digest()[:16])


def span_of(request_id: str) -> int:
    """The first span of the request with this id."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8])


@contextmanager
def request_span(method: str, path: str, request_id: str, correlation_id: str, parent: str) -> Iterator[Any]:
    """The span of a request; `parent` is the caller's `traceparent` header, or empty.

    A caller whose trace is not that of the correlation id is linked to instead.
    """
    from opentelemetry.trace import Link, SpanKind, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    caller = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    above = _context_of(caller)
    follows = above is not None and above.trace_id == trace_of(correlation_id)
    settled = _next_ids.set((trace_of(correlation_id), span_of(request_id)))
    try:
        span = _tracer.start_span(
            f"{method} request",
            context=caller if follows else set_span_in_context(_nothing()),
            kind=SpanKind.SERVER,
            links=[Link(above)] if above and not follows else [],
            attributes={
                "http.request.method": method, "url.path": path,
                "dealtrace.request_id": request_id, "dealtrace.correlation_id": correlation_id,
            },
        )  # fmt: skip
    finally:
        _next_ids.reset(settled)
    try:
        yield span
    finally:
        span.end()


def group_committed(
    requests: Iterable[tuple[Request, float]], began: float, appended: tuple[float, float] | None
) -> None:
    """Spans of a group for each of its requests: its wait and execution, and in it the decisions and the append.

    Times are of `time.perf_counter`; a request comes with the time when it was queued.
    """
    from opentelemetry.trace import set_span_in_context

    group, clock = list(requests), _clock()
    for request, queued in group:
        span = _tracer.start_span(
            "group commit",
            context=_under(request.correlation_id, request.request_id),
            start_time=clock(queued),
            attributes={"dealtrace.group.requests": len(group), "dealtrace.waited_seconds": began - queued},
        )
        within, ended = set_span_in_context(span), time.perf_counter()
        decided = _tracer.start_span("decide", context=within, start_time=clock(began))
        decided.end(clock(appended[0] if appended else ended))
        if appended is not None:
            inner = _tracer.start_span("append", context=within, start_time=clock(appended[0]))
            inner.end(clock(appended[1]))
        span.end(clock(ended))


def projected(events: Sequence[Recorded], projections: Sequence[str], began: float) -> None:
    """Spans of a projector's batch under each request (of the first ones) whose events it applied."""
    requests = {e.meta.request_id: e for e in events if e.meta.origin == "live" and e.meta.request_id}
    started = _clock()(began)
    for last in islice(requests.values(), MOST_PER_BATCH):
        span = _tracer.start_span(
            "project",
            context=_under(last.meta.correlation_id, last.meta.request_id),
            start_time=started,
            attributes={
                "dealtrace.position": last.position,
                "dealtrace.projections": list(projections),
                "dealtrace.batch.events": len(events),
            },
        )
        span.end()


def _under(correlation_id: str, request_id: str) -> Any:
    """The context of a request's first span, wherever that was made."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    ids = SpanContext(trace_of(correlation_id), span_of(request_id), True, TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(ids))


def _nothing() -> Any:
    from opentelemetry.trace import INVALID_SPAN

    return INVALID_SPAN


def _context_of(caller: Any) -> Any:
    from opentelemetry.trace import get_current_span

    found = get_current_span(caller).get_span_context() if caller is not None else None
    return found if found is not None and found.is_valid else None


def _clock() -> Callable[[float], int]:
    """From times of `perf_counter` to nanoseconds since 1970, all by one look at both clocks: order is kept.

    Of a few looks the quickest counts: a process may be put aside between two clocks.
    """
    looks = []
    for _ in range(5):
        before, now, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        looks.append((after - before, now - before))
    _, zero = min(looks)
    return lambda counter: zero + int(counter * 1e9)
