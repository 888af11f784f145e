"""What another system calls a thing of ours."""

from functools import lru_cache
from uuid import UUID, uuid5

import msgspec
from pydantic import BaseModel, ConfigDict

from domain.command import Label

NAMESPACE = UUID("5f3c2a52-6c1e-5f0b-9b51-3c0d6f1f7a10")
"""The namespace of everything that dealtrace names by UUIDv5. For ever."""


@lru_cache(maxsize=10_000)  # the same thing is named several times until it is opened, and hashing is dear
def imported_id(kind: str, source: str, external_id: str) -> UUID:
    """The id of an imported thing: UUIDv5 of its kind, its source and what the source calls it."""
    return uuid5(NAMESPACE, f"{kind}\n{source}\n{external_id}")


class External(msgspec.Struct, frozen=True):
    """What another system calls it: the source and the id there."""

    source: str
    id: str


class ExternalInput(BaseModel):
    """What another system calls it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: Label
    id: Label

    def external(self) -> External:
        """The same as stored."""
        return External(self.source, self.id)

    def imported_id(self, kind: str) -> UUID:
        """The id that an import gives it."""
        return imported_id(kind, self.source, self.id)
