"""What a field accepts, in words, where its type alone would tell that to programs only: a pattern, a decimal."""

from typing import Any

from pydantic import Field

IN_WORDS = "x-accepted"
"""The keyword of a JSON schema that holds the words."""


def accepting(words: str) -> Any:
    """Metadata of a type: whoever sends something else is told that these words would be accepted."""
    return Field(json_schema_extra={IN_WORDS: words})
