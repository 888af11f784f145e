"""The demonstration company's audit: its moves add up, and its managers are found out by what they said and how it went."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
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
from projections.forecast_rows import horizon, then
from projections.forecasting import forecast
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


def test_what_moved_f1_and_f2_of_a_month_adds_up_to_what_was_shown_at_any_moment(
    company: Connection[Any],
) -> None:
    """Of deals won, lost, slipped, voided, merged, opened again, handed over, and under a second rate set."""
    now = datetime.now(UTC)
    every = [entry for entry in audit(company) if entry.funnel == "tas_plus"]
    outcomes = {entry.new for entry in every if entry.field == "outcome"}
    assert outcomes == {"open", "won", "lost", "abandoned", "voided", "merged"}
    moments = [now, *(every[len(every) * n // 6].known_at for n in range(1, 6))]
    for month in {entry.new_month for entry in every if entry.kind == "F1"} - {None}:
        asked = Asked(funnel="tas_plus", month=str(month))
        moves = forecast_audit(company, asked, EVERYTHING, as_of=now, limit=10_000)
        for moment in moments:
            at = then(company, "tas_plus", moment, moment)
            total = forecast(company, at, horizon(at, month), EVERYTHING).total
            until = [move for move in moves if max(move.occurred_at, move.known_at) <= moment]
            f1 = sum(Decimal(m.f1_after) - Decimal(m.f1_before) for m in until if m.field != "rate_set")
            f2 = sum(Decimal(m.f2_after or 0) - Decimal(m.f2_before or 0) for m in until)
            assert (f1, f2) == (Decimal(total.f1_open), Decimal(total.f2_open or 0)), (month, moment)


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
