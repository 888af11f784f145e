"""What another system calls a thing of ours."""

import msgspec
from pydantic import BaseModel, ConfigDict

from domain.command import Label


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
