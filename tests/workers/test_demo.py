"""The demonstration company: the same story from the same seed, through ordinary commands, with every kind of event."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from domain.registry import COMMANDS, EVENTS
from infra.connection import LogConnection
from infra.executor import Executor
from infra.postgres import Server, scratch_database
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
    now, later = demo.story(MONDAY), demo.story(MONDAY + timedelta(weeks=1))
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


def test_it_has_every_event_of_a_deal_and_three_owners(database: Server) -> None:
    log = LogConnection(database.app_url)
    assert demo.load(Executor(log), MONDAY) > 900
    seen = dict(
        log.run(lambda c: c.execute("SELECT topic, count(*) FROM dealtrace.events GROUP BY 1").fetchall())
    )
    assert {topic for topic in EVENTS if topic.startswith("deal.")} <= seen.keys()
    assert seen["deal.opened"] == demo.DEALS
    assert log.run(verify_log).problems == ()
    log.close()
    owners = Counter(r.commands[0].owner for r in demo.story(MONDAY) if hasattr(r.commands[0], "owner"))
    assert set(owners) - {None} == set(demo.OWNERS)


def test_its_commands_are_those_of_everybody() -> None:
    assert {request.commands[0].command_name() for request in demo.story(MONDAY)} <= set(COMMANDS)


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
