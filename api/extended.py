"""Answers that say more than their query gave: the same struct, with further fields behind its own."""

from functools import cache
from typing import Any

import msgspec

Fields = tuple[tuple[Any, ...], ...]
"""Of each field its name, its type and, where it may be absent, its default; as `msgspec.defstruct` takes them."""


@cache
def extended(answer: type[msgspec.Struct], fields: Fields) -> type[msgspec.Struct]:
    """What is answered, by the same name and with these fields too."""
    return msgspec.defstruct(
        answer.__name__,
        fields,
        bases=(answer,),
        namespace={"__doc__": answer.__doc__},
        frozen=True,
        kw_only=True,
    )


def extend(answer: msgspec.Struct, fields: Fields, **said: Any) -> msgspec.Struct:
    """The answer with these fields, of which is said what they hold."""
    own = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return extended(answer.__class__, fields)(**own, **said)
