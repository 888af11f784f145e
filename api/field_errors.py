"""What a model says about wrong fields, in our words: which field, what is wrong with it, what would be accepted."""

from typing import Any

from pydantic import BaseModel, ValidationError

from api.accepted import accepted_by, fields_of
from api.problems import FieldError, shortened
from domain.errors import Refusal

MOST_ERRORS = 20
_WRONG = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "literal_error": "is not one of the known words",
    "string_pattern_mismatch": "is not written as it must be",
    "string_too_long": "is too long",
    "string_type": "is no text",
    "timezone_aware": "has no offset from UTC",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "finite_number": "is not finite",
    "int_from_float": "is no whole number",
    "int_parsing": "is no whole number",
    "int_parsing_size": "is too large",
    "int_type": "is no whole number",
    "decimal_parsing": "is no decimal number",
    "decimal_type": "is no decimal number",
    "decimal_max_digits": "has too many digits",
    "decimal_max_places": "has too many decimal places",
    "decimal_whole_digits": "has too many digits",
    "greater_than": "is too small",
    "greater_than_equal": "is too small",
    "less_than": "is too large",
    "less_than_equal": "is too large",
    "tuple_type": "is no list",
    "list_type": "is no list",
    "too_short": "has too few entries",
    "too_long": "has too many entries",
    "model_type": "is no object",
    "model_attributes_type": "is no object",
    "dict_type": "is no object",
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), "is not a time"),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "is not a day"),
    **dict.fromkeys(("date_from_datetime_inexact",), "is not a day"),
    **dict.fromkeys(("uuid_type", "uuid_parsing"), "is not an id"),
}
"""What is wrong, by the type of pydantic's error; of others it is told as pydantic does."""


def invalid(error: ValidationError, model: type[BaseModel], kind: type[Refusal]) -> Refusal:
    """What the model says, as a refusal that names the fields and what they accept; never what was sent."""
    wrong = error.errors(include_url=False, include_input=False)[:MOST_ERRORS]
    found = [_field_error(each, model) for each in wrong]
    first = found[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    refusal = kind(
        f"{first.field}: {first.detail}{more}." if first.field else f"{first.detail}{more}.",
        field=first.field or None,
        accepted=first.accepted,
    )
    refusal.errors = found  # type: ignore[attr-defined]
    return refusal


def _field_error(error: Any, model: type[BaseModel]) -> FieldError:
    """One of pydantic's errors in our words. `loc` may hold names the sender chose, so it is cut."""
    place = error["loc"]
    field = ".".join(shortened(str(part), 100) for part in place[:6])
    if error["type"] == "extra_forbidden":
        return FieldError(field, _WRONG["extra_forbidden"], fields_of(model, place[:-1]))
    return FieldError(field, _detail(error), accepted_by(model, place))


def _detail(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return shortened(str(context["error"]))
    if kind == "string_too_short":
        return "is empty" if context["min_length"] == 1 else "is too short"
    return _WRONG.get(kind) or shortened(error["msg"].replace("Input should", "should"))
