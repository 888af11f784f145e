"""Whatever is wrong with a field, whoever sent it is told what would be accepted, in words."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from api.accepted import accepted_by
from api.asking import ROUTES as QUERIES
from api.body import canonical, checked, checked_params
from api.commands import ROUTES as COMMANDS
from api.recalibration_params import AdoptBody, RecalibrateParams
from api.refusals import InvalidFields, InvalidParameters
from api.stream import StreamParams
from domain.deal import AssessOurPosition, LogActivity, OpenDeal, ReviseAmount
from domain.playbook import DefineFunnel
from domain.wording import IN_WORDS

SENT = [route.command for route in COMMANDS.values()] + [RecalibrateParams, AdoptBody]
ASKED = [route.params for route in QUERIES] + [StreamParams]
WRONG: list[Any] = [
    None, True, 5, -1, 1.5, 10**18, "", "x", "Ä B!", "a" * 11_000, "\u202e", [], {}, ["x"], {"a": 1}, [{"a": 1}], "NaN",
    "2026-02-30", "2026-01-01T00:00:00", "9999-12-31", "0001-01-01T00:00:00Z", "2026-13", "99999999999999999999",
]  # fmt: skip


def named(models: list[Any]) -> Any:
    return pytest.mark.parametrize("model", dict.fromkeys(models), ids=lambda model: model.__name__)


@named(SENT)
def test_every_wrong_field_of_a_body_says_what_it_accepts(model: type[BaseModel]) -> None:
    for field in model.model_fields:
        for value in WRONG:
            _explains(partial(checked, model, canonical({field: value})), InvalidFields)


@named(ASKED)
def test_every_wrong_parameter_says_what_it_accepts(model: type[BaseModel]) -> None:
    for field in model.model_fields:
        for value in (v for v in WRONG if isinstance(v, str)):
            _explains(partial(checked_params, model, {field: value}), InvalidParameters)


def _explains(check: Any, kind: type[Any]) -> None:
    try:
        check()
    except kind as refusal:
        for error in refusal.errors:
            assert error.accepted, error
            assert not set("^$\\") & set(error.detail + error.accepted), error


@named(SENT + ASKED)
def test_what_only_programs_can_read_is_also_told_in_words(model: type[BaseModel]) -> None:
    """A pattern, or a decimal that may come as a number or a text."""
    for schema in _schemas(model.model_json_schema()):
        types = [arm.get("type") for arm in schema.get("anyOf", ())]
        if "pattern" in schema or {"number", "string"} <= set(types):
            assert schema.get(IN_WORDS), schema


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        outer = IN_WORDS in schema and "anyOf" in schema
        yield schema
        for name, inner in schema.items():
            yield from () if outer and name == "anyOf" else _schemas(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _schemas(inner)


@pytest.mark.parametrize(
    ("model", "place", "words"),
    [
        (OpenDeal, ("funnel",), "up to 64 lower-case letters, digits and underscores, a letter first"),
        (OpenDeal, ("owner",), "a text of 1 to 200 characters"),
        (OpenDeal, ("amount", "currency"), "an active ISO 4217 code such as EUR"),
        (ReviseAmount, ("amount",), "an object with amount, currency or null"),
        (LogActivity, ("contacts", 3), "a UUID"),
        (LogActivity, ("contacts",), "a list of at most 100: each a UUID"),
        (LogActivity, ("captured",), "actively, passively"),
        (DefineFunnel, ("stages", 0, "stall_after_days"), "a whole number from 1 to 3,650"),
        (DefineFunnel, ("dated",), "true or false"),
        (AssessOurPosition, ("need_fit",), "a decimal number from 0 to 10 with at most 4 places, or null for unknown"),
        (RecalibrateParams, ("until",), "a time such as 2026-03-02T09:30:00Z or a day such as 2026-03-31"),
        (RecalibrateParams, ("until", "datetime"), "a time such as 2026-03-02T09:30:00Z or a day such as 2026-03-31"),
        (OpenDeal, ("colour",), None),
    ],
)  # fmt: skip
def test_a_field_in_words(model: type[BaseModel], place: tuple[int | str, ...], words: str | None) -> None:
    assert accepted_by(model, place) == words
