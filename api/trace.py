"""What belongs to one request: its ids, its line in the log, the headers of its answer, its last line of defence."""

import logging
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.load import Load
from api.refusals import AddressTooLong, InternalError
from domain.errors import Overloaded, Refusal
from infra import tracing
from infra.ids import new_id

log = logging.getLogger("dealtrace.access")

LONGEST_ADDRESS = 32_768
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class Trace:
    """The ids of a request, and what its log line should say of it. `position`: what the answer reflects."""

    __slots__ = ("actor", "correlation_id", "position", "request_id")

    def __init__(self, request_id: str, correlation_id: str) -> None:
        self.request_id = request_id
        self.correlation_id = correlation_id
        self.actor: Any = None
        self.position: int | None = None


class TraceRequests:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of connection pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not tracing.is_on():
            await self._serve(_trace(scope), scope, receive, send)
            return
        trace, caller = _trace_of_caller(scope)
        ids = trace.request_id, trace.correlation_id
        with tracing.request_span(scope["method"], scope["path"], *ids, caller) as span:
            span.set_attribute("http.response.status_code", await self._serve(trace, scope, receive, send))

    async def _serve(self, trace: Trace, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer the request; its status, 0 when its client had gone before."""
        scope["trace"] = trace
        self._load.begin()
        started, status, gone = time.perf_counter(), 0, False

        async def send_traced(message: Message) -> None:
            nonlocal status, gone
            if gone:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", trace.request_id.encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            try:
                await send(message)
            except (OSError, RuntimeError) as error:  # uvloop, of a connection closed meanwhile
                gone = True
                log.warning("the answer to %s did not reach its client: %s", trace.request_id, error)

        try:
            if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_ADDRESS:
                refusal: Refusal = AddressTooLong(
                    "The address is too long.", accepted=f"up to {LONGEST_ADDRESS:,} bytes"
                )
                await problems.response(refusal, scope)(scope, receive, send_traced)
            else:
                self._load.refuse_too_much(scope["path"])
                await self._app(scope, receive, send_traced)
        except Overloaded as overloaded:
            await problems.response(overloaded, scope)(scope, receive, send_traced)
        except Exception:
            log.exception("request %s failed", trace.request_id, extra={"request_id": trace.request_id})
            if status:
                raise  # the answer has begun, and all that is left is to break it off
            refusal = InternalError("Something went wrong inside the server.")
            await problems.response(refusal, scope)(scope, receive, send_traced)
        finally:
            seconds = time.perf_counter() - started
            self._load.end(scope, status, seconds)
            if log.isEnabledFor(logging.INFO):
                _write_line(scope, trace, status, seconds)
        return status


def _trace(scope: Scope) -> Trace:
    request_id = correlation_id = None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"x-correlation-id" and _ID.fullmatch(value):
            correlation_id = value.decode()
    request_id = request_id or str(new_id())
    return Trace(request_id, correlation_id or request_id)


def _trace_of_caller(scope: Scope) -> tuple[Trace, str]:
    """The same where requests are traced: a caller's trace is the correlation id unless another one is given."""
    trace = _trace(scope)
    caller = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), "")
    known = _TRACEPARENT.fullmatch(caller)
    if known is None:
        return trace, ""
    if trace.correlation_id == trace.request_id:
        trace.correlation_id = known[1]
    return trace, caller


def _write_line(scope: Scope, trace: Trace, status: int, seconds: float) -> None:
    """One line per request. Never the query string: a search may hold a name."""
    path = (scope.get("raw_path") or scope["path"].encode("ascii", "backslashreplace"))[:300].decode(
        "ascii", "replace"
    )
    facts = {
        "method": scope["method"],
        "path": path,
        "status": status,
        "milliseconds": round(seconds * 1000, 3),
        "request_id": trace.request_id,
        "correlation_id": trace.correlation_id,
        "actor": trace.actor.id if trace.actor else None,
        "role": trace.actor.role if trace.actor else None,
        "position": trace.position,
    }
    log.info("%s %s %d", scope["method"], path, status, extra=facts)
