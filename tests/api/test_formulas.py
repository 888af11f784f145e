"""Every figure says by which formula it was computed, with its version."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from api.asking import ROUTES

FACTS = {
    "/v1/playbook", "/v1/funnels", "/v1/funnels/{funnel}", "/v1/organisation",
    "/v1/funnels/{funnel}/snapshot/deals", "/v1/deals", "/v1/deals/{deal_id}/timeline",
    "/v1/deals/{deal_id}/checklist", "/v1/deals/{deal_id}/team", "/v1/accounts", "/v1/accounts/{account_id}/attitudes",
    "/v1/recalibrations", "/v1/projections", "/v1/log",
}  # fmt: skip
"""Answers with what was recorded, and how much of it, but nothing that another formula would change."""
ELSEWHERE = {"/v1/recalibrations/{recalibration_id}"}
"""A record names its estimators, each with its version, beside what they estimated."""


def test_every_answer_with_computed_figures_names_their_formula() -> None:
    told = {
        route.path: list(formulas(route.answer)) for route in ROUTES if route.path not in FACTS | ELSEWHERE
    }
    assert [path for path, found in told.items() if not found] == []
    names = {default for found in told.values() for default in found if default is not msgspec.NODEFAULT}
    assert len(names) >= 8
    assert all(re.fullmatch(r"[a-z0-9_]+/\d+", name) for name in names)


def test_answers_with_facts_name_none() -> None:
    facts = [route.answer for route in ROUTES if route.path in FACTS]
    assert len(facts) == len(FACTS)
    assert [list(formulas(answer)) for answer in facts] == [[]] * len(FACTS)


def formulas(answer: Any) -> Iterator[Any]:
    """The defaults of the fields that name a formula: of the answer, and of what is computed in it."""
    for field in msgspec.structs.fields(answer):
        if field.name == "formula" or field.name.endswith("_formula"):
            yield field.default
        for one in (field.type, *get_args(field.type)):
            if isinstance(one, type) and issubclass(one, msgspec.Struct):
                yield from formulas(one)
