"""How much the server does at once, at most, and the figures of what it has done."""

from typing import Any

from domain.errors import Overloaded
from infra.metrics import HTTP_REQUESTS, HTTP_SECONDS

MOST_IN_FLIGHT = 5000
"""More than may wait for the log and for the readers together, so that those say first that it is too much."""
_ALWAYS = ("/health", "/metrics")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Load:
    """Counts the requests of one server; each `begin` needs its `end`."""

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self.in_flight = 0
        self._most = most
        self._counted: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def begin(self) -> None:
        """One more request."""
        self.in_flight += 1

    def refuse_too_much(self, path: str) -> None:
        """Raises Overloaded when more is being served than there is room for. Who only looks is always let in."""
        if self.in_flight > self._most and path not in _ALWAYS:
            raise Overloaded("Too many requests wait already.", accepted="the same request in a second")

    def end(self, scope: Any, status: int, seconds: float) -> None:
        """A request was answered; 0: its client had gone."""
        self.in_flight -= 1
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = method, getattr(scope.get("route"), "path", "none"), status
        counted = self._counted.get(key)
        if counted is None:
            counted = HTTP_REQUESTS.labels(*key), HTTP_SECONDS.labels(*key[:2])
            self._counted[key] = counted
        counted[0].inc()
        counted[1].observe(seconds)
