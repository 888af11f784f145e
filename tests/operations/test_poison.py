"""An event whose fold fails: its deal waits and nothing else does, whoever asks about it hears so, and it is mended."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.deal import AmountRevised
from domain.event import Recorded
from domain.manager_forecast import ForecastSet
from domain.playbook import CohortWindowSet
from infra.postgres import Server
from projections.engine.catalogue import catalogue
from projections.engine.description import Projection
from projections.engine.running import run_to_head
from tests.api.conftest import Api, serve
from tests.cli.conftest import program_on
from tests.operations.test_metrics import scrape, value
from workers.first_start import fill_empty_log

EUROS = {"amount": "7.50", "currency": "EUR"}


@pytest.fixture
def api(database: Server) -> Iterator[Api]:
    fill_empty_log(database.app_url)
    with serve(database) as api:
        currency = {"currency": "EUR"}
        api.as_role("admin").post("/v1/playbook/set-currency", currency).raise_for_status()
        yield api


def failing(projection: Projection, poison: type) -> Projection:
    """The projection with a mistake in its fold."""
    fold: Callable[..., Any] = projection.fold

    def mistaken(head: Any, e: Recorded, out: Any) -> Any:
        if isinstance(e.event, poison):
            raise ZeroDivisionError("a mistake")
        return fold(head, e, out)

    return msgspec.structs.replace(projection, fold=mistaken)


def project(api: Api, *mistaken: Projection) -> None:
    """What the projector of a release with these mistakes does."""
    wanted = {**catalogue(), **{p.name: p for p in mistaken}}
    run_to_head(api.database.app_url, projections=list(wanted.values()))


def asked(api: Api, path: str) -> Any:
    return api.get(path).raise_for_status().json()


def test_answers_about_a_deal_that_waits_say_so_until_it_is_mended(api: Api, tmp_path: Path) -> None:
    bad, good = api.open_deal(), api.open_deal()
    for deal, times in ((bad, 2), (good, 1)):
        for _ in range(times):
            api.post(f"/v1/deals/{deal}/log-activity", {"kind": "call"}, If_Match="*").raise_for_status()
    api.post(f"/v1/deals/{bad}/revise-amount", {"amount": EUROS}, If_Match="*").raise_for_status()
    api.post(f"/v1/deals/{bad}/log-activity", {"kind": "call"}, If_Match="*").raise_for_status()
    project(api, failing(catalogue()["deals"], AmountRevised))

    waiting = [{"projection": "deals", "keys": 1, "events": 2}]
    rep = api.as_role("rep")
    found = asked(rep, f"/v1/deals/{bad}")
    assert (found["version"], found["waiting"]) == (3, waiting)
    assert asked(rep, f"/v1/deals/{bad}/timeline")["waiting"] == waiting
    assert "waiting" not in asked(rep, f"/v1/deals/{good}")
    for path in ("/v1/deals", "/v1/funnels/tas_plus/snapshot", "/v1/funnels/tas_plus/snapshot/deals"):
        assert asked(rep, path)["waiting"] == waiting, path
    assert value(scrape(api), "projection_parked", projection="deals") == 2

    program = program_on(api.database, tmp_path)
    said = program("deal", bad, "--format", "json")
    assert said.json["waiting"] == waiting
    assert said.err.startswith("warning: deals lacks 2 events of 1 keys that wait because its fold failed")
    shown = program("deals")
    assert (shown.code, "warning: deals lacks" in shown.err) == (0, True)

    mended = program("projections", "unpark")  # with the release that has no such mistake
    assert mended.code == 0, mended.err
    found = asked(rep, f"/v1/deals/{bad}")
    assert (found["version"], found["amount"], "waiting" in found) == (5, "7.5", False)
    assert "waiting" not in asked(rep, "/v1/deals")
    assert program("verify", "--digests").code == 0


def test_nobody_learns_from_what_waits_that_a_forecast_was_set_on_a_deal(api: Api) -> None:
    deal = api.open_deal(owner="rita", expected_close="2027-06-30")
    body = {"amount": EUROS, "reason": "they said so"}
    api.as_role("director").post(f"/v1/deals/{deal}/set-forecast", body, If_Match="*").raise_for_status()
    project(api, failing(catalogue()["forecasts"], ForecastSet))

    for viewer in (Api(api.client, api.app, api.database, "rita", "rep"), api.as_role("integration")):
        for path in (f"/v1/deals/{deal}", "/v1/deals", "/v1/funnels/tas_plus/snapshot"):
            assert "waiting" not in asked(viewer, path)
    director = api.as_role("director")
    assert "waiting" not in asked(director, f"/v1/deals/{deal}")
    assert asked(director, "/v1/forecast?funnel=tas_plus&month=2027-06")["waiting"] == [
        {"projection": "forecasts", "keys": 1, "events": 1}
    ]


def test_rules_that_wait_are_told_of_with_every_deal(api: Api) -> None:
    deal = api.open_deal()
    admin = api.as_role("admin")
    admin.post("/v1/playbook/set-cohort-window", {"weeks": 9}, If_Match="*").raise_for_status()
    project(api, failing(catalogue()["playbook"], CohortWindowSet))
    assert [one["projection"] for one in asked(api, f"/v1/deals/{deal}")["waiting"]] == ["playbook"]
