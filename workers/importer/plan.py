"""What a chunk of rows comes to: requests for the executor, problems, and rows to pass over."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.command import Command
from domain.event import Actor
from infra.event_store import LedgerRow
from infra.ids import imported_id
from infra.requests import Request
from workers.importer.report import BadRow, Problem
from workers.importer.rows import Row
from workers.importer.values import label


class Plan(msgspec.Struct):
    """`requests[i]` came from `rows[i]`."""

    rows: list[Row] = []
    requests: list[Request] = []
    problems: list[Problem] = []
    ignored: int = 0
    opening: set[int] = set()
    """Which requests open a deal."""

    def add(self, row: Row, request: Request) -> None:
        """One more row to execute."""
        self.rows.append(row)
        self.requests.append(request)

    def refuse(self, row: Row, bad: BadRow) -> None:
        """The row is not taken."""
        self.problems.append(Problem(row.line, "error", bad.code, row.deal, str(bad)))

    def warn(self, row: Row, code: str, message: str) -> None:
        """The row is taken, and something about it is odd."""
        self.problems.append(Problem(row.line, "warning", code, row.deal, message))


class Source:
    """Where the rows come from and who imports them: ids, actors and the envelope of each request.

    `run` correlates all requests of one import.
    """

    def __init__(self, name: str, actor: Actor, run: str) -> None:
        self.name = name
        self._actor = actor
        self._run = run
        self._deals: dict[str, UUID] = {}
        self.accounts: dict[UUID, str] = {}
        """What the source calls the customers that were asked for."""
        self._actors: dict[str, Actor] = {"": actor}

    def deal_id(self, deal: str) -> UUID:
        """Our id of what the source calls a deal. Raises BadRow when it can be none."""
        found = self._deals.get(deal)
        if found is None:
            external = label(deal)
            if external is None:
                raise BadRow("no-deal", "names no deal")
            found = self._deals[deal] = imported_id("deal", self.name, external)
        return found

    def account_id(self, text: str) -> UUID | None:
        """Our id of a customer. Raises BadRow when the text can be no id."""
        external = label(text)
        if external is None:
            return None
        account_id = imported_id("account", self.name, external)
        self.accounts[account_id] = external
        return account_id

    def request(self, row: Row, commands: tuple[Command, ...], by: str, known_at: datetime) -> Request:
        """The commands as an import on behalf of `by`, which the source knew at `known_at`."""
        return Request(
            commands=commands,
            actor=self._actors.get(by) or self._on_behalf_of(by),
            command_id=row.key.hex(),
            correlation_id=self._run,
            origin="import",
            source_recorded_at=known_at,
            row=LedgerRow(row.key, self.name),
        )

    def _on_behalf_of(self, by: str) -> Actor:
        actor = msgspec.structs.replace(self._actor, on_behalf_of=label(by))
        if len(self._actors) < 100_000:
            self._actors[by] = actor
        return actor
