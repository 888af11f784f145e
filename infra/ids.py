"""Fresh and derived ids."""

from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

NAMESPACE = UUID("5f3c2a52-6c1e-5f0b-9b51-3c0d6f1f7a10")
"""The namespace of everything that dealtrace names by UUIDv5. For ever."""


def new_id() -> UUID:
    """A fresh UUIDv7: ordered by the time of its making."""
    return uuid7()


def imported_id(kind: str, source: str, external_id: str) -> UUID:
    """The id of an imported thing: UUIDv5 of its kind, its source and what the source calls it."""
    return uuid5(NAMESPACE, f"{kind}\n{source}\n{external_id}")
