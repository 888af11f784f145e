"""Rows of a list of activities to commands: each row is something done for a deal."""

import re
from datetime import datetime, timedelta

from domain.deal import LogActivity
from domain.stream import rfc3339
from infra.ids import imported_id
from workers.importer.mapping import Activities, Mapping
from workers.importer.plan import Plan, Source
from workers.importer.report import BadRow
from workers.importer.rows import Row
from workers.importer.values import duration_parser, label, personal_text, time_parser

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")


class ActivityPlanner:
    """Plans chunks of activity rows. An activity is known to the source when it has ended."""

    def __init__(self, mapping: Mapping, activities: Activities, source: Source) -> None:
        self._source = source
        self._kinds: dict[str, str] = dict(activities.kinds)
        self._time = time_parser(mapping.time.formats, mapping.zone)
        self._duration = duration_parser(mapping.numbers, activities.duration_unit)

    def plan(self, rows: list[Row], now: datetime, plan: Plan) -> None:
        """Add to the plan what the rows come to. `now` is the database's clock: what ends after it is refused."""
        for row in rows:
            try:
                self._log(plan, row, now)
            except BadRow as bad:
                plan.refuse(row, bad)

    def _log(self, plan: Plan, row: Row, now: datetime) -> None:
        _, started, by, kind, lasted, note, _ = row.cells
        deal_id, started_at, duration_us = (
            self._source.deal_id(row.deal),
            self._time(started),
            self._duration(lasted),
        )
        ended_at = started_at + timedelta(microseconds=duration_us or 0)
        if ended_at > now:
            raise BadRow("in-the-future", f"{rfc3339(ended_at)}, its end, lies in the future")
        command = LogActivity(
            deal_id=deal_id,
            activity_id=imported_id("activity", self._source.name, row.own_id),
            kind=self._kinds.get(kind) or self._own_kind(kind),
            by=label(by),
            duration_us=duration_us,
            note=personal_text(note),
            occurred_at=started_at,
        )
        plan.add(row, self._source.request(row, (command,), by, ended_at))

    def _own_kind(self, kind: str) -> str:
        """The source's own name, if it can be ours."""
        if not _KEY.fullmatch(kind):
            renamed = ", ".join(self._kinds) or "none yet"
            raise BadRow(
                "unknown-kind",
                f"the kind {kind!r} is not in the mapping; accepted: {renamed},"
                " and names of lower-case letters, digits and underscores",
            )
        self._kinds[kind] = kind
        return kind
