"""One connection of a client: the head of each request is bounded, and comes within bounded time."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 128 * 1024
"""Most bytes of a request's line and headers, give or take what is read at once."""
HEAD_SECONDS = 20.0
"""For how long a client may take to send them, from its connection or its first byte on."""


class HttpConnection(HttpToolsProtocol):
    """Hangs up on who sends a head without end: it would take memory, and one of the files a process may open."""

    _head_bytes: int | None = 0
    """Of the head that is coming; None while none is."""
    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there and has said nothing yet."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._head_begins()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or of several."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._hang_up()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_begins()

    def on_headers_complete(self) -> None:
        """The head is whole; what follows is the body, which is read with limits of its own."""
        self._head_ends()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._head_ends()
        super().connection_lost(exc)

    def _head_begins(self) -> None:
        if self._too_late is None:
            self._head_bytes = 0
            self._too_late = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _head_ends(self) -> None:
        self._head_bytes = None
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None

    def _hang_up(self) -> None:
        if self._head_bytes == 0:  # it opened a connection in advance and never used it
            self.transport.close()
        elif not self.transport.is_closing():
            self.send_400_response("The head of the request is too long, or too long in coming.")
