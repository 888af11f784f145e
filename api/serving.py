"""The HTTP server's process: uvicorn, which knows of answers without end only what we tell it."""

import gc
import socket

import uvicorn

from api.http_connection import HttpConnection


class HttpServer(uvicorn.Server):
    """Ends the open streams before it waits for its connections to finish."""

    def __init__(self, config: uvicorn.Config) -> None:
        config.http = HttpConnection
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        settle()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, let every stream go, finish what was accepted."""
        for endless in self.config.app.state.endless:  # type: ignore[union-attr]
            endless.stop()
        await super().shutdown(sockets)


def settle() -> None:
    """Call what is in memory the program itself, no garbage ever: looking through it, which a large answer makes the
    collector do, takes half as long as such an answer."""
    gc.collect()
    gc.freeze()
