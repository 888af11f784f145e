"""Every kind of refusal has one row, one explanation, and a page in the docs."""

from pathlib import Path

import pytest

import api.app  # noqa: F401 -- loads every module that brings refusals
from api.problems import TABLE, by_code, reference, title
from domain.errors import Refusal
from tests.api.conftest import Api

DOCS = Path(__file__).parents[2] / "docs" / "problems.md"


def kinds(of: type[Refusal] = Refusal) -> set[type[Refusal]]:
    """Every kind of refusal there is."""
    return {of, *(k for sub in of.__subclasses__() for k in kinds(sub))}


def test_every_refusal_has_a_row_and_every_row_a_refusal() -> None:
    assert set(TABLE) == kinds() - {Refusal}


def test_no_two_refusals_share_a_code() -> None:
    assert len(by_code()) == len(TABLE)


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert DOCS.read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_what_is_not_there_is_404_by_an_id_or_address_and_422_by_a_key_within_something() -> None:
    unknown = {kind.code.removeprefix("unknown-"): row.status for kind, row in TABLE.items()}
    by_id = {"deal", "account", "contact", "funnel", "recalibration"}
    by_key = {"stage", "grade", "item", "competitor", "team", "rate-set", "candidate"}
    assert {what: unknown[what] for what in by_id} == dict.fromkeys(by_id, 404)
    assert {what: unknown[what] for what in by_key} == dict.fromkeys(by_key, 422)
    assert {kind.code for kind in TABLE if kind.code.startswith("unknown-")} == {
        f"unknown-{what}" for what in by_id | by_key
    }


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.code)
def test_every_problem_is_explained_at_the_address_that_is_its_type(api: Api, kind: type[Refusal]) -> None:
    answer = api.client.get(f"/problems/{kind.code}")

    assert answer.status_code == 200
    assert title(kind) in answer.text
    assert str(TABLE[kind].status) in answer.text


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.code)
def test_what_may_be_tried_again_says_when(kind: type[Refusal]) -> None:
    assert (TABLE[kind].status in (429, 503)) == (TABLE[kind].retry_after is not None)


def test_a_problem_that_nobody_has_is_not_found(api: Api) -> None:
    assert api.client.get("/problems/no-such").status_code == 404
