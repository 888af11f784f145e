"""The server process of the HTTP benchmark: the product's application, and beside it the same route doing nothing."""

import sys

import msgspec
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from api.actor import verified_actor
from api.app import create_app
from api.body import MAX_COMMAND, canonical, checked, read_object
from domain.deal import ReviseAmount
from infra.connection import LogConnection
from infra.executor import Executor
from infra.group_commit import GroupCommit
from infra.readers import Readers

ANSWER = msgspec.json.encode({"deal_id": "x" * 36, "version": 1, "position": 1, "event_ids": ["x" * 36]})


async def nothing(request: Request) -> Response:
    """Everything that the command's route does but the command: actor, body, validation, answer."""
    verified_actor(request.scope)
    body = await read_object(request, MAX_COMMAND)
    checked(ReviseAmount, canonical({"deal_id": request.path_params["deal_id"], **body}))
    return Response(ANSWER, 200, {"ETag": '"1"'}, "application/json")


def main(app_url: str, port: int) -> None:
    """Serve until the process is ended."""
    group = GroupCommit(Executor(LogConnection(app_url)))
    app = create_app(group_commit=group, readers=Readers(app_url), host="127.0.0.1")
    app.add_api_route("/nothing/{deal_id}", nothing, methods=["POST"])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
