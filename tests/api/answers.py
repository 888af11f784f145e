"""What tests look for in answers: a problem, or every page of a list."""

from typing import Any

from tests.api.conftest import Api


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The answer's body, once it is that problem in the form that every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["type"] == f"/problems/{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert len(answer.content) < 5000
    return body


def pages(api: Api, path: str, params: dict[str, Any]) -> list[Any]:
    """Every page, following the cursors."""
    found = [api.get(path, params=params).json()]
    while (cursor := found[-1]["next_cursor"]) is not None:
        answer = api.get(path, params={**params, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
    return found
