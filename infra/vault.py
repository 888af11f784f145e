"""The vault: personal text by id, beside the log. Erasing a row leaves log, proofs and figures as they are."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Connection

from domain.event import TextRef
from infra.ids import new_id


class Sealed(msgspec.Struct, frozen=True):
    """A text on its way into the vault. `subject_id` is whose it is: a stream, or one person."""

    id: UUID
    subject_id: UUID
    salt: bytes
    text: str

    @property
    def ref(self) -> TextRef:
        """What the event holds in its place."""
        return TextRef(self.id, hashlib.sha256(self.salt + self.text.encode()).hexdigest())


def seal(subject_id: UUID, text: str) -> Sealed:
    """The text under a fresh id and a fresh salt."""
    return Sealed(new_id(), subject_id, os.urandom(16), text)


def store_texts(conn: Connection[Any], texts: Sequence[Sealed]) -> None:
    """Put the texts into the vault, in the caller's transaction."""
    columns = [[getattr(t, f) for t in texts] for f in Sealed.__struct_fields__]
    conn.execute(
        "INSERT INTO dealtrace.vault (id, subject_id, salt, text)"
        " SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::bytea[], %b::text[])",
        columns,
    )


def read_texts(conn: Connection[Any], ids: Iterable[UUID]) -> dict[UUID, str]:
    """The texts that are still there, by id; erased ones are missing."""
    return dict(
        conn.execute("SELECT id, text FROM dealtrace.vault WHERE id = ANY(%s)", [list(ids)]).fetchall()
    )


def erase(conn: Connection[Any], subject_id: UUID) -> int:
    """Delete every text of a subject, for ever; how many there were."""
    return conn.execute("DELETE FROM dealtrace.vault WHERE subject_id = %s", [subject_id]).rowcount
