"""The demonstration company: the same story from the same seed, through ordinary commands, with every kind of event."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from domain.deal import DealAbandoned, DealLost, DealOpened, DealWon
from domain.event import Recorded
from domain.manager_forecast import ForecastCommand, ForecastSet
from domain.playbook.months import MonthCommand
from domain.registry import COMMANDS, EVENTS
from infra.connection import LogConnection
from infra.executor import Executor
from infra.log_reader import read_window
from infra.postgres import Server, scratch_database
from infra.requests import Request
from infra.verify import verify_log
from projections.engine.running import run_to_head
from workers import demo
from workers.first_start import fill_empty_log

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def told(until: datetime) -> list[str]:
    return [request.commands[0].model_dump_json() for request in demo.story(until)]


def test_the_same_seed_tells_the_same_story() -> None:
    assert told(MONDAY) == told(MONDAY)
    assert told(MONDAY) != [r.commands[0].model_dump_json() for r in demo.story(MONDAY, seed=3)]


def test_another_week_moves_every_date_and_nothing_else() -> None:
    """Except forecasts and locks, which go by calendar months."""

    def of_any_week(until: datetime) -> list[Request]:
        by_month = (ForecastCommand, MonthCommand)
        return [r for r in demo.story(until) if not isinstance(r.commands[0], by_month)]

    now, later = of_any_week(MONDAY), of_any_week(MONDAY + timedelta(weeks=1))
    assert len(now) == len(later)
    for before, after in zip(now, later, strict=True):
        assert after.source_recorded_at - before.source_recorded_at == timedelta(weeks=1)
        names = {"occurred_at", "expected_close"}
        assert after.commands[0].model_dump(exclude=names) == before.commands[0].model_dump(exclude=names)


def test_nothing_in_it_lies_in_the_future_or_at_a_weekend() -> None:
    for request in demo.story(MONDAY):
        occurred_at = request.commands[0].occurred_at
        assert occurred_at <= request.source_recorded_at < MONDAY
        assert occurred_at.weekday() < 5


def test_it_has_every_event_of_a_deal_its_customer_and_its_forecast_and_all_owners(database: Server) -> None:
    log = LogConnection(database.app_url)
    assert demo.load(Executor(log), MONDAY) > 10_000
    seen = dict(
        log.run(lambda c: c.execute("SELECT topic, count(*) FROM dealtrace.events GROUP BY 1").fetchall())
    )
    told_of = ("deal.", "account.", "forecast.")
    assert {topic for topic in EVENTS if topic.startswith(told_of)} <= seen.keys()
    assert seen["deal.opened"] == demo.DEALS
    assert log.run(verify_log).problems == ()
    log.close()
    owners = Counter(r.commands[0].owner for r in demo.story(MONDAY) if hasattr(r.commands[0], "owner"))
    assert set(owners) - {None} == set(demo.OWNERS)


def test_its_commands_are_those_of_everybody() -> None:
    assert {request.commands[0].command_name() for request in demo.story(MONDAY)} <= set(COMMANDS)


def test_no_command_of_it_is_refused_whatever_the_week(database: Server) -> None:
    log = LogConnection(database.app_url)
    for weeks in (10,):  # months begin on other days of the story
        answers = Executor(log).execute(demo.story(MONDAY + timedelta(weeks=weeks)), dry_run=True)
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
    log.close()


def test_its_truth_lies_beside_it_and_the_story_keeps_to_it(database: Server, tmp_path: Path) -> None:
    truth = json.loads(demo.write_truth(tmp_path).read_text(encoding="utf-8"))
    log = LogConnection(database.app_url)
    head = demo.load(Executor(log), MONDAY)
    events = [
        e for first in range(0, head, 5000) for e in log.run(partial(window, first, min(first + 5000, head)))
    ]
    log.close()

    ratios: dict[str, list[float]] = {}
    for e in events:
        if isinstance(e.event, ForecastSet) and e.event.forecast.amount.amount:
            ratio = float(e.event.forecast.amount.amount / e.event.seen.amount.amount)
            ratios.setdefault(e.meta.actor.id, []).append(ratio)
    assert ratios.keys() == truth["manager_bias"].keys()
    for manager, bias in truth["manager_bias"].items():
        assert mean(ratios[manager]) == pytest.approx(1 + bias, abs=0.1)

    opened = {e.stream_id for e in events if isinstance(e.event, DealOpened) and e.event.funnel == "tas_plus"}
    ended = [
        e for e in events if isinstance(e.event, DealWon | DealLost | DealAbandoned) and e.stream_id in opened
    ]
    won = {e.stream_id for e in ended if isinstance(e.event, DealWon)}
    share = len(won) / len({e.stream_id for e in ended})
    assert share == pytest.approx(truth["stage_win_rates"]["tas_plus"]["verification"], abs=0.1)


def window(first: int, last: int, conn: Any) -> list[Recorded]:
    return read_window(conn, first, last)


def test_two_machines_compute_the_same_from_it(server: Server, template_database: str) -> None:
    found = []
    for _ in range(2):
        with scratch_database(server, template=template_database) as database:
            log = LogConnection(database.app_url)
            demo.load(Executor(log), MONDAY)
            run_to_head(database.app_url)
            rows = log.run(
                lambda c: c.execute(
                    "SELECT deal_id, stage, status, amount, opened_at, changed_at, known_at FROM projection.deals_v1"
                    " ORDER BY deal_id"
                ).fetchall()
            )
            log.close()
            found.append(rows)
    assert found[0] == found[1]


def test_a_log_that_has_anything_is_left_alone(database: Server) -> None:
    assert fill_empty_log(database.app_url) == 1
    assert fill_empty_log(database.app_url, with_demo=True) == 0
