"""Keeping a replay: its frames as files, what each of them says of itself, and a manifest that names them all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from projections.engine.description import Projection
from workers.replay.columns import schema_of
from workers.replay.files import Files
from workers.replay.result import Frame, Replay
from workers.replay.weekly_frames import SCHEMAS
from workers.replay.work import Part, weekly_wanted

MANIFEST = "replay.json"


class Keeper:
    """Writes the parts of a replay, in their order, into a folder."""

    def __init__(self, folder: Path, files: Files, wanted: Sequence[Projection]) -> None:
        self._folder, self._files, self._wanted = folder, files, wanted

    def add(self, part: Part) -> None:
        """The next part."""
        for name, batch in part.batches.items():
            self._files.add(name, batch)

    def finish(self, found: Replay, digests: dict[str, str]) -> Replay:
        """Put the files in place; `digests` are those of each table's rows. The same replay, with its frames."""
        told = _told(found, self._wanted, digests)
        made = self._files.finish(
            {name: told.get(name, _of_the_cut(found)) for name in _schemas(self._wanted)}
        )
        frames = tuple(Frame(name, rows, path.name, digests.get(name)) for name, (rows, path) in made.items())
        found = msgspec.structs.replace(found, frames=frames)
        manifest = self._folder / MANIFEST
        aside = manifest.with_name(f".{MANIFEST}.{os.getpid()}")
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
        aside.replace(manifest)
        return found


@contextmanager
def keeping(folder: Path, wanted: Sequence[Projection]) -> Iterator[Keeper]:
    """A keeper; unless it finishes, nothing in the folder changes. Raises OSError."""
    with Files(folder, _schemas(wanted)) as files:
        yield Keeper(folder, files, wanted)


def _schemas(wanted: Sequence[Projection]) -> dict[str, pa.Schema]:
    weekly = SCHEMAS if weekly_wanted([p.name for p in wanted]) else {}
    return {t.name: schema_of(t) for p in wanted for t in p.tables} | weekly


def _told(found: Replay, wanted: Sequence[Projection], digests: dict[str, str]) -> dict[str, dict[str, str]]:
    """By table, what its file says of itself."""
    of_projection = {p.projection: p for p in found.projections}
    return {
        table.name: _of_the_cut(found)
        | {
            "dealtrace.projection": projection.name,
            "dealtrace.version": str(projection.version),
            "dealtrace.digest": of_projection[projection.name].digest,
            "dealtrace.rows_digest": digests[table.name],
        }
        for projection in wanted
        for table in projection.tables
    }


def _of_the_cut(found: Replay) -> dict[str, str]:
    """What every file says: of which log it is, and where that was cut."""
    log = found.log
    told = {
        "log_id": str(log.log_id),
        "epoch": str(log.epoch),
        "position": str(log.position),
        "root": log.root,
        "as_of": _text(found.as_of),
        "known_at": _text(found.known_at),
        "knowledge": found.knowledge,
        "cutoff": _text(found.cutoff),
    }
    return {f"dealtrace.{key}": value for key, value in told.items() if value is not None}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
