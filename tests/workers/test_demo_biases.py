"""The managers of the demonstration company are found out: by the audit of what they said, and by how it went."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from psycopg import Connection

from domain.forecast_sight import Sight
from infra.postgres import Server, scratch_database
from infra.snapshot import one_snapshot
from projections.engine.running import run_to_head
from projections.forecast_audit_page import Asked, AuditEntry, forecast_audit
from workers import demo
from workers.first_start import fill_empty_log

pytestmark = pytest.mark.slow
EVERYTHING = Sight(any=True, owners=None)


@pytest.fixture(scope="module")
def company(server: Server, template_database: str) -> Iterator[Connection[Any]]:
    with scratch_database(server, template=template_database) as database:
        fill_empty_log(database.app_url, with_demo=True)
        run_to_head(database.app_url)
        with one_snapshot(database.app_url, "test") as conn:
            yield conn


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The file that lies beside the company."""
    told: dict[str, Any] = json.loads(demo.write_truth(tmp_path_factory.mktemp("truth")).read_text("utf-8"))
    return told


def audit(conn: Connection[Any]) -> Iterator[AuditEntry]:
    """Every change of F1 and every move of F2, as the audit tells them page by page."""
    after = 0
    while page := forecast_audit(conn, Asked(), EVERYTHING, as_of=datetime.now(UTC), after=after, limit=1000):
        yield from page
        after = page[-1].position


def test_what_each_manager_adds_to_a_deal_stands_in_the_audit(
    company: Connection[Any], truth: dict[str, Any]
) -> None:
    added: dict[str, list[float]] = {}
    for entry in audit(company):
        if entry.kind == "F1" and entry.actor_role == "manager" and entry.new not in (None, "0"):
            share = float(entry.new) / float(entry.context.amount.amount)
            added.setdefault(entry.actor_id, []).append(share - 1)
    assert added.keys() == truth["manager_bias"].keys()
    for manager, bias in truth["manager_bias"].items():
        told = added[manager]
        by_chance = 4 * truth["manager_noise"] * (1 + bias) / len(told) ** 0.5
        assert sum(told) / len(told) == pytest.approx(bias, abs=by_chance), manager


def test_what_was_said_last_of_deals_that_were_won_was_off_by_the_bias_of_who_said_it(
    company: Connection[Any], truth: dict[str, Any]
) -> None:
    last: dict[UUID, tuple[str, float]] = {}
    amount: dict[UUID, float] = {}
    off: dict[str, list[tuple[float, float]]] = {}
    for entry in audit(company):
        deal = entry.deal_id
        match entry.field:
            case "forecast" if entry.actor_role == "manager" and entry.new is not None:
                last[deal] = (entry.actor_id, float(entry.new))
                amount[deal] = float(entry.context.amount.amount)
            case "forecast":
                last.pop(deal, None)
            case "amount" if entry.new is not None:
                amount[deal] = float(entry.new)
            case "outcome" if entry.new == "won" and last.get(deal, ("", 0.0))[1]:
                manager, said = last[deal]
                off.setdefault(manager, []).append((said, amount[deal]))
    assert off.keys() == truth["manager_bias"].keys()
    for manager, bias in truth["manager_bias"].items():
        said, came = (np.array(column) for column in zip(*off[manager], strict=True))
        weight = came / came.sum()
        by_chance = 4 * truth["manager_noise"] * (1 + bias) * float((weight**2).sum()) ** 0.5
        assert (said - came).sum() / came.sum() == pytest.approx(bias, abs=by_chance + 0.03), manager
    signed = {who: sum(said for said, _ in told) / sum(came for _, came in told) for who, told in off.items()}
    assert signed["mia"] > 1 > signed["noah"]
