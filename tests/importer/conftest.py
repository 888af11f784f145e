"""An importer on a database of its own, a small mapping, and ways to look at what came into the log."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from domain.deal import Deal
from domain.stream import Stream
from infra.connection import LogConnection
from infra.executor import Executor
from infra.ids import imported_id
from infra.mapper import decode
from infra.postgres import Server
from infra.streams import load_streams
from workers.importer import ImportSummary, Kind, Mapping, Problem, load_mapping, run_import

MAPPING = """
source = "crm"
currency = "EUR"

[funnel]
key = "sales"
label = { en = "Sales" }
stages = [
  { key = "first", label = { en = "First" }, macro_stage = "needs_confirmed", stall_after_days = 10 },
  { key = "second", label = { en = "Second" }, macro_stage = "plan_confirmed", stall_after_days = 10 },
  { key = "third", label = { en = "Third" }, macro_stage = "contract_signed", stall_after_days = 10 },
]

[history]
columns = { deal = "deal", changed_at = "at", changed_by = "by", field = "field", old = "old", new = "new" }
fields = { created = "created", Stage = "stage", Amount = "amount", Close = "expected_close", Owner = "owner", Name = "name", Account = "account", Region = "region" }
stages = { First = "first", Second = "second", Third = "third" }
closed = { Won = "won", Lost = "lost", Dropped = "abandoned" }

[activities]
columns = { deal = "deal", started_at = "at", by = "by", kind = "kind", duration = "minutes", note = "note" }
kinds = { Call = "outbound_call" }
duration_unit = "minutes"
"""
HEADERS = {"history": "deal,at,by,field,old,new\n", "activities": "deal,at,by,kind,minutes,note\n"}


class Import:
    """Imports files into one database, each time as a new program would."""

    def __init__(self, database: Server, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.log = LogConnection(database.app_url)
        self.problems: list[Problem] = []

    def rows(
        self, text: str, kind: Kind = "history", *, mapping: str = MAPPING, dry_run: bool = False
    ) -> ImportSummary:
        """Import these rows below the usual header."""
        return self.file(self.written(HEADERS[kind] + text), kind, mapping=mapping, dry_run=dry_run)

    def file(
        self, file: Path, kind: Kind = "history", *, mapping: str | Path = MAPPING, dry_run: bool = False
    ) -> ImportSummary:
        self.problems = []
        return run_import(
            Executor(self.log),
            self.log,
            file,
            self.mapping(mapping),
            kind,
            dry_run=dry_run,
            report=self.problems.append,
        )

    def mapping(self, mapping: str | Path) -> Mapping:
        if isinstance(mapping, str):
            path = self.folder / "mapping.toml"
            path.write_text(mapping, encoding="utf-8")
            mapping = path
        return load_mapping(mapping)

    def written(self, content: str | bytes, name: str = "export.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def reported(self) -> list[tuple[int, str, str]]:
        """Line, level and code of each problem of the last import."""
        return [(p.line, p.level, p.code) for p in self.problems]

    def deal_id(self, external: str, source: str = "crm") -> UUID:
        return imported_id("deal", source, external)

    def deal(self, external: str, source: str = "crm") -> Deal | None:
        """The deal as the log leaves it."""
        return self._stream(self.deal_id(external, source)).state

    def _stream(self, stream_id: UUID) -> Stream:
        return self.log.run(lambda conn: load_streams(conn, [stream_id]))[stream_id]

    def events(self, external: str, source: str = "crm") -> list[tuple[str, str]]:
        """Topic and business time of each event of the deal."""
        rows = self.log.run(
            lambda conn: conn.execute(
                "SELECT notification_id, originator_id, originator_version, topic, recorded_at, state"
                " FROM dealtrace.events WHERE originator_id = %s ORDER BY originator_version",
                [self.deal_id(external, source)],
            ).fetchall()
        )
        recorded = [decode(*row) for row in rows]
        return [(r.topic, r.meta.occurred_at.strftime("%m-%d %H:%M")) for r in recorded]

    def recorded(self) -> list:
        """Every event of the log, decoded, in order."""
        rows = self.log.run(
            lambda conn: conn.execute(
                "SELECT notification_id, originator_id, originator_version, topic, recorded_at, state"
                " FROM dealtrace.events ORDER BY notification_id"
            ).fetchall()
        )
        return [decode(*row) for row in rows]

    def digest(self) -> str:
        """SHA-256 over what the deals' events say, whatever their ids and the moment of recording."""
        lines = sorted(
            (
                str(r.stream_id),
                r.version,
                r.topic,
                r.meta.occurred_at.isoformat(),
                msgspec.json.encode(r.event),
            )
            for r in self.recorded()
            if r.topic.startswith("deal.")
        )
        return hashlib.sha256(repr(lines).encode()).hexdigest()

    def count(self, table: str) -> int:
        return self.log.run(lambda conn: conn.execute(f"SELECT count(*) FROM dealtrace.{table}").fetchone())[
            0
        ]


@pytest.fixture
def importing(database: Server, tmp_path: Path) -> Iterator[Import]:
    """An importer into an empty database."""
    it = Import(database, tmp_path)
    yield it
    it.log.close()


@pytest.fixture
def mapping_text() -> str:
    """The mapping that the tests vary."""
    return MAPPING


@pytest.fixture
def many_rows() -> Callable[[int], str]:
    """A history of so many deals, about nine rows each, in the order of time; the same for the same number."""

    def rows(deals: int) -> str:
        lines = []
        for n in range(deals):
            moves = [("created", "", "First"), ("Amount", "", str(1000 + n)), ("Stage", "First", "Second")]
            moves += [("Amount", str(1000 + n), str(2000 + n)), ("Stage", "Second", "Third")]
            moves += [("Stage", "Third", "Second"), ("Owner", "", f"u{n % 7}"), ("Stage", "Second", "Third")]
            moves += [("Stage", "Third", ("Won", "Lost", "Dropped")[n % 3])]
            for i, (field, old, new) in enumerate(moves):
                minute = n + (0 if i < 2 else i * 60)
                at = f"2026-01-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"
                lines.append((at, n, i, f"d{n},{at},u{n % 5},{field},{old},{new}\n"))
        return "".join(line for *_, line in sorted(lines))

    return rows
