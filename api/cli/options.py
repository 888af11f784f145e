"""Options of the command line out of pydantic models: one option per field, checked by the model alone."""

import inspect
import json
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from api.body import checked_params
from api.cli.terminal import Format
from domain.money import MoneyInput

Model = TypeVar("Model", bound=BaseModel)

ARGUMENTS = ("deal_id", "account_id")
"""The first of these that is required is given by place: `dealtrace deal ID`."""

HIDDEN = ("min_position",)
"""The command line catches up by itself."""

Form = Annotated[Format, typer.Option("--format", help="A table for people, JSON, or rows.")]
"""The form of an answer that HTTP does not give."""

_FLAGS = {"q": "--search"}
_HELP = {
    "deal_id": "The id of the deal.",
    "account_id": "The id of the account.",
    "reason": "Why.",
    "to_stage": "The key of the stage.",
}


def option(name: str, kind: Any, default: Any, *flags: str, **how: Any) -> inspect.Parameter:
    """One option of a verb's function."""
    annotation = Annotated[kind, typer.Option(*flags, **how)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def argument_of(model: type[BaseModel]) -> str | None:
    """The field that is given by place, if any."""
    fields = model.model_fields
    return next((name for name in ARGUMENTS if name in fields and fields[name].is_required()), None)


def verb_taking(
    model: type[Model], body: Callable[..., None], *extra: inspect.Parameter
) -> Callable[..., None]:
    """A function for typer whose options are the model's fields and the extra ones.

    `body` gets the checked model first, then the extra options by name.
    """
    names = [parameter.name for parameter in extra]
    by_place = argument_of(model)

    def verb(**given: Any) -> None:
        rest = {name: given.pop(name) for name in names}
        body(checked_params(model, _gathered(model, given)), **rest)

    parameters = [
        *(
            p
            for name, field in model.model_fields.items()
            for p in _parameters(name, field, name == by_place)
        ),
        *extra,
    ]
    parameters.sort(key=lambda p: p.default is not inspect.Parameter.empty)
    verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    verb.__annotations__ = {p.name: p.annotation for p in parameters}
    return verb


def _parameters(name: str, field: FieldInfo, by_place: bool) -> Iterator[inspect.Parameter]:
    arms, nullable = _arms(field.annotation)
    required = field.is_required()
    flag = _FLAGS.get(name) or "--" + name.replace("_", "-")
    metavar, words = _metavar(arms)
    help_ = " ".join(filter(None, (field.description or _HELP.get(name), words)))
    if by_place:
        argument = Annotated[str, typer.Argument(metavar=name.removesuffix("_id").upper(), help=help_)]
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=argument)
        return
    how: dict[str, Any] = {"help": help_, "metavar": metavar, "show_default": False}
    if _many(arms):
        yield option(name, list[str] | None, None, flag, **how)
    elif required and nullable:
        yield option(name, str | None, None, flag, **how)
        yield option(
            f"no_{name}", bool, False, f"--no-{flag[2:]}", help="None, or unknown.", show_default=False
        )
    elif required:
        yield option(name, str, inspect.Parameter.empty, flag, **how)
    elif bool in arms:
        yield option(name, bool, field.default, f"{flag}/--not-{flag[2:]}", help=help_)
    else:
        default = None if field.default is None else str(field.default)
        how["hidden"] = name in HIDDEN
        yield option(name, str | None, default, flag, **{**how, "show_default": default is not None})


def _gathered(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """What the model is to check: texts as given, structured fields read."""
    fields = model.model_fields
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            if value:  # --no-amount and the like
                found[name.removeprefix("no_")] = None
        elif value is not None and value != []:
            arms, _ = _arms(fields[name].annotation)
            found[name] = _read(name, arms, value)
    return found


def _read(name: str, arms: tuple[Any, ...], value: Any) -> Any:
    if MoneyInput in arms:
        amount, _, currency = value.strip().partition(" ")
        if not currency:
            raise typer.BadParameter(f"--{name} must be an amount and a currency, such as '12500.00 EUR'")
        return {"amount": amount, "currency": currency.strip()}
    if _structured(arms):
        try:
            return [json.loads(item) for item in value] if isinstance(value, list) else json.loads(value)
        except json.JSONDecodeError as error:
            raise typer.BadParameter(f"--{name.replace('_', '-')} must be JSON: {error.msg}") from None
    return value


def _arms(annotation: Any) -> tuple[tuple[Any, ...], bool]:
    """The types of a union without None and without markers, and whether None was among them."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return (annotation,), False
    arms = [arm for arm in get_args(annotation) if arm is not type(None)]
    return tuple(_arms(arm)[0][0] for arm in arms), len(arms) < len(get_args(annotation))


def _many(arms: tuple[Any, ...]) -> bool:
    return any(get_origin(arm) in (tuple, list) for arm in arms)


def _structured(arms: tuple[Any, ...]) -> bool:
    inner = [part for arm in arms for part in (get_args(arm) if _many((arm,)) else (arm,))]
    return any(isinstance(part, type) and issubclass(part, BaseModel) for part in inner)


def _metavar(arms: tuple[Any, ...]) -> tuple[str, str]:
    """What stands for the value in the help, and the words it may be."""
    arm = arms[0]
    if get_origin(arm) is Literal:
        return "WORD", f"One of {', '.join(str(value) for value in get_args(arm))}."
    if MoneyInput in arms:
        return "'AMOUNT CURRENCY'", ""
    if _structured(arms):
        return "JSON", "May be given several times." if _many(arms) else ""
    names = {"datetime": "TIME", "AwareDatetime": "TIME", "date": "DAY", "int": "NUMBER", "UUID": "ID"}
    inner = get_args(arm)[0] if _many(arms) else arm
    many = "May be given several times." if _many(arms) else ""
    return names.get(getattr(inner, "__name__", ""), "TEXT"), many
